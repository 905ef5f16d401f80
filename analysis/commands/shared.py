"""Steps that several commands share: open inputs, check that they belong together, write tables."""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import xarray as xr

from actstore.errors import SelectionError, StoreError
from actstore.selection.selection import Selection
from actstore.selection.statistics import check_statistics
from actstore.store.opening import kind_of, open_store
from actstore.store.schema import NEURON
from analysis.belonging import check_belonging, origin_of, origin_of_results, origin_of_selection
from analysis.results import ENTANGLEMENT, load_dataset, save_table

OF_AN_ABLATION = ("is_edited", "first_layer", "target_scope")
"""Arrays that only an ablation's store of this version has."""


def opened(path: Path, maker: str, *needed: str) -> xr.Dataset:
    """A store of `actstore MAKER`, with the variables that a command needs."""
    store = open_store(path)
    missing = [name for name in needed if name not in store.variables]
    if not missing:
        return store
    kind, wanted = kind_of(store), f"a store of `actstore {maker}`"
    if kind != wanted:
        raise StoreError(f"{path} is {kind}, not {wanted}, which this command needs; name or make one")
    raise StoreError(f"{path} has no {missing[0]}; make it by `actstore {maker}` of this version")


def selected(options: argparse.Namespace, *results: str) -> tuple[xr.Dataset, Selection]:
    """The store and the selection of a command; both must belong to each other and to the named results of its folder."""
    path = options.selection or options.results / "selections" / "top.json"
    store, selection = opened(options.store, "extract", "preactivation"), Selection.load(path)
    if selection.n_neurons_per_layer != store.sizes[NEURON]:
        raise SelectionError(
            f"{path} is for layers of {selection.n_neurons_per_layer} neurons, {options.store} has {store.sizes[NEURON]}; "
            "select neurons on the same store"
        )
    origins = [origin_of_results(options.results, name) for name in (ENTANGLEMENT, *results)]
    check_belonging(origin_of(store, str(options.store)), *origins, origin_of_selection(selection, path))
    return store, selection


def check_folder(options: argparse.Namespace, store: xr.Dataset, *, replaces: bool = False) -> None:
    """Refuse to write beside statistics of another model, site or weights.

    Where the command `replaces` the statistics, their weights may differ, and statistics that cannot be read are no obstacle.
    """
    try:
        statistics = origin_of_results(options.out, ENTANGLEMENT)
    except StoreError:
        if replaces:
            return
        raise
    if statistics is not None:
        origin = origin_of(store, str(options.store), has_own_text=True)
        check_belonging(statistics, origin._replace(weights={}) if replaces else origin)


def load_statistics(folder: Path) -> xr.Dataset:
    """Statistics of every neuron from a results folder, checked."""
    statistics = load_dataset(folder, ENTANGLEMENT)
    check_statistics(statistics, folder / f"{ENTANGLEMENT}.zarr")
    return statistics


def save_tables(folder: Path, tables: dict[str, pd.DataFrame], suffix: str = ".csv") -> None:
    """Write each table into a results folder, in a file of its name."""
    for name, table in tables.items():
        save_table(table, folder / f"{name}{suffix}")


def provenance(statistics: xr.Dataset) -> dict[str, object]:
    """The text that statistics are from, as a selection records it."""
    return {key: statistics.attrs[key] for key in ("corpus", "corpus_fingerprint", "n_tokens")}
