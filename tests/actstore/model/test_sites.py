"""Sites of any module: the store has the module's own values and sizes, and edits change its output."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from actstore.ablation.applied import applied
from actstore.ablation.design import Design
from actstore.ablation.run import ablate
from actstore.cli.main import main
from actstore.config import ExtractConfig, RunConfig, TextConfig
from actstore.errors import ActstoreError, ModelError
from actstore.extraction.plan import plan
from actstore.extraction.run import extract
from actstore.model.families import adapter_for, nonlinearity
from actstore.model.interventions import intervention
from actstore.model.sites import Site, by_token, measure
from actstore.store.opening import open_store
from actstore.verification import verify
from analysis.__main__ import main as analysis_main
from analysis.results import load_table
from tests.helpers import FAMILIES, GATED, QUIET, tiny_model
from tests.model_files import N_TOKENS, save

EXPERTS = GATED | {"num_experts_per_tok": 2, "moe_intermediate_size": 8, "num_experts": 4, "num_local_experts": 4}
SHAPES = FAMILIES | {
    "mixtral": EXPERTS,
    "qwen2_moe": EXPERTS | {"shared_expert_intermediate_size": 8},
    "qwen3_moe": EXPERTS | {"mlp_only_layers": [0]},
    "qwen3": GATED | {"num_attention_heads": 4},
}
BLOCK = "model.layers.{layer}"
CASES = {
    "attention output": ("llama", f"{BLOCK}.self_attn.o_proj", Site(16, 16, True)),
    "MLP output": ("llama", f"{BLOCK}.mlp.down_proj", Site(24, 16, True)),
    "up projection": ("llama", f"{BLOCK}.mlp.up_proj", Site(16, 24, True)),
    "activation": ("llama", f"{BLOCK}.mlp.act_fn", Site(24, 24, False)),
    "norm": ("llama", f"{BLOCK}.input_layernorm", Site(16, 16, False)),
    "block": ("llama", BLOCK, Site(16, 16, False)),
    "attention, a tuple, its input by name": ("llama", f"{BLOCK}.self_attn", Site(16, 16, False)),
    "norm of heads": ("qwen3", f"{BLOCK}.self_attn.q_norm", Site(32, 32, False)),
    "turned weights": ("gpt2", "transformer.h.{layer}.mlp.c_proj", Site(24, 16, True)),
    "block of GPT-2": ("gpt2", "transformer.h.{layer}", Site(16, 16, False)),
    "router, a tuple": ("mixtral", f"{BLOCK}.mlp.gate", Site(16, 4, True)),
    "block of experts": ("mixtral", BLOCK, Site(16, 16, False)),
    "gate of one value": ("qwen2_moe", f"{BLOCK}.mlp.shared_expert_gate", Site(16, 1, True)),
}


def shape_of(family):
    return SHAPES[family] | {"vocab_size": N_TOKENS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Family → a folder with a small model of it."""
    folders = {}

    def write(family):
        if family not in folders:
            folders[family] = save(tmp_path_factory.mktemp(family), tiny_model(family, shape_of(family)))
        return folders[family]

    return write


def config_of(source, site, tokens=48, layers="all", **text):
    text = TextConfig(tokens=tokens, window=48, **text)
    return ExtractConfig(str(source), dtype="float32", layers=layers, text=text, run=RunConfig(site=site))


def plain_run(source, site, token_id):
    """The plain model, and input and output of the site's module in every layer, by plain hooks."""
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    observed = {}

    def hook_for(layer):
        def hook(module, args, keywords, output):
            inputs = args[0] if args else keywords["hidden_states"]
            observed[layer] = inputs, output[0] if isinstance(output, tuple) else output

        return hook

    for layer in range(2):
        model.get_submodule(site.format(layer=layer)).register_forward_hook(hook_for(layer), with_kwargs=True)
    with torch.inference_mode():
        model(input_ids=torch.from_numpy(token_id)[None])
    return model, observed


@pytest.mark.parametrize("case", CASES)
def test_stored_values_are_the_modules_own(case, folder, tmp_path):
    family, site, expected = CASES[case]
    source, path = folder(family), tmp_path / "s.zarr"
    extract(config_of(source, site), path, QUIET)
    store = open_store(path).isel(checkpoint=0)
    assert verify(path) == []
    assert Site(store.sizes["hidden"], store.sizes["neuron"], store.attrs["site_is_linear"]) == expected
    model, observed = plain_run(source, site, store["token_id"].values)
    for layer, (inputs, output) in observed.items():
        stored = store.sel(layer=layer)
        np.testing.assert_array_equal(stored["mlp_input"], inputs.reshape(store.sizes["token"], -1))
        np.testing.assert_array_equal(stored["preactivation"], output.reshape(store.sizes["token"], -1))
        if expected.is_linear:
            bias = getattr(model.get_submodule(site.format(layer=layer)), "bias", None)
            product = stored["mlp_input"].values @ stored["neuron_weight"].values
            product += 0 if bias is None else bias.numpy(force=True)
            np.testing.assert_allclose(stored["preactivation"], product, rtol=1e-4, atol=1e-6)
    assert ("neuron_weight" in store) == expected.is_linear
    assert store["preactivation"].attrs["long_name"] == f"output of {site}"
    assert store["mlp_input"].attrs["long_name"] == f"input of {site}"
    assert store.attrs["site"] == site


