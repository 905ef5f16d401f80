"""The analysis from the command line: `python -m analysis`.

Owns the arguments; what is computed is in the package. Needs no torch.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from actstore.errors import UnknownNameError, run_reporting
from actstore.schema import CHECKPOINT, LAYER
from actstore.store import open_store
from analysis import results
from analysis.selection import select

_EPILOG = """examples:
  python -m analysis entanglement --store runs/store.zarr --out runs/analysis
  python -m analysis select --results runs/analysis --fraction 0.02 --rule bottom
  python -m analysis ablation --store runs/ablation.zarr --out runs/analysis
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analysis",
        description="Compute statistics of stores; no model and no torch needed.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = commands.add_parser("entanglement", help="Wasserstein distance of every neuron, and its tables")
    command.add_argument("--store", type=Path, required=True, help="a store of `actstore extract`")
    command.add_argument("--out", type=Path, required=True, help="results folder to write")
    command.add_argument("--fraction", type=float, default=0.01, help="share of each layer called Wasserstein neurons (0.01)")
    command.add_argument("--random-seeds", type=int, default=5, help="random control selections to write (5)")
    command.set_defaults(run=_entanglement)

    command = commands.add_parser("select", help="write one more selection file")
    command.add_argument("--results", type=Path, required=True, help="results folder of `entanglement`")
    command.add_argument("--rule", default="top", help="top, bottom or random (top)")
    command.add_argument("--fraction", type=float, default=0.01, help="share of each layer to choose (0.01)")
    command.add_argument("--seed", type=int, default=-1, help="seed of a random choice")
    command.add_argument("--checkpoint", type=int, help="training step to rank (the last)")
    command.add_argument("--out", type=Path, help="file to write (RESULTS/selections/RULE.json)")
    command.set_defaults(run=_select)

    command = commands.add_parser("ablation", help="tables of an ablation, with intervals")
    command.add_argument("--store", type=Path, required=True, help="a store of `actstore ablate`")
    command.add_argument("--out", type=Path, required=True, help="results folder to write")
    command.set_defaults(run=_ablation)
    return parser


def _entanglement(options: argparse.Namespace) -> None:
    store = open_store(options.store)
    found = results.compute_entanglement(store)
    results.save_entanglement(found, options.out)
    last = _at(found, None)
    chosen = select(last["wasserstein_distance"], options.fraction, provenance=_provenance(found))
    chosen.save(options.out / "selections" / "top.json")
    for seed in range(options.random_seeds):
        control = select(last["wasserstein_distance"], options.fraction, "random", seed=seed, provenance=_provenance(found))
        control.save(options.out / "selections" / f"random-{seed}.json")
    results.save_neuron_tables(store, found, chosen, options.out)
    undefined = int(last["wasserstein_distance"].isnull().sum())
    print(f"{options.out}: {found.sizes[LAYER]} layers, {chosen.n_neurons} neurons selected, {undefined} of zero variance")


def _select(options: argparse.Namespace) -> None:
    found = results.load_entanglement(options.results)
    chosen = select(
        _at(found, options.checkpoint)["wasserstein_distance"],
        options.fraction,
        options.rule,
        seed=options.seed,
        provenance=_provenance(found),
    )
    path = chosen.save(options.out or options.results / "selections" / f"{chosen.label}.json")
    print(f"{path}: {chosen.n_neurons} neurons")


def _ablation(options: argparse.Namespace) -> None:
    tables = results.ablation_tables(open_store(options.store))
    for name, table in tables.items():
        results.save_table(table, options.out / f"{name}.csv")
    print(f"{options.out}: {', '.join(tables)}")


def _at(found: xr.Dataset, checkpoint: int | None) -> xr.Dataset:
    steps = found[CHECKPOINT].values
    if checkpoint is None:
        return found.isel({CHECKPOINT: -1})
    if checkpoint not in steps:
        raise UnknownNameError("checkpoint", checkpoint, steps)
    return found.sel({CHECKPOINT: checkpoint})


def _provenance(found: xr.Dataset) -> dict[str, object]:
    return {key: found.attrs[key] for key in ("corpus", "corpus_fingerprint", "n_tokens")}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 2 on a problem the user can mend."""
    options = _parser().parse_args(arguments)
    return run_reporting(lambda: options.run(options), "analysis")


if __name__ == "__main__":
    sys.exit(main())
