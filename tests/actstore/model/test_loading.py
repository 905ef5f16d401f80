"""Weights that are not those of the configuration, in every form of a model's files."""

from __future__ import annotations

import re

import pytest
import torch
from transformers import AutoConfig

from actstore.cli.main import main
from actstore.errors import ModelError
from actstore.model import sources
from tests.helpers import FAMILIES, GATED, TINY, tiny_model
from tests.model_files import N_TOKENS, write_bin, write_folder, write_gguf, write_sharded

SHAPE = GATED | {"vocab_size": N_TOKENS, "max_position_embeddings": 256, "head_dim": 128}
UP = "model.layers.1.mlp.up_proj.weight"
WRITERS = {"folder": write_folder, "sharded": write_sharded, "bin": write_bin, "hub": write_folder, "gguf": write_gguf}


def write(form, tmp_path, server, config, state):
    """Write the model in a form; returns the name under which it is loaded."""
    path = WRITERS[form](tmp_path / ("model.gguf" if form == "gguf" else "model"), config, state)
    if form == "hub":
        server.add("tiny/model", "main", path)
        return "tiny/model"
    return str(path)


def load(name):
    source = sources.resolve(name)
    source = sources.preflight(source, sources.choose_checkpoints(source, "main"))
    return sources.load(source, source.main_step, torch.float32)


@pytest.fixture(scope="module")
def state():
    return tiny_model("qwen3", SHAPE).state_dict()


def config_of(n_layers):
    return AutoConfig.for_model("qwen3", **SHAPE | {"num_hidden_layers": n_layers})


@pytest.mark.parametrize("form", WRITERS)
def test_complete_weights_are_loaded_unchanged(form, hub_server, tmp_path, state):
    model = load(write(form, tmp_path, hub_server, config_of(2), state))
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


DAMAGE = {
    "absent": (2, lambda s: {k: v for k, v in s.items() if k != UP}, {"missing": 1}),
    "renamed": (2, lambda s: {k.replace(UP, f"{UP}s"): v for k, v in s.items()}, {"missing": 1, "unexpected": 1}),
    "extra": (2, lambda s: s | {"model.layers.0.mlp.extra.weight": torch.ones(2)}, {"unexpected": 1}),
    "a layer too many": (3, lambda s: s, {"missing": 11}),
    "a layer too few": (1, lambda s: s, {"unexpected": 11}),
    "shape": (2, lambda s: s | {UP: s[UP][:-1]}, {"of another shape": 1}),
    "no embedding": (2, lambda s: {k: v for k, v in s.items() if "embed" not in k}, {"missing": 1}),
    "everything else": (2, lambda s: {f"encoder.{k}": v for k, v in s.items()}, {"missing": 25, "unexpected": 25}),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("form", WRITERS)
def test_other_weights_are_refused_by_name(form, damage, hub_server, tmp_path, state):
    n_layers, change, counts = DAMAGE[damage]
    name = write(form, tmp_path, hub_server, config_of(n_layers), change(state))
    with pytest.raises(ModelError, match=r"the weights of .*model.* are not those of its configuration") as refusal:
        load(name)
    problems = re.findall(r"(\d+) (missing|unexpected|of another shape) \(", str(refusal.value))
    assert {problem: int(n) for n, problem in problems} == counts


def test_first_keys_are_named(tmp_path, state):
    folder = write_folder(tmp_path / "model", config_of(3), state)
    with pytest.raises(ModelError) as refusal:
        load(str(folder))
    assert str(refusal.value) == (
        f"the weights of {folder} are not those of its configuration: 11 missing (model.layers.2.input_layernorm.weight, "
        "model.layers.2.mlp.down_proj.weight, model.layers.2.mlp.gate_proj.weight, …); get its files again, or mend the "
        "configuration"
    )


def test_nothing_is_extracted_from_other_weights(tmp_path, state, capfd):
    folder = write_folder(tmp_path / "model", config_of(3), state)
    arguments = ["extract", "--quiet", "--model", str(folder), "--tokens", "400", "--store", str(tmp_path / "s.zarr")]
    assert main(arguments) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert "11 missing" in error
    assert not list(tmp_path.glob("s.zarr*"))


def test_weights_that_are_a_folder_are_one_line(tmp_path, state, capfd):
    folder = write_folder(tmp_path / "model", config_of(2), state)
    (weights,) = folder.glob("*.safetensors")
    weights.unlink()
    weights.mkdir()
    assert main(["extract", "--quiet", "--model", str(folder), "--tokens", "400", "--store", str(tmp_path / "s.zarr")]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert f"cannot load {folder}" in error


HARMLESS = {
    "gpt_neox": ["gpt_neox.layers.0.attention." + name for name in ("bias", "masked_bias", "rotary_emb.inv_freq")],
    "gpt2": ["transformer.h.1.attn.bias", "transformer.h.1.attn.masked_bias"],
    "opt": ["model.decoder.version"],
    "llama": ["model.layers.0.self_attn.rotary_emb.inv_freq"],
    "gptj": ["transformer.h.1.attn.bias", "transformer.h.1.attn.masked_bias"],
    "gpt_neo": ["transformer.h.0.attn.attention.bias", "transformer.h.0.attn.attention.masked_bias"],
    "codegen": ["transformer.h.0.attn.causal_mask"],
}
UNLISTED = {
    "gptj": {"vocab_size": 64, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64, "rotary_dim": 4},
    "gpt_neo": TINY | {"num_layers": 2, "num_heads": 2, "attention_types": [[["global"], 2]]},
    "codegen": {"vocab_size": 64, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 64, "rotary_dim": 4},
}


@pytest.mark.parametrize("family", HARMLESS)
def test_buffers_of_old_versions_are_no_weights(family, tmp_path, capfd):
    """Masks and frequencies that old versions stored; a tied head is not stored."""
    original = tiny_model(family, (FAMILIES | UNLISTED)[family] | {"tie_word_embeddings": True})
    state = {name: tensor for name, tensor in original.state_dict().items() if name != "lm_head.weight"}
    assert not {*HARMLESS[family]} & {*state}
    folder = write_folder(tmp_path / "model", original.config, state | {name: torch.ones(3) for name in HARMLESS[family]})
    loaded = load(str(folder))
    assert sources.weights_fingerprint(loaded) == sources.weights_fingerprint(original)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("family", "prefix"), [("gpt2", "transformer."), ("opt", "model.")])
def test_names_without_the_prefix_are_the_same_weights(family, prefix, tmp_path):
    """As the published GPT-2 and OPT files have them."""
    original = tiny_model(family)
    state = {name.removeprefix(prefix): tensor for name, tensor in original.state_dict().items() if name != "lm_head.weight"}
    loaded = load(str(write_folder(tmp_path / "model", original.config, state)))
    assert sources.weights_fingerprint(loaded) == sources.weights_fingerprint(original)
