"""How far other statistics explain a neuron statistic: is the Wasserstein distance more than a tail detector?

Owns rank correlations between neuron statistics, layer by layer.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from actstore.store.schema import CHECKPOINT, LAYER, NEURON
from analysis.kernels.ranks import explained, spearman
from analysis.kernels.resampling import jackknife_reach

TAILS = ("abs_skewness", "excess_kurtosis", "bimodality_coefficient")
"""Statistics of heavy tails: a detector of tails would rank neurons by these."""


def rank_correlations(statistics: xr.Dataset, target: str = "wasserstein_distance") -> pd.DataFrame:
    """Rank correlation over a layer's neurons of one statistic with every other one.

    Parameters
    ----------
    statistics : Dataset
        Statistics over (layer, neuron), or (checkpoint, layer, neuron).
    target : str
        The statistic to correlate the others with.

    Returns
    -------
    DataFrame
        One row a (checkpoint, layer, statistic): Spearman's `rank_correlation` with its 95%
        bounds, `n_neurons`, which are the `n_clusters` of the `cluster` neuron. `abs_skewness` is the skewness without its
        sign.

    Notes
    -----
    See `analysis.kernels.ranks.spearman`.
    """
    rows = []
    for labels, frame in _layers(statistics):
        for name in frame.columns.drop(target):
            rho, lower, upper = spearman(frame[target].to_numpy(), frame[name].to_numpy())
            n_neurons = int(frame[[target, name]].notna().all(axis=1).sum())
            rows.append((*labels, name, rho, lower, upper, n_neurons))
    bounds = ["rank_correlation_lower", "rank_correlation_upper"]
    table = pd.DataFrame(rows, columns=["checkpoint", "layer", "statistic", "rank_correlation", *bounds, "n_neurons"])
    return table.assign(n_clusters=table["n_neurons"], cluster="neuron")


def explained_by_shape(statistics: xr.Dataset, target: str = "wasserstein_distance") -> pd.DataFrame:
    """How much of the ranking of neurons by one statistic follows from skewness, kurtosis and bimodality.

    Parameters
    ----------
    statistics : Dataset
        With `target` and the statistics of `shape_statistics`, over (layer, neuron), or with
        `checkpoint`.
    target : str

    Returns
    -------
    DataFrame
        One row a (checkpoint, layer): adjusted `r2` of ranks on ranks with its 95% bounds (a jackknife over neurons),
        `n_neurons`, which are the `n_clusters` of the `cluster` neuron. An `r2` of 1 means that a tail detector would
        rank the neurons in the same way; at 0, its ranking is unrelated.
    """
    rows = []
    for labels, frame in _layers(statistics):
        ranked = frame[[target, *TAILS]].dropna().to_numpy()

        def r2(neurons: NDArray[np.intp], ranked: NDArray[np.float64] = ranked) -> float:
            return explained(ranked[neurons, 0], ranked[neurons, 1:])

        n_neurons = len(ranked)
        value, reach = r2(np.arange(n_neurons)), jackknife_reach(r2, n_neurons) if n_neurons else np.nan
        rows.append((*labels, value, value - reach, min(value + reach, 1.0), n_neurons))
    table = pd.DataFrame(rows, columns=["checkpoint", "layer", "r2", "r2_lower", "r2_upper", "n_neurons"])
    return table.assign(n_clusters=table["n_neurons"], cluster="neuron")


def _layers(statistics: xr.Dataset) -> Iterator[tuple[tuple[int, int], pd.DataFrame]]:
    """(checkpoint, layer) and the table of its neurons' statistics."""
    if "skewness" in statistics:
        statistics = statistics.assign(abs_skewness=abs(statistics["skewness"]))
    if CHECKPOINT not in statistics.dims:
        statistics = (
            statistics.expand_dims(CHECKPOINT) if CHECKPOINT in statistics.coords else statistics.expand_dims({CHECKPOINT: [0]})
        )
    names = [name for name, array in statistics.data_vars.items() if {CHECKPOINT, LAYER, NEURON} == set(array.dims)]
    for step in statistics[CHECKPOINT].values:
        for layer in statistics[LAYER].values:
            of_layer = statistics.sel({CHECKPOINT: step, LAYER: layer})
            yield (int(step), int(layer)), pd.DataFrame({str(name): of_layer[name].values for name in names})
