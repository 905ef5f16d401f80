"""`actstore info`: what a store holds."""

from __future__ import annotations

import argparse
import json

from actstore.cli.arguments import place
from actstore.cli.command import Command


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", type=place)
    parser.add_argument("--json", action="store_true", help="for programs")


def _run(options: argparse.Namespace) -> None:
    from actstore.store.opening import open_store

    dataset = open_store(options.store)
    arrays = {
        str(name): {"dims": list(array.dims), "dtype": str(array.dtype), "bytes": array.nbytes, **array.attrs}
        for name, array in dataset.data_vars.items()
    }
    attrs = {key: value for key, value in dataset.attrs.items() if key != "coordinates"}
    if options.json:
        sizes = {str(dim): size for dim, size in dataset.sizes.items()}
        steps = [int(step) for step in dataset["checkpoint"].values]
        print(json.dumps({"sizes": sizes, "checkpoints": steps, "arrays": arrays, "attrs": attrs}, indent=1))
        return
    print(f"{options.store}: {', '.join(f'{size:,} {dim}' for dim, size in dataset.sizes.items())}")
    for name, array in arrays.items():
        size = f"{array['bytes'] / 2**20:,.1f} MiB"
        print(f"  {name} ({', '.join(array['dims'])}) {array['dtype']}, {size}: {array['long_name']}")
    for key, value in attrs.items():
        print(f"  {key}: {value}")


COMMAND = Command(
    "info",
    "say what a store holds",
    _add_arguments,
    _run,
    ("actstore info runs/store.zarr --json",),
)
