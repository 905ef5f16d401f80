"""Models from `.gguf` files, made here from a small model of our own."""

from __future__ import annotations

import json

import gguf
import numpy as np
import pytest
import torch

from actstore import models
from actstore.builtin import MODELS_FOLDER
from actstore.errors import ModelError
from actstore.extract import ExtractConfig, Outcome, extract
from actstore.store import open_store
from tests.helpers import GATED, QUIET, tiny_model

NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "model.layers.": "blk.",
}


def write_gguf(path, model):
    """A Qwen 3 model with the embedded suite's tokenizer."""
    config = model.config
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    tokenizer = json.loads((MODELS_FOLDER / "pico-neox" / "tokenizer.json").read_text())["model"]
    tokens = sorted(tokenizer["vocab"], key=tokenizer["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * len(tokens))
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    for name, tensor in model.state_dict().items():
        for ours, theirs in NAMES.items():
            name = name.replace(ours, theirs)
        writer.add_tensor(name, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def original():
    return tiny_model("qwen3", GATED | {"vocab_size": 1024, "max_position_embeddings": 256, "head_dim": 128})


@pytest.fixture(scope="module")
def path(tmp_path_factory, original):
    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(file, original)
    return file


def test_the_file_gives_the_same_weights(path, original):
    loaded = models.load(models.resolve(str(path)), models.MAIN, torch.float32)
    ids = torch.arange(1, 30)[None]
    with torch.inference_mode():
        torch.testing.assert_close(loaded(input_ids=ids).logits, original(input_ids=ids).logits)


def test_it_is_extracted_like_any_model(path, original, tmp_path):
    config = ExtractConfig(str(path), tokens=600, dtype="float32")
    assert extract(config, tmp_path / "s.zarr", QUIET) is Outcome.WRITTEN
    store = open_store(tmp_path / "s.zarr")
    assert (store.attrs["family"], store.attrs["model"]) == ("qwen3", "tiny")
    assert store["preactivation"].shape[1::2] == (2, 24)
    chosen = store.isel(checkpoint=0, layer=1)
    weight = original.model.layers[1].mlp.gate_proj.weight.numpy()
    np.testing.assert_allclose(chosen["preactivation"], chosen["mlp_input"].values @ weight.T, rtol=1e-4, atol=1e-4)


def test_a_damaged_file_is_one_line(tmp_path):
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelError, match=r"cannot load the configuration of bad: "):
        models.outline(models.resolve(str(tmp_path / "bad.gguf")))