@pytest.mark.parametrize("module", ["mlp.down_proj", "input_layernorm"])
def test_the_plan_equals_the_written_store(module, tmp_path, monkeypatch):
    monkeypatch.setattr("actstore.extraction.plan._CALIBRATION_SECONDS", 0.01)
    monkeypatch.setattr("actstore.extraction.plan._CALIBRATION_BYTES", 2**22)
    config = config_of("pico-llama", f"{BLOCK}.{module}", tokens=600)
    predicted = plan(config, tmp_path / "s.zarr")
    extract(config, tmp_path / "s.zarr", QUIET)
    files = [path for path in (tmp_path / "s.zarr").rglob("*") if path.is_file()]
    assert predicted.n_files == len(files)
    for name in ("preactivation", "mlp_input", "neuron_weight"):
        written = sum(file.stat().st_size for file in (tmp_path / "s.zarr" / name).glob("c/**/*") if file.is_file())
        assert predicted.bytes_of.get(name, 0) == written


def test_the_default_site_may_be_named(folder, tmp_path):
    default = adapter_for(tiny_model("llama")).site
    for name, site in (("unnamed.zarr", None), ("named.zarr", default)):
        extract(config_of(folder("llama"), site), tmp_path / name, QUIET)
    unnamed, named = (open_store(tmp_path / name) for name in ("unnamed.zarr", "named.zarr"))
    assert named["preactivation"].attrs["long_name"] == "MLP pre-activation: what the non-linearity receives"
    assert named["mlp_input"].attrs["long_name"] == "MLP input after the block's normalisation"
    keys = ("site", "nonlinearity", "site_is_linear")
    assert [named.attrs[key] for key in keys] == [unnamed.attrs[key] for key in keys] == [default, "silu", True]
    np.testing.assert_array_equal(named["preactivation"], unnamed["preactivation"])


def test_info_describes_the_arrays(folder, tmp_path, capsys):
    site = f"{BLOCK}.input_layernorm"
    extract(config_of(folder("llama"), site), tmp_path / "s.zarr", QUIET)
    assert main(["info", str(tmp_path / "s.zarr")]) == 0
    output = capsys.readouterr().out
    assert f"float32, 0.0 MiB: output of {site}" in output
    assert "site_is_linear: False" in output
    assert "nonlinearity: none" in output
    assert "pre-activation" not in output.replace("preactivation", "")
    assert main(["info", str(tmp_path / "s.zarr"), "--json"]) == 0
    assert "neuron_weight" not in json.loads(capsys.readouterr().out)["arrays"]


def test_a_site_of_some_layers_keeps_their_numbers(folder, tmp_path):
    """Layer 0 has a plain MLP and no router."""
    source, site = folder("qwen3_moe"), f"{BLOCK}.mlp.gate"
    extract(config_of(source, site), tmp_path / "s.zarr", QUIET)
    store = open_store(tmp_path / "s.zarr")
    assert store["layer"].values.tolist() == [1]
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    weight = model.model.layers[1].mlp.gate.weight.numpy(force=True)
    np.testing.assert_array_equal(store["neuron_weight"].sel(layer=1).isel(checkpoint=0), weight.T)
    with pytest.raises(ModelError, match="layer 0 is out of range: the model has layers 1"):
        extract(config_of(source, site, layers="0:1"), tmp_path / "t.zarr", QUIET)
    text = TextConfig("builtin-evaluation", tokens=200, window=48)
    design = Design(str(source), text=text, readouts=(), run=RunConfig(site=site))
    with pytest.raises(ModelError, match=r"is in layers 1 alone.*cannot be ablated"):
        ablate(design, tmp_path / "a.zarr")


def test_layers_of_two_kinds_are_separated(folder, tmp_path):
    source, site = folder("qwen3_moe"), f"{BLOCK}.mlp.act_fn"
    with pytest.raises(ModelError, match="not one row a token"):
        extract(config_of(source, f"{BLOCK}.mlp.experts.act_fn"), tmp_path / "s.zarr", QUIET)
    extract(config_of(source, site), tmp_path / "s.zarr", QUIET)
    assert open_store(tmp_path / "s.zarr")["layer"].values.tolist() == [0]


@pytest.mark.parametrize(
    ("family", "site", "reason"),
    [
        ("llama", f"{BLOCK}.mlp.up_prj", r"no module matches .*did you mean 'model\.layers\.\{layer\}\.mlp\.up_proj'"),
        ("llama", "model.layers.0.mlp.up_proj", r"must have \{layer\}"),
        ("llama", "model.rotary_emb{layer}", "no module matches"),
    ],
)
def test_the_refusal_of_a_wrong_site_names_the_reason(family, site, reason, folder, tmp_path):
    with pytest.raises(ActstoreError, match=reason):
        extract(config_of(folder(family), site), tmp_path / "s.zarr", QUIET)
    assert not list(tmp_path.iterdir())


