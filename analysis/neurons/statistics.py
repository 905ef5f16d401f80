"""Every statistic of every neuron of a store, in one Dataset."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from actstore.selection.selection import Selection
from actstore.store.schema import CHECKPOINT, LAYER, NEURON
from analysis.labels import text_tokens
from analysis.neurons.distribution import entanglement, shape_statistics, wasserstein_distance
from analysis.neurons.mapping_difficulty import N_PAIRS, mapping_difficulty

_KEPT = ("model", "site", "nonlinearity", "corpus", "corpus_fingerprint", "seed", "dtype", "package_version")


def neuron_statistics(store: xr.Dataset, *, n_pairs: int = N_PAIRS, seed: int = 0) -> xr.Dataset:
    """Wasserstein distances, moments and mapping difficulty of every neuron, layer and checkpoint.

    Parameters
    ----------
    store : Dataset
        A store of `actstore extract`, with all its dims.
    n_pairs, seed : int
        Of `mapping_difficulty`.

    Returns
    -------
    Dataset
        What `entanglement`, `shape_statistics` and `mapping_difficulty` give, over (checkpoint, layer,
        neuron), without the first position of each window: it is BOS, an attention sink, and no
        text. `wasserstein_distance_all_positions` has it.

    Notes
    -----
    Reads neurons of a layer and checkpoint, 32 MiB at a time (and at least 64 neurons).
    """
    text = text_tokens(store)
    difficulty = mapping_difficulty(text["preactivation"], text["mlp_input"], n_pairs=n_pairs, seed=seed)
    parts = [
        entanglement(text["preactivation"]),
        shape_statistics(text["preactivation"]),
        difficulty.to_dataset().reset_coords(["output_scale", "input_scale", "n_identical_pairs"]),
        wasserstein_distance(store["preactivation"]).rename("wasserstein_distance_all_positions").to_dataset(),
    ]
    found = xr.merge(parts, join="exact", compat="no_conflicts", combine_attrs="drop_conflicts")
    found.attrs = {key: store.attrs[key] for key in _KEPT} | {
        "n_tokens": text.sizes["token"],
        "n_pairs": n_pairs,
        "pair_seed": seed,
        "positions": "all but the first of each window",
        "standardisation": "mean and population standard deviation",
    }
    for array in found.data_vars.values():
        array.attrs |= {key: store.attrs[key] for key in ("model", "site")}
    return found


def neuron_table(found: xr.Dataset, selection: Selection) -> pd.DataFrame:
    """One row a neuron of one checkpoint: its statistics, and whether it is selected.

    Parameters
    ----------
    found : Dataset
        Statistics over (layer, neuron).
    selection : Selection

    Returns
    -------
    DataFrame
        `layer`, `neuron`, the statistics, `selected`.
    """
    names: list[Any] = [name for name, array in found.data_vars.items() if array.dims == (LAYER, NEURON)]
    frame = found[names].drop_vars([name for name in found.coords if name not in (LAYER, NEURON)]).to_dataframe().reset_index()
    frame["selected"] = selection.mask(found[LAYER].values).ravel()
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
    one = text_tokens(store["preactivation"].sel({CHECKPOINT: checkpoint, LAYER: layer, NEURON: neuron}))
    values = one.values.astype(float)
    mean, scale = values.mean(), values.std()
    density, edges = np.histogram((values - mean) / scale, bins=n_bins, density=True)
    constant = {"zero": -mean / scale, "layer": layer, "neuron": neuron, "checkpoint": checkpoint, "n_tokens": len(values)}
    return pd.DataFrame({"left": edges[:-1], "right": edges[1:], "density": density, **constant})
