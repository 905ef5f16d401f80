"""Paired tests on plain arrays."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from analysis.kernels.parallel import blocks
from analysis.kernels.permutation import count_p_value

N_FLIPS = 9999
_FLIP_ELEMENTS = 4_000_000


def sign_flip_test(changes: ArrayLike, n_flips: int = N_FLIPS, seed: int = 0) -> float:
    """Two-sided p-value of the null that each change is equally likely to have either sign.

    Parameters
    ----------
    changes : array (cluster,)
        Sum of the paired differences of each independent unit.
    n_flips : int
        Random sign patterns to draw; only used where the p-value is not exact.
    seed : int

    Returns
    -------
    float
        Exact where all changes that are not 0 have one size (binomial: McNemar's test), and where there are at most
        `n_flips` patterns of signs; 1 where nothing changed. It is never below `least_p_value`.

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
    observed, n_reached = abs(values.sum()) * (1 - 1e-12), 0
    if 2 ** len(values) <= n_flips:
        patterns = np.array(list(itertools.product((-1, 1), repeat=len(values))))
        return float((np.abs(patterns @ values) >= observed).mean())
    rng = np.random.default_rng(seed)
    for block in blocks(n_flips, max(1, min(1000, _FLIP_ELEMENTS // len(values)))):
        signs = rng.integers(0, 2, (block.stop - block.start, len(values)), dtype=np.int8) * np.int8(2) - np.int8(1)
        n_reached += int((np.abs(signs @ values) >= observed).sum())
    return float(count_p_value(n_reached, n_flips))


def least_p_value(n_clusters: ArrayLike) -> NDArray[np.float64]:
    """The least p-value that `sign_flip_test` can give for n clusters, 2^(1 − n): all changes have one sign.

    Examples
    --------
    >>> least_p_value([2, 5, 6])
    array([0.5    , 0.0625 , 0.03125])
    """
    return np.minimum(2.0 ** (1 - np.asarray(n_clusters, dtype=np.float64)), 1)
