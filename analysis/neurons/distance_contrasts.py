"""Whether the neurons furthest from Gaussian are so on text that they were not chosen on, and beyond what their shape says.

Owns the cross-fitted contrasts of Wasserstein distance between the top of each layer and the rest.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from actstore.selection.choosing import select
from actstore.store.schema import LAYER, NEURON, TOKEN
from analysis.contrasts import contrast_columns
from analysis.kernels.cohort_effects import CohortEffect, cohort_effect, mean_weights, weighted_effect
from analysis.kernels.ranks import ranks_and_squares
from analysis.labels import at_checkpoint, text_tokens
from analysis.neurons.distribution import shape_statistics, wasserstein_distance

NOTHING, SHAPE = "nothing", "skewness, kurtosis and bimodality"
_SHAPE = ("abs_skewness", "excess_kurtosis", "bimodality_coefficient")


def distance_contrasts(store: xr.Dataset, fraction: float, *, checkpoint: int | None = None) -> pd.DataFrame:
    r"""Mean Wasserstein distance of the top of each layer less that of the rest, on text that they were not chosen on.

    Parameters
    ----------
    store : Dataset
        A store of `actstore extract`.
    fraction : float
        Share of each layer that is its top.
    checkpoint : int, optional
        Training step; the last one by default.

    Returns
    -------
    DataFrame
        One row a `given`: `nothing`; or `skewness, kurtosis and bimodality`, where neurons are compared at equal values of
        these, by a regression on their ranks in the layer and the squares of the ranks. The columns of `contrast_columns`,
        in standard deviations, of the mean over layers; `n_layers`, `n_neurons` of the top, which are the `n_clusters` of
        the `cluster` neuron.

    Notes
    -----
    Neurons are chosen for their distance, so on the same text their lead is partly luck. Documents are split into two
    halves, every second one (windows, where there is a single document): the top of one half is measured on the other, and
    the two results are averaged. The variance over neurons is that of one half: an average of two dependent estimates
    varies no more.

    References
    ----------
    Chernozhukov et al. (2018) for cross-fitting.
    """
    tokens = text_tokens(at_checkpoint(store, checkpoint))
    halves = [_statistics(tokens, half) for half in _halves(tokens)]
    effects: dict[str, list[list[CohortEffect]]] = {NOTHING: [], SHAPE: []}
    for chosen_on, measured_on in (halves, halves[::-1]):
        distance = chosen_on["wasserstein_distance"]
        top = select(distance, fraction).mask(distance[LAYER].values)
        for given, of_given in effects.items():
            of_given.append([_effect(measured_on.isel({LAYER: i}), top[i], given) for i in range(len(top))])
    rows = [{"given": given} | _row(of_halves[0], of_halves[1], int(top.sum())) for given, of_halves in effects.items()]
    return pd.DataFrame(rows)


def _halves(tokens: xr.Dataset) -> list[NDArray[np.bool_]]:
    """Which tokens are in each half: those of every second document, or window."""
    unit = "document" if len(np.unique(tokens["document"].values)) > 1 else "window"
    is_even = np.unique(tokens[unit].values, return_inverse=True)[1] % 2 == 0
    return [is_even, ~is_even]


def _statistics(tokens: xr.Dataset, half: NDArray[np.bool_]) -> xr.Dataset:
    """Distance and shape (layer, neuron) on half of the text."""
    values = tokens["preactivation"].isel({TOKEN: np.flatnonzero(half)})
    shape = shape_statistics(values).transpose(LAYER, NEURON)
    distance = wasserstein_distance(values).transpose(LAYER, NEURON)
    return shape.assign(wasserstein_distance=distance, abs_skewness=abs(shape["skewness"]))


def _effect(layer: xr.Dataset, is_top: NDArray[np.bool_], given: str) -> CohortEffect:
    covariates = None if given == NOTHING else ranks_and_squares(np.stack([layer[name].values for name in _SHAPE], axis=-1))
    return cohort_effect(layer["wasserstein_distance"].values, is_top, covariates)


def _row(first: list[CohortEffect], second: list[CohortEffect], n_top: int) -> dict[str, object]:
    """The columns of the average of both halves."""
    defined = [pair for pair in zip(first, second, strict=True) if all(np.isfinite(effect.value) for effect in pair)]
    effects = [
        a._replace(
            value=(a.value + b.value) / 2,
            over_neurons=(a.over_neurons + b.over_neurons) / 2,
            freedom=min(a.freedom, b.freedom),
        )
        for a, b in defined
    ]
    columns = contrast_columns(weighted_effect(effects, mean_weights(len(effects))))
    return {**columns, "n_layers": len(effects), "n_neurons": n_top, "n_clusters": n_top, "cluster": "neuron"}
