"""Null distributions from permuted labels, on plain arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import gamma, pearson3

_N_BINS = 128
_TIE = 1e-9
"""Relative difference below which a permuted value counts as equal to the observed one."""


def count_p_value(n_reached: ArrayLike, n_permutations: int) -> NDArray[np.float64]:
    """P-value of observed statistics that `n_reached` of the permuted ones reach; the observed one counts as one more.

    Notes
    -----
    `(1 + n_reached) / (1 + n_permutations)`, valid at any number of permutations: Phipson and Smyth (2010).
    """
    return np.asarray((1 + np.asarray(n_reached)) / (1 + n_permutations))


def permutation_p_value(observed: ArrayLike, null: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of permuted values that reach the observed one, which counts among them.

    Parameters
    ----------
    observed : array (…)
        Statistics, at least 0.
    null : array (permutation, …)
        The same statistics under permuted labels.

    Returns
    -------
    array of float64 (…)
        At least 1 / (1 + permutations); NaN where the observed value is.

    Notes
    -----
    See `count_p_value`.

    Examples
    --------
    >>> permutation_p_value([3.0, 0.5, float("nan")], np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [3.0, 3.0, 3.0]]))
    array([0.5, 1. , nan])
    """
    observed = np.asarray(observed, np.float64)
    n_reached = (null >= observed * (1 - _TIE)).sum(axis=0)
    return np.where(np.isnan(observed), np.nan, count_p_value(n_reached, len(null)))


def gamma_p_value(observed: ArrayLike, null: NDArray[np.float64]) -> NDArray[np.float64]:
    """Upper tail of a gamma distribution with the mean and variance of permuted values.

    Parameters
    ----------
    observed : array (…)
        Statistics, at least 0.
    null : array (permutation, …)
        The same statistics under at least two permutations of the labels.

    Returns
    -------
    array of float64 (…)
        1 where the permuted values do not vary.

    Notes
    -----
    For statistics that behave like sums of squares. Under the null these are close to gamma, so that few permutations
    give p-values far smaller than one over their number. The tail of transport distances is longer: see
    `pearson_p_value`.
    """
    mean, variance = null.mean(axis=0), null.var(axis=0, ddof=1)
    varies = variance > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        p = gamma.sf(observed, mean**2 / variance, scale=variance / mean)
    return np.where(varies, p, 1.0)


def pearson_p_value(observed: ArrayLike, null: NDArray[np.float64]) -> NDArray[np.float64]:
    """Upper tail of a Pearson III distribution with the mean, variance and skewness of permuted values.

    Parameters
    ----------
    observed : array (…)
    null : array (permutation, …)
        The same statistics under permuted labels: at least two permutations, and 100 or more for the skewness.

    Returns
    -------
    array of float64 (…)
        1 where the permuted values do not vary.

    Notes
    -----
    Winkler et al. (2016): few permutations give p-values far smaller than one over their number. It is an
    extrapolation. For W1 with 200 permutations, the share of p-values below 0.05 and 0.01 is 1.0 to 1.2 times what it
    should be, and below 0.001 up to 1.6 times. A negative skewness counts as 0.
    """
    mean, spread = null.mean(axis=0), null.std(axis=0, ddof=1)
    varies = spread > 0
    spread = np.where(varies, spread, 1)
    skewness = np.mean(((null - mean) / spread) ** 3, axis=0)
    return np.where(varies, pearson3.sf(observed, np.maximum(skewness, 0), mean, spread), 1.0)


def permuted_distances(
    pooled: NDArray[np.floating], n_first: int, n_permutations: int, rng: np.random.Generator, p: float = 1
) -> NDArray[np.float64]:
    r"""Wasserstein distance between two random parts of every pooled sample.

    Parameters
    ----------
    pooled : array (item, sample)
    n_first : int
        Size of the first part.
    n_permutations : int
    rng : numpy Generator
    p : float
        Order of the distance.

    Returns
    -------
    array (permutation, sample)
        The same permutations for all samples.

    Notes
    -----
    Exact: :math:`W_1 = \int |F_a - F_b|` and :math:`W_p^p = \int |F_a^{-1} - F_b^{-1}|^p`. Samples are sorted
    once; a permutation is one pass over them for p = 1, and four passes for other orders.
    """
    n = len(pooled)
    values = np.ascontiguousarray(pooled.T, np.float64)
    order = np.argsort(values, axis=1)
    values = np.take_along_axis(values, order, axis=1)
    distances = np.empty((n_permutations, len(values)))
    if p == 1:
        spacing, share = np.diff(values, axis=1), np.full(n, -1 / (n - n_first))
        share[:n_first] = 1 / n_first
        for row in distances:
            gap = np.cumsum(rng.permutation(share)[order], axis=1)[:, :-1]
            np.einsum("si,si->s", np.abs(gap, out=gap), spacing, out=row)
        return distances
    widths, first, second = _cells(n_first, n - n_first)
    is_first = np.arange(n) < n_first
    for row in distances:
        inside = rng.permutation(is_first)[order]
        a, b = (values[part].reshape(len(values), -1) for part in (inside, ~inside))
        row[:] = (np.abs(a[:, first] - b[:, second]) ** p @ widths) ** (1 / p)
    return distances


def _cells(n: int, m: int) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Cells on which the quantile functions of n and of m values are constant: widths, and the rank of either's value."""
    edges = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)  # in units of 1 / (n m)
    return np.diff(edges, prepend=0) / (n * m), (edges - 1) // m, (edges - 1) // n


def class_test(
    values: NDArray[np.floating], codes: NDArray[np.int64], n_classes: int, n_permutations: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    r"""P-value of the W1 between any two classes of a sample; labels are permuted within the two.

    Parameters
    ----------
    values : array (item,)
    codes : int array (item,)
        Class of each item, from 0.
    n_classes : int
        No class is empty.
    n_permutations : int
        At least 2.
    rng : numpy Generator

    Returns
    -------
    array (class, class)
        Symmetric, NaN on the diagonal.

    Notes
    -----
    The statistic, of observed and permuted labels alike, is :math:`\int |F_a - F_b|` on 128 bins of
    equal counts. Permuted labels give counts of a multivariate hypergeometric distribution, and these are drawn
    directly: the cost is of order pairs × permutations × bins for any number of items. The labels of a pair of classes
    are not exchanged with those of a third class, since its spread would change how often two equal classes differ.
    The p-value is `pearson_p_value`'s.
    """
    edges = np.unique(np.quantile(values, np.arange(_N_BINS + 1) / _N_BINS))
    p = np.full((n_classes, n_classes), np.nan)
    if len(edges) < 2:
        p[~np.eye(n_classes, dtype=bool)] = 1
        return p
    n_bins, widths = len(edges) - 1, np.diff(edges)
    bins = np.minimum(np.searchsorted(edges, values, side="right") - 1, n_bins - 1)
    counts = np.bincount(codes * n_bins + bins, minlength=n_classes * n_bins).reshape(n_classes, n_bins)
    sizes = counts.sum(axis=1)
    for a, b in zip(*np.triu_indices(n_classes, 1), strict=True):
        both = counts[a] + counts[b]
        drawn = rng.multivariate_hypergeometric(both, sizes[a], size=n_permutations, method="marginals")
        below = np.cumsum(np.vstack([counts[a], drawn]), axis=1)
        gap = np.abs(below / sizes[a] - (np.cumsum(both) - below) / sizes[b]) @ widths
        p[a, b] = p[b, a] = pearson_p_value(gap[0], gap[1:])
    return p
