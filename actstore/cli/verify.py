"""`actstore verify`: check that a store or results are what was written."""

from __future__ import annotations

import argparse

from actstore.cli.arguments import place
from actstore.cli.command import Command
from actstore.errors import StoreError

_MOST = 10
"""Problems that the message names."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", type=place, help="a store, a .zarr of analysis results, or a whole results folder")


def _run(options: argparse.Namespace) -> None:
    from actstore.verification import verify

    problems = verify(options.store)
    if problems:
        first = "; ".join(problems[:_MOST]) + (f"; and {len(problems) - _MOST} more" if len(problems) > _MOST else "")
        raise StoreError(f"{options.store} is damaged: {first}. Make it again by its own command")
    print(f"{options.store}: all checksums agree")


COMMAND = Command(
    "verify",
    "recompute every checksum of a store or of analysis results",
    _add_arguments,
    _run,
    (
        "actstore verify runs/store.zarr",
        "actstore verify runs/analysis",
    ),
)
