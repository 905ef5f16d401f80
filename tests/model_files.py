"""Models on disk, in every form that can be loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gguf
import torch
from safetensors.torch import save_file
from transformers import PreTrainedConfig, PreTrainedModel

from actstore.builtin import MODELS_FOLDER

State = dict[str, torch.Tensor]
_TOKENIZER = MODELS_FOLDER / "pico-neox"
N_TOKENS = 1024
"""Vocabulary of the embedded suite's tokenizer, with which these models are saved."""
_GGUF_NAMES = {
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


def save(folder: Path, model: PreTrainedModel) -> Path:
    """A model as its own class saves it, with the embedded suite's tokenizer."""
    model.save_pretrained(folder)
    _add_tokenizer(folder)
    return folder


def write_folder(folder: Path, config: PreTrainedConfig, state: State) -> Path:
    """Weights in one safetensors file, whatever they are, with a configuration and the embedded suite's tokenizer."""
    _write_shared(folder, config)
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "model.safetensors", {"format": "pt"})
    return folder


def write_sharded(folder: Path, config: PreTrainedConfig, state: State) -> Path:
    """The same in two safetensors files with an index."""
    _write_shared(folder, config)
    names = sorted(state)
    file_of = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: state[name].contiguous() for name in part}, folder / file, {"format": "pt"})
        file_of |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": file_of}))
    return folder


def write_bin(folder: Path, config: PreTrainedConfig, state: State) -> Path:
    """The same as a `.bin` file."""
    _write_shared(folder, config)
    torch.save(state, folder / "pytorch_model.bin")
    return folder


def _write_shared(folder: Path, config: PreTrainedConfig) -> None:
    config.save_pretrained(folder)
    _add_tokenizer(folder)


def _add_tokenizer(folder: Path) -> None:
    for file in _TOKENIZER.glob("tokenizer*"):
        shutil.copy(file, folder)


def write_gguf(path: Path, config: PreTrainedConfig, state: State) -> Path:
    """A Qwen 3 model as a `.gguf` file."""
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
    tokenizer = json.loads((_TOKENIZER / "tokenizer.json").read_text())["model"]
    tokens = sorted(tokenizer["vocab"], key=tokenizer["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * len(tokens))
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    for name, tensor in state.items():
        for ours, theirs in _GGUF_NAMES.items():
            name = name.replace(ours, theirs)
        writer.add_tensor(name, tensor.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
