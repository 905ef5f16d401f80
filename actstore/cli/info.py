"""`actstore info`: the contents of a store."""

from __future__ import annotations

import argparse
import json

from actstore.cli.arguments import place
from actstore.cli.command import Command


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", type=place, help="a store")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def _run(options: argparse.Namespace) -> None:
    from actstore.store.opening import open_store

    store = open_store(options.store)
    sizes = {str(dim): size for dim, size in store.sizes.items()}
    arrays = {
        str(name): {"dims": list(array.dims), "dtype": str(array.dtype), "bytes": array.nbytes, **array.attrs}
        for name, array in store.data_vars.items()
    }
    attrs = {key: value for key, value in store.attrs.items() if key != "coordinates"}
    if options.json:
        steps = [int(step) for step in store["checkpoint"].values]
        print(json.dumps({"sizes": sizes, "checkpoints": steps, "arrays": arrays, "attrs": attrs}, indent=1))
        return
    print(f"{options.store}: {', '.join(f'{size:,} {dim}' for dim, size in sizes.items())}")
    for name, array in arrays.items():
        size = f"{array['bytes'] / 2**20:,.1f} MiB"
        print(f"  {name} ({', '.join(array['dims'])}) {array['dtype']}, {size}: {array['long_name']}")
    for key, value in attrs.items():
        print(f"  {key}: {value}")


COMMAND = Command(
    "info",
    "show what a store holds",
    _add_arguments,
    _run,
    ("actstore info runs/store.zarr --json",),
)
