"""The catalogue of public models: short name, repository and sizes.

Owns the facts about models that need no download, with the training checkpoints, and the published
checkpoints that are known to be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_SIZES = ("n_layers", "n_hidden", "n_neurons", "n_heads", "n_kv_heads", "head_size", "n_vocabulary", "n_positions")
_TABLE = """
pythia-14m EleutherAI/pythia-14m gpt_neox 6 128 512 4 4 32 50304 2048
pythia-31m EleutherAI/pythia-31m gpt_neox 6 256 1024 8 8 32 50304 2048
pythia-70m EleutherAI/pythia-70m gpt_neox 6 512 2048 8 8 64 50304 2048
pythia-160m EleutherAI/pythia-160m gpt_neox 12 768 3072 12 12 64 50304 2048
pythia-410m EleutherAI/pythia-410m gpt_neox 24 1024 4096 16 16 64 50304 2048
pythia-1b EleutherAI/pythia-1b gpt_neox 16 2048 8192 8 8 256 50304 2048
pythia-1.4b EleutherAI/pythia-1.4b gpt_neox 24 2048 8192 16 16 128 50304 2048
pythia-2.8b EleutherAI/pythia-2.8b gpt_neox 32 2560 10240 32 32 80 50304 2048
pythia-6.9b EleutherAI/pythia-6.9b gpt_neox 32 4096 16384 32 32 128 50432 2048
pythia-12b EleutherAI/pythia-12b gpt_neox 36 5120 20480 40 40 128 50688 2048
gpt2 openai-community/gpt2 gpt2 12 768 3072 12 12 64 50257 1024
gpt2-medium openai-community/gpt2-medium gpt2 24 1024 4096 16 16 64 50257 1024
gpt2-large openai-community/gpt2-large gpt2 36 1280 5120 20 20 64 50257 1024
gpt2-xl openai-community/gpt2-xl gpt2 48 1600 6400 25 25 64 50257 1024
opt-125m facebook/opt-125m opt 12 768 3072 12 12 64 50272 2048
opt-350m facebook/opt-350m opt 24 1024 4096 16 16 64 50272 2048
opt-1.3b facebook/opt-1.3b opt 24 2048 8192 32 32 64 50272 2048
opt-2.7b facebook/opt-2.7b opt 32 2560 10240 32 32 80 50272 2048
opt-6.7b facebook/opt-6.7b opt 32 4096 16384 32 32 128 50272 2048
opt-13b facebook/opt-13b opt 40 5120 20480 40 40 128 50272 2048
opt-30b facebook/opt-30b opt 48 7168 28672 56 56 128 50272 2048
opt-66b facebook/opt-66b opt 64 9216 36864 72 72 128 50272 2048
llama-3.1-8b meta-llama/Llama-3.1-8B llama 32 4096 14336 32 8 128 128256 131072
llama-3.1-70b meta-llama/Llama-3.1-70B llama 80 8192 28672 64 8 128 128256 131072
llama-3.2-1b meta-llama/Llama-3.2-1B llama 16 2048 8192 32 8 64 128256 131072
llama-3.2-3b meta-llama/Llama-3.2-3B llama 28 3072 8192 24 8 128 128256 131072
mistral-7b-v0.1 mistralai/Mistral-7B-v0.1 mistral 32 4096 14336 32 8 128 32000 32768
mistral-7b-v0.3 mistralai/Mistral-7B-v0.3 mistral 32 4096 14336 32 8 128 32768 32768
qwen2-0.5b Qwen/Qwen2-0.5B qwen2 24 896 4864 14 2 64 151936 131072
qwen2-1.5b Qwen/Qwen2-1.5B qwen2 28 1536 8960 12 2 128 151936 131072
qwen2-7b Qwen/Qwen2-7B qwen2 28 3584 18944 28 4 128 152064 131072
qwen2-72b Qwen/Qwen2-72B qwen2 80 8192 29568 64 8 128 152064 131072
qwen2.5-0.5b Qwen/Qwen2.5-0.5B qwen2 24 896 4864 14 2 64 151936 32768
qwen2.5-1.5b Qwen/Qwen2.5-1.5B qwen2 28 1536 8960 12 2 128 151936 131072
qwen2.5-3b Qwen/Qwen2.5-3B qwen2 36 2048 11008 16 2 128 151936 32768
qwen2.5-7b Qwen/Qwen2.5-7B qwen2 28 3584 18944 28 4 128 152064 131072
qwen2.5-14b Qwen/Qwen2.5-14B qwen2 48 5120 13824 40 8 128 152064 131072
qwen2.5-32b Qwen/Qwen2.5-32B qwen2 64 5120 27648 40 8 128 152064 131072
qwen2.5-72b Qwen/Qwen2.5-72B qwen2 80 8192 29568 64 8 128 152064 131072
qwen3-0.6b Qwen/Qwen3-0.6B-Base qwen3 28 1024 3072 16 8 128 151936 32768
qwen3-1.7b Qwen/Qwen3-1.7B-Base qwen3 28 2048 6144 16 8 128 151936 32768
qwen3-4b Qwen/Qwen3-4B-Base qwen3 36 2560 9728 32 8 128 151936 32768
qwen3-8b Qwen/Qwen3-8B-Base qwen3 36 4096 12288 32 8 128 151936 32768
qwen3-14b Qwen/Qwen3-14B-Base qwen3 40 5120 17408 40 8 128 151936 32768
gemma-2-2b google/gemma-2-2b gemma2 26 2304 9216 8 4 256 256000 8192
gemma-2-9b google/gemma-2-9b gemma2 42 3584 14336 16 8 256 256000 8192
gemma-2-27b google/gemma-2-27b gemma2 46 4608 36864 32 16 128 256000 8192
gemma-3-270m google/gemma-3-270m gemma3_text 18 640 2048 4 1 256 262144 32768
gemma-3-1b google/gemma-3-1b-pt gemma3_text 26 1152 6912 4 1 256 262144 32768
olmo-2-1b allenai/OLMo-2-0425-1B olmo2 16 2048 8192 16 16 128 100352 4096
olmo-2-7b allenai/OLMo-2-1124-7B olmo2 32 4096 11008 32 32 128 100352 4096
olmo-2-13b allenai/OLMo-2-1124-13B olmo2 40 5120 13824 40 40 128 100352 4096
olmo-2-32b allenai/OLMo-2-0325-32B olmo2 64 5120 27648 40 8 128 100352 4096
smollm2-135m HuggingFaceTB/SmolLM2-135M llama 30 576 1536 9 3 64 49152 8192
smollm2-360m HuggingFaceTB/SmolLM2-360M llama 32 960 2560 15 5 64 49152 8192
smollm2-1.7b HuggingFaceTB/SmolLM2-1.7B llama 24 2048 8192 32 32 64 49152 8192
"""
_TIED = tuple(
    "gpt2 opt gemma smollm2 llama-3.2 qwen2-0.5b qwen2-1.5b qwen2.5-0.5b qwen2.5-1.5b qwen2.5-3b "
    "qwen3-0.6b qwen3-1.7b qwen3-4b".split()
)
"""Beginnings of the names of models whose output projection is the embedding."""
PYTHIA_STEPS = (0, *(2**k for k in range(10)), *range(1000, 144_000, 1000))
"""Training steps of every Pythia model's published checkpoints; the last one is the final model."""
_NEAR_FINAL_2_8B = {*PYTHIA_STEPS[:11], *range(1000, 65_001, 1000), *range(70_000, 150_000, 10_000), 103_000, 143_000}
_WITH_DEDUPED = ("70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b")
_WITH_SEEDS = ("14m", "31m", "70m", "160m", "410m")


