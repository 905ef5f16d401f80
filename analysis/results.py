"""Analysis results on disk: what the report reads.

Owns the files of a results folder: `entanglement.zarr`, tidy `*.csv` tables, and one neuron's
histogram.
"""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from zarr.errors import ZarrUserWarning

from actstore.errors import StoreError
from actstore.schema import CHECKPOINT, LAYER, NEURON, TOKEN, Selection
from analysis.ablation import accuracy_by_phenomenon, perplexity_table, probe_table, surprisal_by_upos
from analysis.dynamics import cohort_trajectory
from analysis.entanglement import entanglement

_ENTANGLEMENT = "entanglement.zarr"


def save_table(table: pd.DataFrame, path: Path) -> None:
    """Write a tidy table under its final name only when whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        table.to_csv(partial, index=False, float_format="%.10g")
        partial.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; make space or choose another folder") from None


def load_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a tidy table.

    Raises
    ------
    StoreError
        If it is not there.
    """
    try:
        return pd.read_csv(path, keep_default_na=False, na_values=[""])
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}; run `python -m analysis` first") from None


def ablation_tables(store: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Every table that an ablation store supports, by file name."""
    tables = {"perplexity": perplexity_table(store), "surprisal_by_upos": surprisal_by_upos(store)}
    if "log_probability_good" in store:
        tables["accuracy_by_phenomenon"] = accuracy_by_phenomenon(store)
    if "log_probability_option" in store:
        tables["probes"] = probe_table(store)
    return {name: table for name, table in tables.items() if len(table)}


def compute_entanglement(store: xr.Dataset) -> xr.Dataset:
    """Entanglement of every neuron of a store, layer by layer so that memory holds one layer.

    The first position of each window is left out: it is BOS, an attention sink, and no text.
    """
    preactivation = store["preactivation"]
    parts = [
        xr.concat(
            [
                entanglement(text_tokens(preactivation.isel({CHECKPOINT: [step], LAYER: [layer]}).load()))
                for layer in range(store.sizes[LAYER])
            ],
            LAYER,
        )
        for step in range(store.sizes[CHECKPOINT])
    ]
    found = xr.concat(parts, CHECKPOINT)
    found.attrs["positions"] = "all but the first of each window"
    kept = ("model", "nonlinearity", "corpus", "corpus_fingerprint", "seed", "dtype", "package_version")
    found.attrs |= {key: store.attrs[key] for key in kept}
    for array in found.data_vars.values():
        array.attrs["model"] = store.attrs["model"]
    return found


def text_tokens(array: xr.DataArray) -> xr.DataArray:
    """The array without the first position of each window."""
    return array.isel({TOKEN: np.flatnonzero(array["position"].values > 0)})


def save_entanglement(found: xr.Dataset, folder: Path) -> None:
    """Write `entanglement.zarr` into a results folder."""
    path, partial = folder / _ENTANGLEMENT, folder / f"{_ENTANGLEMENT}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ZarrUserWarning)  # consolidated metadata is not in the v3 specification yet
            found.to_zarr(partial, zarr_format=3, consolidated=True)
        shutil.rmtree(path, ignore_errors=True)
        partial.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; make space or choose another folder") from None


def load_entanglement(folder: str | os.PathLike[str]) -> xr.Dataset:
    """Read `entanglement.zarr` of a results folder, in memory.

    Raises
    ------
    StoreError
        If it is not there.
    """
    path = Path(folder) / _ENTANGLEMENT
    if not path.exists():
        raise StoreError(f"no {_ENTANGLEMENT} in {folder}; run `python -m analysis entanglement --out {folder}` first")
    found: xr.Dataset = xr.open_zarr(path).load()
    return found


def save_neuron_tables(store: xr.Dataset, found: xr.Dataset, selection: Selection, folder: Path) -> None:
    """Write `neurons.csv`, `trajectory.csv` and `histogram.csv` (the most entangled neuron)."""
    last = found.isel({CHECKPOINT: -1})
    frame = last[["wasserstein_distance", "negative_wasserstein_frac", "negative_frac"]].to_dataframe().reset_index()
    mask = selection.mask(found.sizes[LAYER])
    frame["selected"] = mask[frame[LAYER].to_numpy(), frame[NEURON].to_numpy()]
    save_table(
        frame[[LAYER, NEURON, "wasserstein_distance", "negative_wasserstein_frac", "negative_frac", "selected"]],
        folder / "neurons.csv",
    )
    save_table(cohort_trajectory(found["wasserstein_distance"], selection), folder / "trajectory.csv")
    best = frame.iloc[int(np.nanargmax(frame["wasserstein_distance"].to_numpy()))]
    save_table(histogram(store, int(last[CHECKPOINT]), int(best[LAYER]), int(best[NEURON])), folder / "histogram.csv")


def histogram(store: xr.Dataset, checkpoint: int, layer: int, neuron: int, n_bins: int = 120) -> pd.DataFrame:
    """Standardised histogram of one neuron.

    Returns
    -------
    DataFrame
        One row a bin: `left`, `right`, `density`; and, the same in every row, `zero` (where a raw
        pre-activation of 0 falls), `layer`, `neuron`, `checkpoint`, `n_tokens`.
    """
    values = text_tokens(store["preactivation"].sel({CHECKPOINT: checkpoint, LAYER: layer, NEURON: neuron})).values.astype(
        float
    )
    mean, scale = values.mean(), values.std()
    density, edges = np.histogram((values - mean) / scale, bins=n_bins, density=True)
    constant = {"zero": -mean / scale, "layer": layer, "neuron": neuron, "checkpoint": checkpoint, "n_tokens": len(values)}
    return pd.DataFrame({"left": edges[:-1], "right": edges[1:], "density": density, **constant})
