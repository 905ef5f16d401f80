"""Moments of samples, on plain arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.kernels.parallel import map_rows


class Moments(NamedTuple):
    """Moments of distributions; those that divide by the variance are NaN where it is zero."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    """Population standard deviation."""
    skewness: NDArray[np.float64]
    """Third standardised moment."""
    excess_kurtosis: NDArray[np.float64]
    """Fourth standardised moment less 3."""
    bimodality_coefficient: NDArray[np.float64]
    """Sarle's, 5/9 for a uniform distribution, up to 1 for two points; NaN below four values."""
    negative_frac: NDArray[np.float64]
    """Fraction of values below 0."""
    negative_mean: NDArray[np.float64]
    """Mean of the values below 0; NaN where there is none."""


def moments(values: ArrayLike, axis: int = -1) -> Moments:
    r"""Moments of every sample, in float64.

    Parameters
    ----------
    values : array of float
        Samples along `axis`, finite.
    axis : int
        The sample axis; it is reduced.

    Returns
    -------
    Moments
        Arrays of the shape of `values` without `axis`.

    Notes
    -----
    :math:`b = (G_1^2 + 1) / (G_2 + 3 (n-1)^2 / ((n-2)(n-3)))` with the sample-corrected skewness
    and excess kurtosis :math:`G_1, G_2`: Pfister et al. (2013), eq. 1.
    """
    shape, flat = map_rows(_block, np.asarray(values), axis)
    return Moments(*(column.reshape(shape) for column in flat.T))


def _block(raw: NDArray[np.floating]) -> NDArray[np.float64]:
    x = raw.astype(np.float64)
    n = x.shape[1]
    below = x < 0
    negative = below.mean(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        negative_mean = np.where(below, x, 0).sum(axis=1) / below.sum(axis=1)
    mean = x.mean(axis=1)
    constant = x.min(axis=1) == x.max(axis=1)
    x -= mean[:, None]
    square = x * x
    variance = square.mean(axis=1)
    variance[constant] = 0
    with np.errstate(invalid="ignore", divide="ignore"):
        skewness = np.einsum("ij,ij->i", square, x) / n / variance**1.5
        kurtosis = np.einsum("ij,ij->i", square, square) / n / variance**2 - 3
        corrected = skewness * np.sqrt(n * (n - 1)) / np.float64(n - 2)
        excess = ((n + 1) * kurtosis + 6) * (n - 1) / np.float64((n - 2) * (n - 3))
        bimodality = (corrected**2 + 1) / (excess + 3 * (n - 1) ** 2 / np.float64((n - 2) * (n - 3)))
    for statistic in (skewness, kurtosis, bimodality):
        statistic[constant] = np.nan
    if n < 4:
        bimodality[:] = np.nan
    return np.stack([mean, np.sqrt(variance), skewness, kurtosis, bimodality, negative, negative_mean], axis=1)
