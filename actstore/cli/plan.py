"""`actstore plan`: what an extraction will take."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from actstore.cli.arguments import place
from actstore.cli.command import Command
from actstore.cli.options import add_extract_options, extract_config


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_extract_options(parser)
    parser.add_argument("--store", type=place, default=Path("store.zarr"), help="where the store would be written")


def _run(options: argparse.Namespace) -> None:
    from actstore.extraction.plan import plan

    found = plan(extract_config(options), options.store)
    layout = found.layout
    known = "as tokenized" if found.n_tokens_known else "as asked: the tokenizer is not on this machine"
    print(
        f"{found.model}: {layout.n_checkpoints} checkpoints × {len(layout.layers)} layers × {layout.n_tokens:,} tokens ({known})"
    )
    for name, array in layout.stored_with(0).items():
        shape = " × ".join(f"{size:,}" for size in array.shape)
        print(f"  {name:<14} {shape:<28} {array.dtype!s:<8} {_size(found.bytes_of[name]):>12}")
    print(f"  {'labels':<14} {'':<28} {'':<8} {_size(found.bytes_of['labels']):>12}")
    print(
        f"  {'total':<14} {f'{found.n_files:,} files':<28} {'':<8} {_size(found.total_bytes):>12}  ({found.total_bytes:,} bytes)"
    )
    longest = max(found.compute_seconds, 0 if math.isnan(found.write_seconds) else found.write_seconds)
    print(f"time: about {_duration(longest)} on {options.device} "
          f"(computing {_duration(found.compute_seconds)}, writing {_duration(found.write_seconds)}, at the same time)")  # fmt: skip
    print(f"disk: {_size(found.free_bytes)} free, {'enough' if found.fits else 'NOT ENOUGH'}")


def _size(n_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1024:
            return f"{n_bytes:,.1f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:,.1f} TiB"


def _duration(seconds: float) -> str:
    if math.isnan(seconds):
        return "not measured: the disk is full"
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.0f} seconds"


COMMAND = Command(
    "plan",
    "say what an extraction will take, with no download",
    _add_arguments,
    _run,
    ("actstore plan --model pythia-1b --checkpoints all --tokens 131072",),
)
