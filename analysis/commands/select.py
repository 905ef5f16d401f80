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
"""Covariates of the rule `matched` where `--match` names none."""


def run(options: argparse.Namespace) -> None:
    """A selection file, to `--out` or into `--results`."""
    statistics = at_checkpoint(load_statistics(options.results), options.checkpoint)
    match = options.match or (_MATCH if options.rule == "matched" else ())
    selection = select(
        _statistic(statistics, options.statistic),
        options.fraction,
        options.rule,
        seed=options.seed,
        scope=options.scope,
        match=[_statistic(statistics, name) for name in match],
        provenance=provenance(statistics),
    )
    path = selection.save(options.out) if options.out else save_selection(selection, options.results, selection.label)
    print(f"{path}: {selection.n_neurons} neurons")


def _statistic(statistics: xr.Dataset, name: str) -> xr.DataArray:
    """A statistic (layer, neuron) by its name."""
    names = [str(key) for key, array in statistics.data_vars.items() if array.dims == (LAYER, NEURON)]
    if name not in names:
        raise UnknownNameError("statistic", name, names)
    return statistics[name]
