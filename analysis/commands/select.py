"""One more selection file."""

from __future__ import annotations

import argparse

import xarray as xr

from actstore.errors import UnknownNameError
from actstore.selection.choosing import select
from actstore.store.schema import LAYER, NEURON
from analysis.commands.shared import load_statistics, provenance
from analysis.labels import at_checkpoint
from analysis.results import save_selection

_MATCH = ("std", "mean", "negative_frac")


def run(options: argparse.Namespace) -> None:
    """A selection file."""
    found = at_checkpoint(load_statistics(options.results), options.checkpoint)

    def statistic(name: str) -> xr.DataArray:
        if name not in found or found[name].dims != (LAYER, NEURON):
            raise UnknownNameError(
                "statistic", name, [key for key, array in found.data_vars.items() if array.dims == (LAYER, NEURON)]
            )
        return found[name]

    chosen = select(
        statistic(options.statistic), options.fraction, options.rule, seed=options.seed, scope=options.scope,
        match=[statistic(name) for name in options.match or (_MATCH if options.rule == "matched" else ())],
        provenance=provenance(found),
    )  # fmt: skip
    path = chosen.save(options.out) if options.out else save_selection(chosen, options.results, chosen.label)
    print(f"{path}: {chosen.n_neurons} neurons")
