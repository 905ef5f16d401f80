"""Every statistic of every neuron of a store, in one Dataset."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from actstore.selection.selection import Selection
from actstore.store.schema import CHECKPOINT, LAYER, NEURON
from analysis.labels import text_tokens
from analysis.neurons.mapping_difficulty import N_PAIRS
from analysis.neurons.registry import STATISTICS, Sampling

_COPIED = ("model", "site", "nonlinearity", "corpus", "corpus_fingerprint", "seed", "dtype", "package_version")


def neuron_statistics(store: xr.Dataset, *, n_pairs: int = N_PAIRS, seed: int = 0) -> xr.Dataset:
    """Every registered statistic of every neuron, layer and checkpoint.

    Parameters
    ----------
    store : Dataset
        A store of `actstore extract`, with all its dims.
    n_pairs, seed : int
        Of `mapping_difficulty`.

    Returns
    -------
    Dataset
        What `entanglement`, `shape_statistics`, `mapping_difficulty` and the statistics of plugins give, over (checkpoint,
        layer, neuron), without the first position of each window: it is BOS, an attention sink, and no text.
        `wasserstein_distance_all_positions` has it.

    Notes
    -----
    Reads neurons of a layer and checkpoint, 32 MiB at a time (and at least 64 neurons); a statistic of a plugin reads a
    whole layer.
    """
    sampling = Sampling(n_pairs, seed)
    parts = [statistic.compute(store, sampling) for statistic in STATISTICS.entries.values()]
    statistics = xr.merge(parts, join="exact", compat="no_conflicts", combine_attrs="drop_conflicts")
    statistics.attrs = {key: store.attrs[key] for key in _COPIED} | {
        "n_tokens": text_tokens(store["position"]).size,
        "n_pairs": n_pairs,
        "pair_seed": seed,
        "positions": "all but the first of each window",
        "standardisation": "mean and population standard deviation",
    }
    for array in statistics.data_vars.values():
        array.attrs |= {key: store.attrs[key] for key in ("model", "site")}
    return statistics


def neuron_table(statistics: xr.Dataset, selection: Selection) -> pd.DataFrame:
    """One row a neuron of one checkpoint: its statistics, and whether it is selected.

    Parameters
    ----------
    statistics : Dataset
        Over (layer, neuron).
    selection : Selection

    Returns
    -------
    DataFrame
        `layer`, `neuron`, the statistics, `selected`.
    """
    names: list[Any] = [name for name, array in statistics.data_vars.items() if array.dims == (LAYER, NEURON)]
    others = [name for name in statistics.coords if name not in (LAYER, NEURON)]
    frame = statistics[names].drop_vars(others).to_dataframe().reset_index()
    frame["selected"] = selection.mask(statistics[LAYER].values).ravel()
    return frame


def histogram(store: xr.Dataset, checkpoint: int, layer: int, neuron: int, n_bins: int = 120) -> pd.DataFrame:
    """Standardised histogram of one neuron.

    Parameters
    ----------
    store : Dataset
    checkpoint, layer, neuron : int
    n_bins : int

    Returns
    -------
    DataFrame
        One row a bin: `left`, `right`, `density`; and, the same in every row, `zero` (where a raw
        pre-activation of 0 falls), `layer`, `neuron`, `checkpoint`, `n_tokens`.
    """
    of_neuron = store["preactivation"].sel({CHECKPOINT: checkpoint, LAYER: layer, NEURON: neuron})
    values = text_tokens(of_neuron).values.astype(float)
    mean, scale = values.mean(), values.std()
    density, edges = np.histogram((values - mean) / scale, bins=n_bins, density=True)
    constant = {"zero": -mean / scale, "layer": layer, "neuron": neuron, "checkpoint": checkpoint, "n_tokens": len(values)}
    return pd.DataFrame({"left": edges[:-1], "right": edges[1:], "density": density, **constant})