@dataclass(frozen=True)
class Entry:
    """A public model: its repository on the hub and its shape.

    Attributes
    ----------
    name, repo, family : str
        Short name, hub repository, `model_type` of its configuration.
    n_layers, n_hidden, n_neurons, n_heads, n_kv_heads, head_size, n_vocabulary, n_positions : int
        Sizes; `n_neurons` is the width of the pre-activation in one layer.
    steps : tuple of int
        Training checkpoints; empty if only the hub can list them.
    """

    name: str
    repo: str
    family: str
    n_layers: int
    n_hidden: int
    n_neurons: int
    n_heads: int
    n_kv_heads: int
    head_size: int
    n_vocabulary: int
    n_positions: int
    steps: tuple[int, ...] = ()

    @property
    def config(self) -> dict[str, Any]:
        """Arguments of the family's configuration class for this model's shape."""
        if self.family == "gpt2":
            return {
                "n_layer": self.n_layers,
                "n_embd": self.n_hidden,
                "n_inner": self.n_neurons,
                "n_head": self.n_heads,
                "vocab_size": self.n_vocabulary,
                "n_positions": self.n_positions,
            }
        shared = {
            "num_hidden_layers": self.n_layers,
            "hidden_size": self.n_hidden,
            "num_attention_heads": self.n_heads,
            "vocab_size": self.n_vocabulary,
            "max_position_embeddings": self.n_positions,
        }
        if self.family == "opt":
            exceptions = {"word_embed_proj_dim": 512, "do_layer_norm_before": False} if self.name == "opt-350m" else {}
            return shared | {"ffn_dim": self.n_neurons, "word_embed_proj_dim": self.n_hidden} | exceptions
        shared |= {"intermediate_size": self.n_neurons, "tie_word_embeddings": self.name.startswith(_TIED)}
        if self.family == "gpt_neox":
            return shared
        return shared | {"num_key_value_heads": self.n_kv_heads, "head_dim": self.head_size}


def _entries() -> dict[str, Entry]:
    entries = {}
    for line in _TABLE.split("\n"):
        if not line:
            continue
        name, repo, family, *sizes = line.split()
        numbers: dict[str, Any] = dict(zip(_SIZES, map(int, sizes), strict=True))
        if not name.startswith("pythia"):
            entries[name] = Entry(name, repo, family, **numbers)
            continue
        size = name.removeprefix("pythia-")
        variants = ["", *(["-deduped"] if size in _WITH_DEDUPED else [])]
        variants += [f"-seed{k}" for k in range(1, 10)] if size in _WITH_SEEDS else []
        for variant in variants:
            entries[name + variant] = Entry(name + variant, repo + variant, family, **numbers, steps=PYTHIA_STEPS)
    return entries


CATALOGUE: dict[str, Entry] = _entries()
"""Short name → entry."""


def entry_of(name: str) -> Entry | None:
    """The entry of a short name or a repository, None if there is none."""
    entry = CATALOGUE.get(name.lower())
    return entry or next((entry for entry in CATALOGUE.values() if entry.repo.lower() == name.lower()), None)


def known_problem(repo: str, step: int) -> str | None:
    """The known problem of a published checkpoint, None if there is none."""
    if repo == "EleutherAI/pythia-12b" and step in (50_000, 58_000):
        return "its weights are a mixture of two checkpoints"
    if repo == "EleutherAI/pythia-2.8b" and step in _NEAR_FINAL_2_8B:
        return "its safetensors were published with near-final weights; see duplicate_of before reading a trend"
    return None
