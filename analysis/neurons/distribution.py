"""How far each neuron's pre-activations are from Gaussian, and in what way.

Owns the statistics of single neurons' distributions. References: Kong et al. (2026), section 2;
Sawmya et al. (2025), section 3.
"""

from __future__ import annotations

import xarray as xr

from actstore.store.schema import TOKEN, Field
from analysis.kernels.moments import moments
from analysis.kernels.transport import wasserstein_to_normal
from analysis.labels import reduce_samples, text_tokens
from analysis.neurons.registry import OF_NEURONS, add_statistics

_SD = "standard deviation"
_TRANSPORT = {
    "wasserstein_distance": Field(
        OF_NEURONS, "float64", "1-Wasserstein distance of the standardised pre-activation to N(0, 1)", _SD
    ),
    "negative_wasserstein_frac": Field(OF_NEURONS, "float64", "share of the Wasserstein integral on negative pre-activations"),
    "wasserstein_2_distance": Field(
        OF_NEURONS, "float64", "2-Wasserstein distance of the standardised pre-activation to N(0, 1)", _SD
    ),
}
_SHAPE = {
    "mean": Field(OF_NEURONS, "float64", "mean pre-activation"),
    "std": Field(OF_NEURONS, "float64", "population standard deviation of the pre-activation"),
    "skewness": Field(OF_NEURONS, "float64", "skewness of the pre-activation"),
    "excess_kurtosis": Field(OF_NEURONS, "float64", "excess kurtosis of the pre-activation"),
    "bimodality_coefficient": Field(OF_NEURONS, "float64", "Sarle's bimodality coefficient of the pre-activation"),
    "negative_frac": Field(OF_NEURONS, "float64", "fraction of tokens with a negative pre-activation"),
    "negative_mean": Field(OF_NEURONS, "float64", "mean of the negative pre-activations; NaN where there is none"),
}
_ALL_POSITIONS = "wasserstein_distance_all_positions"
_OF_ALL_POSITIONS = {
    _ALL_POSITIONS: Field(OF_NEURONS, "float64", "1-Wasserstein distance with the first position of each window", _SD)
}


def wasserstein_distance(preactivation: xr.DataArray, dim: str = TOKEN) -> xr.DataArray:
    """Exact 1-Wasserstein distance of every standardised neuron to N(0, 1).

    Parameters
    ----------
    preactivation : DataArray
        Needs `dim`; any float dtype, eager or lazy.
    dim : str
        The sample dim; it is reduced.

    Returns
    -------
    DataArray
        The other dims, float64, in standard deviations, at least 0; NaN for zero variance.

    Raises
    ------
    ValueError
        If `dim` is not a dim of `preactivation`.

    Notes
    -----
    See `analysis.kernels.transport.wasserstein_to_normal`. Input from Dask gives lazy output, whose
    blocks hold all of `dim`; a store's own arrays are read 32 MiB at a time.

    References
    ----------
    Kong et al. (2026), eq. 1; docs/concepts.md.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> two_points = xr.DataArray([[-1.0, 1.0, -1.0, 1.0], [2.0, 2.0, 2.0, 2.0]], dims=("neuron", "token"))
    >>> wasserstein_distance(two_points).round(4).values
    array([0.5354,    nan])
    """
    return entanglement(preactivation, dim)["wasserstein_distance"]


def entanglement(preactivation: xr.DataArray, dim: str = TOKEN) -> xr.Dataset:
    """Wasserstein distances of every neuron to N(0, 1), and the share that falls on negative values.

    Parameters
    ----------
    preactivation : DataArray
        Needs `dim`.
    dim : str
        The sample dim; it is reduced.

    Returns
    -------
    Dataset
        `wasserstein_distance`, `negative_wasserstein_frac` and `wasserstein_2_distance` over the
        other dims; NaN for zero variance.

    Raises
    ------
    ValueError
        If `dim` is not a dim of `preactivation`.
    """
    result = reduce_samples(wasserstein_to_normal, preactivation, dim, _TRANSPORT)
    result.attrs = {"n_tokens": preactivation.sizes[dim], "standardisation": "mean and population standard deviation"}
    return result


def shape_statistics(preactivation: xr.DataArray, dim: str = TOKEN) -> xr.Dataset:
    """Moments of every neuron's pre-activations, and the fraction below zero.

    Parameters
    ----------
    preactivation : DataArray
        Needs `dim`.
    dim : str
        The sample dim; it is reduced.

    Returns
    -------
    Dataset
        `mean`, `std`, `skewness`, `excess_kurtosis`, `bimodality_coefficient`, `negative_frac`,
        `negative_mean` over the other dims; those that divide by the variance are NaN where it is zero.

    Raises
    ------
    ValueError
        If `dim` is not a dim of `preactivation`.

    Notes
    -----
    See `analysis.kernels.moments.moments`.

    Examples
    --------
    >>> import xarray as xr
    >>> two_points = xr.DataArray([-1.0, 1.0, -1.0, 1.0], dims="token")
    >>> float(shape_statistics(two_points)["excess_kurtosis"])
    -2.0
    """
    return reduce_samples(moments, preactivation, dim, _SHAPE)


def _with_first_positions(store: xr.Dataset) -> xr.Dataset:
    return wasserstein_distance(store["preactivation"]).rename(_ALL_POSITIONS).to_dataset()


add_statistics("entanglement", _TRANSPORT, lambda store, _: entanglement(text_tokens(store["preactivation"])), __name__)
add_statistics("shape", _SHAPE, lambda store, _: shape_statistics(text_tokens(store["preactivation"])), __name__)
add_statistics("entanglement of all positions", _OF_ALL_POSITIONS, lambda store, _: _with_first_positions(store), __name__)
