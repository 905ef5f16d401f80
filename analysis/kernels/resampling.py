"""Intervals of what is no mean, by leaving units out or by replicates of a mean, on plain arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

_N_GROUPS = 40


def jackknife_reach(function: Callable[[NDArray[np.intp]], float], n_units: int, level: float = 0.95) -> float:
    """Half the width of an interval of a smooth function of independent units.

    Parameters
    ----------
    function : callable
        Takes the units that are kept; its values need no mean over units.
    n_units : int
    level : float

    Returns
    -------
    float
        NaN where the function is NaN without some of the units.

    Notes
    -----
    Units are left out one at a time, or in 40 groups of every fortieth; Student's t with as many degrees of freedom, less
    one. Costs 40 calls at most, and has no seed.

    References
    ----------
    Efron and Tibshirani (1993), chapter 11.

    Examples
    --------
    >>> values = np.array([1.0, 2.0, 4.0, 7.0])
    >>> round(jackknife_reach(lambda kept: values[kept].mean(), 4), 3)  # of a mean: t s / √n
    4.21
    """
    n_groups = min(n_units, _N_GROUPS)
    unit = np.arange(n_units)
    without = np.array([function(unit[unit % n_groups != group]) for group in range(n_groups)])
    error = np.sqrt((n_groups - 1) * without.var())
    return float(student.ppf((1 + level) / 2, n_groups - 1) * error)


def mean_replicates(values: NDArray[np.float64], n_replicates: int, rng: np.random.Generator) -> NDArray[np.float64]:
    r"""Draws of the mean of independent units, from a multivariate t around the observed one.

    Parameters
    ----------
    values : array (unit, column)
        At least two units.
    n_replicates : int
    rng : numpy Generator

    Returns
    -------
    array (replicate, column)

    Notes
    -----
    :math:`\bar x + \sqrt{(n - 1) / \chi^2_{n-1}} \sum_i z_i (x_i - \bar x) / \sqrt{n (n - 1)}` with normal z: percentiles of
    any linear combination of the columns are its Student's t interval, and what follows from the columns in another
    way has one that is as wide. Drawing units with replacement gives intervals that are too narrow for few: of five,
    percentiles cover 83%.

    References
    ----------
    Davison and Hinkley (1997), section 5.2; Rubin (1981).
    """
    n_units = len(values)
    mean = values.mean(axis=0)
    spread = rng.normal(size=(n_replicates, n_units)) @ (values - mean) / np.sqrt(n_units * (n_units - 1))
    heavy = np.sqrt((n_units - 1) / rng.chisquare(n_units - 1, size=n_replicates))
    replicates: NDArray[np.float64] = mean + heavy[:, None] * spread
    return replicates
