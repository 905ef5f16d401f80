"""Options that several commands share: the text, the model, and what of it is stored."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import TYPE_CHECKING

from actstore import bounds
from actstore.cli.arguments import whole, with_bounds

if TYPE_CHECKING:
    from actstore.extraction.job import ExtractConfig

SEED = whole("seed", 0, bounds.LARGEST_SEED)
_TOKENS = whole("tokens", 1, bounds.MOST_TOKENS)


def window(text: str) -> int:
    """Tokens of a window."""
    window = whole("window", -bounds.LARGEST_SEED, bounds.LARGEST_SEED)(text)
    with_bounds(bounds.check_window, window)
    return window


def token_count(text: str) -> int | None:
    """How many tokens; None for all."""
    return None if text == "all" else _TOKENS(text)


def worker(text: str) -> tuple[int, int]:
    """A share `i/n` of the work."""
    number, slash, of = text.partition("/")
    if not slash:
        raise argparse.ArgumentTypeError(f"{text!r} is not i/n with 1 ≤ i ≤ n, e.g. 3/8")
    n_workers = whole("n of --worker i/n", 1, bounds.MOST_WORKERS)(of)
    return whole("i of --worker i/n", 1, n_workers)(number), n_workers


def add_extract_options(parser: argparse.ArgumentParser) -> None:
    """Everything that an extraction's store depends on."""
    parser.add_argument(
        "--model", required=True, help="name (see `actstore models`), hub repository, local folder or .gguf file"
    )
    parser.add_argument(
        "--checkpoints", default="main", help="all, main (the final model; default), log, START:STOP:EVERY, or steps: 512,1000"
    )
    parser.add_argument(
        "--corpus", default="builtin",
        help="builtin, builtin-evaluation, wikitext2, or a path to .txt, .jsonl, .conllu (also .gz), Brown's tagged files, "
        "or a folder or .zip of these (default builtin)",
    )  # fmt: skip
    parser.add_argument(
        "--tokens", type=token_count, default=16_384,
        help="whole documents, drawn by seed, up to N tokens; all for a whole corpus (default 16384)",
    )  # fmt: skip
    parser.add_argument("--window", type=window, default=128, help="tokens in a window, BOS included (default 128)")
    parser.add_argument("--seed", type=SEED, default=0, help="seed of the choice of documents (default 0)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--layers", default="all", help="all (default), START:STOP[:EVERY], or a list: 0,5,11")
    parser.add_argument("--dtype", choices=bounds.STORED_DTYPES, default="float16", help="stored dtype (default float16)")
    parser.add_argument(
        "--compute-dtype", choices=bounds.COMPUTE_DTYPES, default="float32",
        help="dtype of the model's arithmetic (default float32)",
    )  # fmt: skip
    parser.add_argument("--device", default="cpu", help="where the model runs: cpu (default), cuda, cuda:1")
    parser.add_argument(
        "--documents", choices=bounds.DOCUMENTS, default="file",
        help="what a document of plain text is (default file)",
    )  # fmt: skip
    parser.add_argument(
        "--spacy", metavar="PIPELINE",
        help="spaCy pipeline for words and UPOS of raw text, none for no words (default en_core_web_sm where installed)",
    )  # fmt: skip
    parser.add_argument(
        "--site",
        help="module whose output is taken (default the family's pre-activation), e.g. 'model.layers.{layer}.mlp.up_proj'",
    )


def extract_config(options: argparse.Namespace) -> ExtractConfig:
    """The configuration that these options ask for."""
    from actstore.extraction.job import ExtractConfig

    return ExtractConfig(**{field.name: getattr(options, field.name) for field in fields(ExtractConfig)})
