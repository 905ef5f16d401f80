"""What a neuron statistic is explained by: is the Wasserstein distance more than a tail detector?

Owns rank correlations between neuron statistics, layer by layer.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from actstore.schema import CHECKPOINT, LAYER, NEURON
from analysis.kernels.ranks import explained, spearman

TAILS = ("abs_skewness", "excess_kurtosis", "bimodality_coefficient")
"""What a tail detector would see."""
_N_REPLICATES = 200


def rank_correlations(found: xr.Dataset, target: str = "wasserstein_distance") -> pd.DataFrame:
    """Rank correlation over a layer's neurons of one statistic with every other one.

    Parameters
    ----------
    found : Dataset
        Statistics over (layer, neuron), or (checkpoint, layer, neuron).
    target : str
        The statistic to correlate the others with.

    Returns
    -------
    DataFrame
        One row a (checkpoint, layer, statistic): Spearman's `rank_correlation` with its 95%
        bounds, `n_neurons`. `abs_skewness` is the skewness without its sign.

    Notes
    -----
    See `analysis.kernels.ranks.spearman`.
    """
    rows = []
    for labels, frame in _layers(found):
        for name in frame.columns.drop(target):
            rho, lower, upper = spearman(frame[target].to_numpy(), frame[name].to_numpy())
            n_neurons = int(frame[[target, name]].notna().all(axis=1).sum())
            rows.append((*labels, name, rho, lower, upper, n_neurons))
    bounds = ["rank_correlation_lower", "rank_correlation_upper"]
    return pd.DataFrame(rows, columns=["checkpoint", "layer", "statistic", "rank_correlation", *bounds, "n_neurons"])


def explained_by_shape(found: xr.Dataset, target: str = "wasserstein_distance", seed: int = 0) -> pd.DataFrame:
    """How much of the ranking of neurons by one statistic follows from skewness, kurtosis and bimodality.

    Parameters
    ----------
    found : Dataset
        With `target` and the statistics of `shape_statistics`, over (layer, neuron), or with
        `checkpoint`.
    target : str
    seed : int
        Seed of the bootstrap (by neuron).

    Returns
    -------
    DataFrame
        One row a (checkpoint, layer): adjusted `r2` of ranks on ranks with its 95% bounds,
        `n_neurons`. 1: a tail detector would rank the same; 0: it would know nothing.
    """
    rows = []
    for labels, frame in _layers(found):
        y, x = frame[target].to_numpy(), frame[list(TAILS)].to_numpy()
        rng = np.random.default_rng(seed)
        drawn = rng.integers(0, len(y), size=(_N_REPLICATES, len(y)))
        lower, upper = np.nanquantile([explained(y[part], x[part]) for part in drawn], [0.025, 0.975])
        rows.append((*labels, explained(y, x), lower, upper, int(frame[[target, *TAILS]].notna().all(axis=1).sum())))
    return pd.DataFrame(rows, columns=["checkpoint", "layer", "r2", "r2_lower", "r2_upper", "n_neurons"])


def _layers(found: xr.Dataset) -> Iterator[tuple[tuple[int, int], pd.DataFrame]]:
    """(checkpoint, layer) and the frame of its neurons' statistics."""
    if "skewness" in found:
        found = found.assign(abs_skewness=abs(found["skewness"]))
    if CHECKPOINT not in found.dims:
        found = found.expand_dims(CHECKPOINT) if CHECKPOINT in found.coords else found.expand_dims({CHECKPOINT: [0]})
    names = [name for name, array in found.data_vars.items() if {CHECKPOINT, LAYER, NEURON} == set(array.dims)]
    for step, checkpoint in enumerate(found[CHECKPOINT].values):
        for index, layer in enumerate(found[LAYER].values):
            part = found.isel({CHECKPOINT: step, LAYER: index})
            yield (int(checkpoint), int(layer)), pd.DataFrame({str(name): part[name].values for name in names})
