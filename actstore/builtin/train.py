"""The training recipe of the embedded models: `python -m actstore.builtin.train`.

Owns the tokenizer's and the models' configurations, the optimiser and the schedule of
checkpoints. Training is deterministic by seed, up to the order of floating-point sums on the
machine. It made the weights in `models/`; to train them again takes about an hour on two cores.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    GPTNeoXConfig,
    LlamaConfig,
    OPTConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from actstore.builtin import MODELS_FOLDER
from actstore.builtin.discourse import documents

BOS = "<|endoftext|>"
VOCABULARY_SIZE = 1024
CONTEXT = 256
SEQUENCE = 128
BATCH = 48
WARMUP = 100
PEAK_RATE = 3e-3
SEED = 1
SHARDS = 20
SHARD_DOCUMENTS = 5_000
CHECKPOINTS = {
    "pico-neox": (0, *(2**k for k in range(10)), 1000, 2000, 3000, 4000),
    "pico-llama": (256, 1000, 2000),
    "pico-opt": (2000,),
}
"""Training steps whose weights are kept; training ends with the last."""


def configuration(name: str) -> PreTrainedConfig:
    """The architecture of one embedded model."""
    width, layers, heads, neurons = 96, 4, 4, 512
    special = {"vocab_size": VOCABULARY_SIZE, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    shape = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    if name == "pico-neox":
        return GPTNeoXConfig(
            **special,
            **shape,
            intermediate_size=neurons,
            max_position_embeddings=CONTEXT,
            hidden_act="gelu",
            use_parallel_residual=True,
            tie_word_embeddings=False,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.5},
        )
    if name == "pico-llama":
        return LlamaConfig(
            **special,
            **shape,
            intermediate_size=neurons,
            max_position_embeddings=CONTEXT,
            hidden_act="silu",
            tie_word_embeddings=False,
        )
    if name == "pico-opt":
        return OPTConfig(
            **special,
            **shape,
            ffn_dim=neurons,
            word_embed_proj_dim=width,
            max_position_embeddings=CONTEXT,
            activation_function="relu",
            dropout=0.0,
            tie_word_embeddings=False,
        )
    raise ValueError(f"unknown embedded model {name!r}; choose from {', '.join(CHECKPOINTS)}")


def train_tokenizer(n_documents: int = 20_000) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer for the embedded language."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[BOS],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    texts = (document.text for document in itertools.islice(documents("train", SEED), n_documents))
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=BOS, model_max_length=CONTEXT, clean_up_tokenization_spaces=False
    )


def shard_tokens(tokenizer: PreTrainedTokenizerFast, shard: int) -> np.ndarray:
    """One shard of the training text as a row of token ids, a BOS before each document."""
    texts = [document.text for document in itertools.islice(documents("train", 100 * SEED + shard), SHARD_DOCUMENTS)]
    rows: list[int] = []
    for ids in tokenizer(texts)["input_ids"]:
        rows.append(0)
        rows.extend(ids)
    return np.asarray(rows, dtype=np.int64)


def batches(tokenizer: PreTrainedTokenizerFast) -> Iterator[torch.Tensor]:
    """Endless shuffled batches (batch, SEQUENCE), shard after shard; each pass over a shard starts at another offset."""
    rng = np.random.default_rng(SEED)
    shards: dict[int, np.ndarray] = {}
    for shard in itertools.cycle(range(SHARDS)):
        if shard not in shards:
            shards[shard] = shard_tokens(tokenizer, shard)
        start = int(rng.integers(SEQUENCE))
        n_rows = (len(shards[shard]) - start) // SEQUENCE
        rows = shards[shard][start : start + n_rows * SEQUENCE].reshape(n_rows, SEQUENCE)
        order = rng.permutation(n_rows)
        for first in range(0, n_rows - BATCH + 1, BATCH):
            yield torch.from_numpy(rows[order[first : first + BATCH]])


def rate(step: int, n_steps: int) -> float:
    """Learning rate: linear from 0 (so step 1 equals step 0, as in Pythia), then cosine to a tenth."""
    if step < WARMUP:
        return PEAK_RATE * step / WARMUP
    progress = (step - WARMUP) / (n_steps - WARMUP)
    return PEAK_RATE * (0.1 + 0.45 * (1 + math.cos(math.pi * progress)))


def train(
    name: str, tokenizer: PreTrainedTokenizerFast, last_step: int | None = None, report_every: int = 0
) -> Iterator[tuple[int, PreTrainedModel]]:
    """Train from scratch; yields the step and the model at each of its checkpoints up to `last_step`."""
    n_steps = CHECKPOINTS[name][-1]
    last_step = n_steps if last_step is None else last_step
    torch.manual_seed(SEED)
    model = AutoModelForCausalLM.from_config(configuration(name), dtype=torch.float32)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), eps=1e-8)
    stream = batches(tokenizer)
    start_time, losses = time.monotonic(), []
    model.train()
    for step in range(last_step + 1):
        if step in CHECKPOINTS[name]:
            yield step, model
        if step == last_step:
            return
        for group in optimizer.param_groups:
            group["lr"] = rate(step, n_steps)
        batch = next(stream)
        logits = model(input_ids=batch).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if report_every and (step + 1) % report_every == 0:
            pace = (time.monotonic() - start_time) / (step + 1)
            print(f"{name} step {step + 1}: loss {np.mean(losses[-report_every:]):.4f}, {pace:.3f} s/step", flush=True)


def save(model: PreTrainedModel, folder: Path) -> None:
    """Write float16 weights; the model itself, which continues to train, stays unchanged."""
    state = {key: value.detach().to(torch.float16) for key, value in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=state)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m actstore.builtin.train", description=__doc__)
    parser.add_argument("names", nargs="*", default=list(CHECKPOINTS), help="models to train (all)")
    parser.add_argument("--out", type=Path, default=MODELS_FOLDER, help="where the suites are written")
    options = parser.parse_args(arguments)
    logging.disable_progress_bar()
    tokenizer = train_tokenizer()
    for name in options.names:
        tokenizer.save_pretrained(options.out / name)
        for step, model in train(name, tokenizer, report_every=100):
            save(model, options.out / name / f"step{step}")


if __name__ == "__main__":
    main()
