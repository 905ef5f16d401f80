"""Estimates of linear combinations of a model's fixed effects, with three intervals each.

Owns the columns of every estimate: the model's interval, the cluster-robust one, and that of the cluster bootstrap.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from analysis.kernels.crossproducts import Array
from analysis.kernels.reml import MixedFit
from analysis.kernels.sandwich import Robust

_WIDER = 2.0
"""Robust intervals this many times wider, or narrower, than the model's disagree with it."""


def estimates(labels: pd.DataFrame, weights: Array, fit: MixedFit, robust: Robust | None, replicates: Array) -> pd.DataFrame:
    """Linear combinations of the fixed effects, in the response's units.

    Parameters
    ----------
    labels : DataFrame
        One row a combination.
    weights : array (combination, fixed)
    fit : MixedFit
    robust : Robust, optional
    replicates : array (replicate, fixed)
        Shifts of the coefficients when whole clusters are drawn; not used without `robust`.

    Returns
    -------
    DataFrame
        The labels and `estimate`, `standard_error`, `df` (Satterthwaite), `t`, `p` (of a true value of 0), `lower`,
        `upper`. With `robust` also `robust_p`, `robust_lower`, `robust_upper` (Student's t over clusters),
        `bootstrap_lower`, `bootstrap_upper` (percentiles, widened for few clusters); `intervals_agree`: all three hold
        zero or none does, and no width is beyond twice or half the model's; and `n_clusters` that inform the estimate
        (with a share of at least a twentieth of the largest).
    """
    estimate = weights @ fit.coefficients
    error = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", weights, fit.covariance, weights), 0))
    df = satterthwaite(weights, fit)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = estimate / error
    reach = stats.t.ppf(0.975, df) * error
    table = labels.assign(estimate=estimate, standard_error=error, df=df, t=t, p=2 * stats.t.sf(np.abs(t), df))
    table = table.assign(lower=estimate - reach, upper=estimate + reach)
    if robust is None:
        return table
    intervals = robust.intervals(estimate, weights)
    lower, upper = intervals.estimate.interval()
    table = table.assign(robust_p=intervals.estimate.p_value(), robust_lower=lower, robust_upper=upper)
    low, high = np.nanquantile(weights @ replicates.T, [0.025, 0.975], axis=1) * intervals.widening
    table = table.assign(bootstrap_lower=estimate + low, bootstrap_upper=estimate + high)
    return table.assign(intervals_agree=_agree(table), n_clusters=intervals.n_clusters)


def satterthwaite(weights: Array, fit: MixedFit) -> Array:
    """Satterthwaite's degrees of freedom of linear combinations (combination, fixed) of the fixed effects."""
    variance = np.einsum("ij,jk,ik->i", weights, fit.covariance, weights)
    slope = np.einsum("ij,tjk,ik->it", weights, fit.covariance_gradient, weights)
    spread = np.einsum("it,ts,is->i", slope, np.linalg.pinv(fit.theta_information, hermitian=True), slope)
    with np.errstate(divide="ignore", invalid="ignore"):
        df: Array = np.where(spread > 0, 2 * variance**2 / spread, np.inf)
    return df


def _agree(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether the three intervals of every row agree about zero and in width."""
    bounds = [(table[f"{kind}lower"], table[f"{kind}upper"]) for kind in ("", "robust_", "bootstrap_")]
    signs = [(lower > 0) * 1 - (upper < 0) * 1 for lower, upper in bounds]
    agree = (signs[0] == signs[1]) & (signs[0] == signs[2])
    of_model, *robust = (upper - lower for lower, upper in bounds)
    for width in robust:
        agree &= (width <= _WIDER * of_model) & (width * _WIDER >= of_model)
    return np.asarray(agree, dtype=bool)
