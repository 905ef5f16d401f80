"""Correction for many tests, on plain arrays.

Owns the treatment of missing tests: a p-value of NaN does not count as a test, and stays NaN.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control
from statsmodels.stats.multitest import multipletests

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
    return _corrected(p, false_discovery_control)


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
    return _corrected(p, _step_down)


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


def _step_down(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's adjustment by statsmodels, which collects garbage at every call: what is alive is not looked at meanwhile."""
    gc.freeze()
    try:
        return np.asarray(multipletests(p, method="holm")[1], np.float64)
    finally:
        gc.unfreeze()


def _corrected(p: ArrayLike, correction: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> NDArray[np.float64]:
    """A correction of the p-values that are not NaN."""
    values = np.array(p, dtype=np.float64)
    is_tested = ~np.isnan(values)
    if is_tested.any():
        values[is_tested] = correction(values[is_tested])
    return values
