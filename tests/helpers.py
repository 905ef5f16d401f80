"""Small builders that several tests share."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from actstore.extraction.run import RunOptions
from actstore.model.hooks import observe

QUIET = RunOptions(progress=False)

TINY = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64}
GATED = TINY | {"intermediate_size": 24, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0}
FAMILIES: dict[str, dict[str, object]] = {
    "gpt_neox": TINY | {"intermediate_size": 24},
    "gpt2": {"vocab_size": 64, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_inner": 24, "n_positions": 64},
    "opt": TINY | {"ffn_dim": 24, "word_embed_proj_dim": 16, "dropout": 0.0},
    "llama": GATED,
    "mistral": GATED,
    "qwen2": GATED,
    "qwen3": GATED,
    "gemma2": GATED | {"query_pre_attn_scalar": 8},
    "gemma3_text": GATED | {"query_pre_attn_scalar": 8},
    "olmo2": GATED,
}


def tiny_model(family: str, shape: dict[str, object] | None = None):
    """A small randomly initialised model of a family."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **(shape or FAMILIES[family]))
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval().requires_grad_(False)


def isolate(monkeypatch, registry):
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_entries", dict(registry.entries))
    monkeypatch.setattr(registry, "_modules", dict(registry._modules))


@contextmanager
def capture(sites):
    """The last forward pass's input and output of every site."""
    seen = SimpleNamespace(inputs={}, outputs={})

    def receive(layer, inputs, outputs):
        seen.inputs[layer], seen.outputs[layer] = inputs, outputs

    with observe(list(sites.values()), receive):
        yield seen


# Python code after which torch cannot be imported.
NO_TORCH = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "tokenizers"):
            raise ModuleNotFoundError(f"{name} is blocked", name=name)
sys.meta_path.insert(0, Block())
"""
