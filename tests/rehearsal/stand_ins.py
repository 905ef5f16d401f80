"""Stand-ins for what is too large for a shelf: random models with their checkpoints, and tasks with made-up items.

They have the names and the forms of the public ones, so that every step of a study runs; what comes out means nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

_N_WORDS = 2048
_END = "<|endoftext|>"
_SHAPE = {"vocab_size": _N_WORDS, "hidden_size": 64, "num_hidden_layers": 8, "num_attention_heads": 4}
_SHAPE |= {"max_position_embeddings": 2048, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
SHAPES = {"gpt_neox": _SHAPE | {"intermediate_size": 256}, "opt": _SHAPE | {"ffn_dim": 256, "word_embed_proj_dim": 64}}
"""Family → configuration of its stand-in: 8 layers, as many as a study makes groups of layers, with 256 neurons each."""
_N_ITEMS = 12


def tokenizer_of(text: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer of 2,048 pieces, trained on a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=_N_WORDS, special_tokens=[_END], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(text.splitlines(), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=_END, eos_token=_END, pad_token=_END)


def random_model(family: str, seed: int) -> PreTrainedModel:
    """A model with weights drawn by seed, large enough that its neurons differ."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **SHAPES[family]), dtype=torch.float32)
    for weights in model.parameters():
        if weights.ndim == 2:
            torch.nn.init.normal_(weights, std=2 * weights.shape[1] ** -0.5)
    return model.requires_grad_(False)


def add_random(shelf: Path, repo: str, family: str, tokenizer: PreTrainedTokenizerFast, steps: tuple[int, ...] = ()) -> None:
    """A random model under a public name; at `steps` it lies between two draws, at the last of them and in `main` at the second."""
    model, first, last = (random_model(family, seed) for seed in (1, 0, 1))
    folder = shelf / "models" / repo
    for step in steps:
        share = math.log1p(step) / math.log1p(steps[-1])
        for weights, start, end in zip(model.parameters(), first.parameters(), last.parameters(), strict=True):
            weights.copy_(torch.lerp(start, end, share))
        _save(folder.with_name(f"{folder.name}@step{step}"), model, tokenizer)
    _save(folder, last, tokenizer)


def _save(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def add_tasks(shelf: Path) -> None:
    """Items of multiple choice, as many for each, in the data sets of the tasks that `studies/pythia-1b.toml` names."""
    for repo, name, splits, rows in _tasks():
        folder = shelf / "datasets" / repo
        below = folder / (name or "data")
        below.mkdir(parents=True, exist_ok=True)
        for split in splits:
            pd.DataFrame(rows).to_parquet(below / f"{split}-00000-of-00001.parquet")
        _describe(folder, sorted(path.name for path in folder.iterdir() if path.is_dir()))


def _describe(folder: Path, names: list[str]) -> None:
    """The head of a data set's README.md, which says to the client which files are which configuration."""
    lines = ["---", "configs:"]
    for name in names:
        lines += [f"- config_name: {'default' if name == 'data' else name}", "  data_files:"]
        for file in sorted((folder / name).iterdir()):
            split = file.name.partition("-")[0]
            lines += [f"  - split: {split}", f"    path: {name}/{split}-*"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]), encoding="utf-8")


def _tasks() -> Iterator[tuple[str, str, tuple[str, ...], list[dict[str, object]]]]:
    """Repository, configuration, splits and rows of every data set."""
    items = [(f"Which number follows {n}?", [str(n + 1), str(n), str(n + 3), str(n + 2)]) for n in range(_N_ITEMS)]
    lettered = [(question, {"text": options, "label": list("ABCD")}) for question, options in items]
    whole, without_test = ("train", "validation", "test"), ("train", "validation")
    arc = [{"id": str(n), "question": q, "choices": c, "answerKey": "A"} for n, (q, c) in enumerate(lettered)]
    yield "allenai/ai2_arc", "ARC-Easy", whole, arc
    yield "allenai/ai2_arc", "ARC-Challenge", whole, arc
    yield "allenai/openbookqa", "main", whole, [{"question_stem": q, "choices": c, "answerKey": "A"} for q, c in lettered]
    yield "baber/piqa", "", without_test, [{"goal": q, "sol1": o[0], "sol2": o[1], "label": 0} for q, o in items]
    ends = [{"ctx_a": q, "ctx_b": "it is", "activity_label": "Counting", "endings": o, "label": "0"} for q, o in items]
    yield "Rowan/hellaswag", "", without_test, ends
    gaps = [{"sentence": f"{q} It is _ .", "option1": o[0], "option2": o[1], "answer": "1"} for q, o in items]
    yield "allenai/winogrande", "winogrande_xl", without_test, gaps
    names = ("correct_answer", "distractor1", "distractor2", "distractor3")
    yield "allenai/sciq", "", whole, [{"support": "", "question": q} | dict(zip(names, o, strict=True)) for q, o in items]
