"""`actstore plan`: predict the time and the disk space of an extraction."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from actstore.cli.arguments import place
from actstore.cli.command import Command
from actstore.cli.options import add_extract_options, extract_config


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_extract_options(parser)
    parser.add_argument("--store", type=place, default=Path("store.zarr"), help="path of the store that would be written")


def _run(options: argparse.Namespace) -> None:
    from actstore.extraction.plan import plan

    cost = plan(extract_config(options), options.store)
    layout = cost.layout
    source = "as tokenized" if cost.n_tokens_known else "as asked: the tokenizer is not on this machine"
    sizes = f"{layout.n_checkpoints} checkpoints × {len(layout.layers)} layers × {layout.n_tokens:,} tokens"
    print(f"{cost.model}: {sizes} ({source})")
    for name, array in layout.stored_with(0).items():
        shape = " × ".join(f"{size:,}" for size in array.shape)
        print(_row(name, shape, str(array.dtype), cost.bytes_of[name]))
    print(_row("labels", "", "", cost.bytes_of["labels"]))
    print(f"{_row('total', f'{cost.n_files:,} files', '', cost.total_bytes)}  ({cost.total_bytes:,} bytes)")
    compute, write = cost.compute_seconds, cost.write_seconds
    longest = _duration(max(compute, 0 if math.isnan(write) else write))
    parts = f"computing {_duration(compute)}, writing {_duration(write)}, at the same time"
    print(f"time: about {longest} on {options.device} ({parts})")
    print(f"disk: {_size(cost.free_bytes)} free, {'enough' if cost.fits else 'NOT ENOUGH'}")


def _row(name: str, shape: str, dtype: str, n_bytes: int) -> str:
    return f"  {name:<14} {shape:<28} {dtype:<8} {_size(n_bytes):>12}"


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
    "predict the time and the disk space of an extraction, without a download",
    _add_arguments,
    _run,
    ("actstore plan --model pythia-1b --checkpoints all --tokens 131072",),
)
