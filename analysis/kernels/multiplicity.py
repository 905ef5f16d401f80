"""Correction for many tests, on plain arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control


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
