"""Independence of two labellings from the counts of their pairs, on plain arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc

_LEAST_ITEMS = 4


def independence_p_value(counts: NDArray[np.int64]) -> float:
    r"""P-value of Pearson's chi-square for independent labellings of the same items.

    Parameters
    ----------
    counts : int array (label, other label)
        How many items have both labels.

    Returns
    -------
    float
        The upper tail, from 0 to 1; NaN where a labelling has a single value, or every item a value of its own.

    Notes
    -----
    Of a gamma distribution with the mean and the variance that the statistic has when the labels are permuted. Both are
    exact, for rare labels too:

    .. math::
        E = \frac{n}{n-1}(r-1)(c-1), \quad
        V = \frac{2n}{n-3}(v_r - w_r)(v_c - w_c) + \frac{n^2}{n-1} w_r w_c

    with :math:`v_r = (r-1)(n-r)/(n-1)` and :math:`w_r = (n \sum_i 1/n_i - r^2)/(n-2)` for r values with n_i items each.

    References
    ----------
    Haldane (1940); Dawson (1954).

    Examples
    --------
    >>> independence_p_value(np.array([[50, 50], [50, 50]])).__round__(2)
    1.0
    >>> independence_p_value(np.array([[90, 10], [10, 90]])) < 1e-20
    True
    """
    rows, columns = (margin[margin > 0].astype(np.float64) for margin in (counts.sum(axis=1), counts.sum(axis=0)))
    n, r, c = rows.sum(), len(rows), len(columns)
    if min(r, c) < 2 or n < _LEAST_ITEMS or max(r, c) == n:
        return np.nan
    square = counts[np.ix_(counts.any(axis=1), counts.any(axis=0))].astype(np.float64) ** 2
    statistic = n * ((square / rows[:, None] / columns).sum() - 1)
    mean = n * (r - 1) * (c - 1) / (n - 1)
    (v_r, w_r), (v_c, w_c) = (_spread(margin, n) for margin in (rows, columns))
    variance = 2 * n / (n - 3) * (v_r - w_r) * (v_c - w_c) + n**2 / (n - 1) * w_r * w_c
    return float(gammaincc(mean**2 / variance, max(statistic, 0) * mean / variance))


def _spread(margin: NDArray[np.float64], n: float) -> tuple[float, float]:
    """The two quantities of a margin that the variance depends on."""
    k = len(margin)
    return (k - 1) * (n - k) / (n - 1), (n * (1 / margin).sum() - k**2) / (n - 2)
