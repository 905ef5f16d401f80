"""Fill a shelf: models from `.gguf` files and data sets from plain files, in the form in which the hub has them.

A shelf is a folder with `models/OWNER/NAME` (other revisions: `models/OWNER/NAME@REVISION`) and `datasets/OWNER/NAME`.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import pandas as pd
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from tests.rehearsal.stand_ins import add_random, add_tasks, tokenizer_of

PYTHIA_STEPS = (0, 1, 4, 16, 64, 256, 512, *(1000 * 2**k for k in range(7)), 143_000)
"""Checkpoints that `studies/pythia-1b.toml` takes."""
_WIKITEXT_PARTS = {"test": "test.txt.gz", "validation": "valid.txt.gz"}


def add_model(shelf: Path, repo: str, file: Path) -> None:
    """The model of a `.gguf` file as safetensors in bfloat16, and its tokenizer."""
    folder = shelf / "models" / repo
    options = {"gguf_file": file.name, "local_files_only": True}
    model = AutoModelForCausalLM.from_pretrained(
        file.parent, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True), **options
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(file.parent, **options).save_pretrained(folder)


def add_wikitext(shelf: Path, source: Path) -> None:
    """WikiText-2 as the two parquet files that `wikitext2` and `wikitext2-validation` name, a row a line."""
    folder = shelf / "datasets" / "Salesforce" / "wikitext" / "wikitext-2-raw-v1"
    folder.mkdir(parents=True, exist_ok=True)
    for part, name in _WIKITEXT_PARTS.items():
        with gzip.open(source / name, "rt", encoding="utf-8") as lines:
            pd.DataFrame({"text": list(lines)}).to_parquet(folder / f"{part}-00000-of-00001.parquet")


def add_blimp(shelf: Path, source: Path) -> None:
    """BLiMP as a folder a paradigm with one parquet file."""
    for file in sorted(source.glob("*.jsonl.gz")):
        folder = shelf / "datasets" / "nyu-mll" / "blimp" / file.name.partition(".")[0]
        folder.mkdir(parents=True, exist_ok=True)
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            records = pd.DataFrame([json.loads(line) for line in lines])
        records[["sentence_good", "sentence_bad", "linguistics_term", "UID"]].to_parquet(
            folder / "train-00000-of-00001.parquet"
        )


def add_stand_ins(shelf: Path, source: Path) -> None:
    """What `studies/pythia-1b.toml` names: both models with the checkpoints that it takes, and the tasks."""
    with gzip.open(source / _WIKITEXT_PARTS["validation"], "rt", encoding="utf-8") as lines:
        tokenizer = tokenizer_of(lines.read())
    add_random(shelf, "EleutherAI/pythia-1b", "gpt_neox", tokenizer, PYTHIA_STEPS)
    add_random(shelf, "facebook/opt-1.3b", "opt", tokenizer)
    add_tasks(shelf)


def main() -> None:
    """Fill a shelf from files."""
    parser = argparse.ArgumentParser(prog="python -m tests.rehearsal.shelf", description=main.__doc__)
    parser.add_argument("shelf", type=Path)
    parser.add_argument("--model", nargs=2, action="append", default=[], metavar=("REPO", "GGUF"))
    parser.add_argument("--wikitext", type=Path, help="folder of test.txt.gz and valid.txt.gz")
    parser.add_argument("--blimp", type=Path, help="folder of .jsonl.gz files")
    parser.add_argument("--stand-ins", action="store_true", help="random models and made-up tasks of studies/pythia-1b.toml")
    options = parser.parse_args()
    if options.stand_ins and not options.wikitext:
        parser.error("--stand-ins needs --wikitext: their tokenizer is trained on it")
    for repo, file in options.model:
        add_model(options.shelf, repo, Path(file))
    if options.wikitext:
        add_wikitext(options.shelf, options.wikitext)
    if options.blimp:
        add_blimp(options.shelf, options.blimp)
    if options.stand_ins:
        add_stand_ins(options.shelf, options.wikitext)


if __name__ == "__main__":
    main()
