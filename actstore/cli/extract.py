"""`actstore extract`: write the store of a model and a text."""

from __future__ import annotations

import argparse

from actstore.cli.arguments import place
from actstore.cli.command import Command
from actstore.cli.options import add_extract_options, extract_config, worker


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_extract_options(parser)
    parser.add_argument("--store", type=place, required=True, help="the Zarr store to write")
    parser.add_argument(
        "--strict", action="store_true", help="fail if a checkpoint is not available, instead of leaving it out"
    )
    parser.add_argument("--discard-downloads", action="store_true", help="delete each revision's downloaded files after use")
    parser.add_argument("--allow-v0", action="store_true", help="allow several checkpoints of a -v0 Pythia model")
    share = parser.add_mutually_exclusive_group()
    share.add_argument("--worker", type=worker, metavar="i/n", help="compute the i-th of n shares, beside other processes")
    share.add_argument("--scheduler", metavar="ADDRESS", help="compute on a Dask cluster: tcp://…, or local")


def _run(options: argparse.Namespace) -> None:
    from actstore.extraction.run import RunOptions, extract

    run_options = RunOptions(
        strict=options.strict,
        discard_downloads=options.discard_downloads,
        worker=options.worker,
        scheduler=options.scheduler,
        progress=not options.quiet,
        allow_v0=options.allow_v0,
    )
    outcome = extract(extract_config(options), options.store, run_options)
    print(f"{options.store}: {outcome.value}")


COMMAND = Command(
    "extract",
    "run a model over a corpus and store every MLP pre-activation",
    _add_arguments,
    _run,
    (
        "actstore extract --model pico-neox --checkpoints all --store runs/default/store.zarr",
        "actstore extract --model pythia-1b --checkpoints all --corpus wikitext2 --device cuda --store pythia.zarr",
        "actstore extract --model pythia-70m --checkpoints log --worker 3/8 --store pythia.zarr   # in a job array",
    ),
)
