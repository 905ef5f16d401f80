"""Rank correlations, and how much of a ranking other rankings explain, on plain arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

_LEAST_PAIRS = 5


def spearman(a: NDArray[np.float64], b: NDArray[np.float64], level: float = 0.95) -> tuple[float, float, float]:
    """Spearman's rank correlation of two samples and its confidence bounds.

    Pairs with a NaN are left out. NaN with fewer than five pairs or a constant sample.

    Notes
    -----
    Bounds on Fisher's z with the variance (1 + rho²/2) / (n − 3): Bonett & Wright (2000).
    """
    defined = ~(np.isnan(a) | np.isnan(b))
    n = int(defined.sum())
    ranks = rankdata(a[defined]), rankdata(b[defined])
    if n < _LEAST_PAIRS or any(np.ptp(rank) == 0 for rank in ranks):
        return np.nan, np.nan, np.nan
    rho = float(np.corrcoef(*ranks)[0, 1])
    if abs(rho) >= 1 - 1e-12:
        return rho, rho, rho
    reach = ndtri(0.5 + level / 2) * np.sqrt((1 + rho**2 / 2) / (n - 3))
    return rho, float(np.tanh(np.arctanh(rho) - reach)), float(np.tanh(np.arctanh(rho) + reach))


def ranked(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of the values that are not NaN, the greatest value first; ties by index."""
    defined = np.flatnonzero(~np.isnan(values))
    return defined[np.argsort(-values[defined], kind="stable")]


def descending_ranks(values: NDArray[np.float64], axis: int) -> NDArray[np.int64]:
    """Places along an axis: 1 for the greatest value, 0 for NaN; equal values share the first of their places."""
    order = np.moveaxis(values, axis, -1)
    ranks = rankdata(-order, method="min", axis=-1, nan_policy="omit") if order.size else np.zeros(order.shape)
    return np.moveaxis(np.nan_to_num(ranks, nan=0).astype(np.int64), -1, axis)


def explained(target: NDArray[np.float64], predictors: NDArray[np.float64]) -> float:
    """Adjusted R² of the ranks of `target` (item,) on those of `predictors` (item, predictor).

    Items with a NaN are left out. NaN if fewer than five more items than predictors are left, or the target is constant.
    """
    defined = ~(np.isnan(target) | np.isnan(predictors).any(axis=1))
    n, k = int(defined.sum()), predictors.shape[1]
    if n < k + _LEAST_PAIRS or np.ptp(target[defined]) == 0:
        return np.nan
    y = rankdata(target[defined])
    x = np.column_stack([np.ones(n), rankdata(predictors[defined], axis=0)])
    residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    unexplained = residual @ residual / ((y - y.mean()) @ (y - y.mean()))
    return float(1 - unexplained * (n - 1) / (n - k - 1))


def ranks_and_squares(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks (neuron, …) of covariates within a layer, from -1 to 1, and their squares; NaN where one is missing."""
    ranks = rankdata(values, axis=0, nan_policy="omit")
    ranks = 2 * (ranks - 1) / np.maximum(np.nanmax(ranks, axis=0) - 1, 1) - 1
    return np.concatenate([ranks, ranks**2], axis=1)
