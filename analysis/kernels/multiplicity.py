"""Correction for many tests, on plain arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control

from actstore.errors import UnknownNameError

CORRECTIONS = ("holm", "bh")


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """P-values adjusted to control the false discovery rate over all of an array.

    Parameters
    ----------
    p : array of float
        Any shape; NaN where there was no test.

    Returns
    -------
    array of float64
        q-values of the same shape, NaN where `p` is.

    References
    ----------
    Benjamini and Hochberg (1995).

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.02, float("nan"), 0.9]).round(3)
    array([0.03, 0.03,  nan, 0.9 ])
    """
    q = np.array(p, dtype=np.float64)
    tested = ~np.isnan(q)
    if tested.any():
        q[tested] = false_discovery_control(q[tested])
    return q


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """P-values adjusted to control the family-wise error rate over all of an array.

    Parameters
    ----------
    p : array of float
        Any shape; NaN where there was no test.

    Returns
    -------
    array of float64
        Adjusted p-values of the same shape, NaN where `p` is.

    References
    ----------
    Holm (1979).

    Examples
    --------
    >>> holm([0.01, 0.02, float("nan"), 0.9]).round(3)
    array([0.03, 0.04,  nan, 0.9 ])
    """
    found = np.array(p, dtype=np.float64)
    tested = ~np.isnan(found)
    values = found[tested]
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    values[order] = np.minimum(steps, 1)
    found[tested] = values
    return found


def adjusted(p: ArrayLike, correction: str) -> NDArray[np.float64]:
    """P-values adjusted by a named correction, `holm` or `bh`.

    Raises
    ------
    UnknownNameError
        If there is no such correction.
    """
    if correction not in CORRECTIONS:
        raise UnknownNameError("correction", correction, CORRECTIONS)
    return holm(p) if correction == "holm" else benjamini_hochberg(p)