class Uneven(torch.nn.Module):
    """A norm with a part that does not see every token exactly once."""

    def __init__(self, norm, n_runs, n_positions):
        super().__init__()
        self.norm, self.n_runs, self.n_positions = norm, n_runs, n_positions
        self.part = torch.nn.Identity()

    def forward(self, values):
        for _ in range(self.n_runs):
            self.part(values[:, : self.n_positions])
        return self.norm(values)


@pytest.mark.parametrize(
    ("n_runs", "n_positions", "reason"), [(1, 5, "not one row a token"), (2, 13, "runs 2 times"), (0, 13, "runs 0 times")]
)
def test_modules_that_do_not_see_every_token_once_are_refused(n_runs, n_positions, reason):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **GATED), attn_implementation="eager")
        for layer in model.model.layers:
            layer.input_layernorm = Uneven(layer.input_layernorm, n_runs, n_positions)
    site = f"{BLOCK}.input_layernorm.part"
    with pytest.raises(ModelError, match=reason):
        measure(model, site, adapter_for(model, site).modules(model))


def test_rows_of_tokens():
    values = torch.arange(2 * 3 * 4).view(2, 3, 4)
    assert torch.equal(by_token(values, 2, 3), values.view(6, 4))
    assert torch.equal(by_token(values.view(6, 4), 2, 3), values.view(6, 4))
    assert torch.equal(by_token(values.view(2, 3, 2, 2), 2, 3), values.view(6, 4))
    for output in (values.view(3, 2, 4), values.view(24), values.view(4, 6)):
        with pytest.raises(ModelError, match=r"not one row a token"):
            by_token(output, 2, 3)


def logits(model):
    with torch.inference_mode():
        return model(input_ids=torch.arange(1, 11)[None]).logits.clone()


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("router")])
def test_an_edit_changes_the_output(case):
    """Scaling by 1 changes nothing, and zeroing equals a module that returns zeros."""
    family, site, expected = CASES[case]
    model, silenced = tiny_model(family, shape_of(family)), tiny_model(family, shape_of(family))
    original, neurons = logits(model), (0, expected.n_neurons - 1)

    def silence(module, args, output):
        values = output[0] if isinstance(output, tuple) else output
        flat = values.clone().flatten(2) if values.ndim > 3 else values.clone()
        flat[..., neurons] = 0
        values = flat.view_as(values)
        return (values, *output[1:]) if isinstance(output, tuple) else values

    silenced.get_submodule(site.format(layer=1)).register_forward_hook(silence)
    with applied(model, intervention("both-zero"), {1: neurons}, site=site):
        assert torch.equal(logits(model), logits(silenced))
        assert not torch.equal(logits(model), original)
    with applied(model, intervention("scale:1"), {1: neurons}, site=site):
        assert torch.equal(logits(model), original)
    assert torch.equal(logits(model), original)


def test_an_unused_output_cannot_be_edited():
    """A router returns its logits beside the scores that the model uses."""
    model = tiny_model("mixtral", shape_of("mixtral"))
    with (
        pytest.raises(ModelError, match=r"does not use the output of .*mlp\.gate"),
        applied(model, intervention("both-zero"), {0: (1,)}, site=f"{BLOCK}.mlp.gate"),
    ):
        pass
    assert not any(module._forward_hooks for module in model.modules())


def test_statistics_of_a_site_without_weights(tmp_path, capsys):
    """All tables are written; the table of weights is empty, and a line says why."""
    site = "gpt_neox.layers.{layer}.input_layernorm"
    config = ExtractConfig("pico-neox", "0,64,4000", text=TextConfig(tokens=600), run=RunConfig(site=site))
    extract(config, tmp_path / "s.zarr", QUIET)
    store, results = str(tmp_path / "s.zarr"), str(tmp_path / "r")
    options = ["--fraction", "0.2", "--random-seeds", "1"]
    assert analysis_main(["entanglement", "--store", store, "--out", results, *options]) == 0
    assert analysis_main(["dynamics", "--store", store, "--results", results, "--fraction", "0.2"]) == 0
    assert f"has no neuron_weight, as {site} is no linear map: weights.csv has no rows" in capsys.readouterr().out
    assert len(load_table(tmp_path / "r" / "cohorts.csv")) > 0
    assert list(load_table(tmp_path / "r" / "weights.csv")) == list(load_table(tmp_path / "r" / "cohorts.csv"))
    assert len(load_table(tmp_path / "r" / "weights.csv")) == 0


def test_only_the_default_site_of_a_family_has_a_nonlinearity():
    model = tiny_model("opt")
    site = "model.decoder.layers.{layer}.fc2"
    assert nonlinearity(model, adapter_for(model, site)) == "none"
    assert nonlinearity(model, adapter_for(model)) == "relu"
