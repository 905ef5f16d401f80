"""Paired tests on plain arrays."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

N_FLIPS = 9999
_FLIP_ELEMENTS = 4_000_000


def sign_flip_test(changes: ArrayLike, n_flips: int = N_FLIPS, seed: int = 0) -> float:
    """Two-sided p-value of the null that every change is as likely to have the other sign.

    Parameters
    ----------
    changes : array (cluster,)
        Sum of the paired differences of each independent unit.
    n_flips : int
        Random sign patterns, where the changes are not all of one size and all patterns are more.
    seed : int

    Returns
    -------
    float
        Exact where all changes that are not 0 have one size (binomial: McNemar's test), and where all patterns of
        signs are no more than `n_flips`; 1 where nothing changed. It is never below `least_p_value`.

    Examples
    --------
    >>> sign_flip_test([1, 1, 1, 1, 1, 0, 0])
    0.0625
    """
    values = np.asarray(changes, dtype=np.float64)
    size = np.abs(values).max(initial=0)
    values = values[np.abs(values) > 1e-9 * size]
    if not len(values):
        return 1.0
    if np.ptp(np.abs(values)) <= 1e-9 * size:
        return float(binomtest(int((values > 0).sum()), len(values)).pvalue)
    observed, n_as_far = abs(values.sum()), 0
    if 2 ** len(values) <= n_flips:
        patterns = np.array(list(itertools.product((-1, 1), repeat=len(values))))
        return float((np.abs(patterns @ values) >= observed * (1 - 1e-12)).mean())
    rng = np.random.default_rng(seed)
    n_rows = max(1, min(1000, _FLIP_ELEMENTS // len(values)))
    for start in range(0, n_flips, n_rows):
        signs = rng.integers(0, 2, (min(n_rows, n_flips - start), len(values)), dtype=np.int8) * np.int8(2) - np.int8(1)
        n_as_far += int((np.abs(signs @ values) >= observed * (1 - 1e-12)).sum())
    return (1 + n_as_far) / (1 + n_flips)


def least_p_value(n_clusters: ArrayLike) -> NDArray[np.float64]:
    """The least p-value that `sign_flip_test` can give so many clusters: all changes of one sign, 2^(1 − n).

    Examples
    --------
    >>> least_p_value([2, 5, 6])
    array([0.5    , 0.0625 , 0.03125])
    """
    return np.minimum(2.0 ** (1 - np.asarray(n_clusters, dtype=np.float64)), 1)
