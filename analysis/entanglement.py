"""How far each neuron's pre-activations are from Gaussian, for labelled arrays.

Owns the Wasserstein distance of a store. References: Kong et al. (2026), section 2; Sawmya et
al. (2025), section 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from actstore.schema import FIELDS, TOKEN
from analysis.kernels.transport import wasserstein_to_normal

_DISTANCE, _SHARE, _NEGATIVE = "wasserstein_distance", "negative_wasserstein_frac", "negative_frac"


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
    See `analysis.kernels.transport.wasserstein_to_normal`. Lazy input gives lazy output; a block
    holds all of `dim`.

    References
    ----------
    Kong et al. (2026), eq. 1; METHOD of the README.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> two_points = xr.DataArray([[-1.0, 1.0, -1.0, 1.0], [2.0, 2.0, 2.0, 2.0]], dims=("neuron", "token"))
    >>> wasserstein_distance(two_points).round(4).values
    array([0.5354,    nan])
    """
    return _transport(preactivation, dim)[_DISTANCE]


def entanglement(preactivation: xr.DataArray, dim: str = TOKEN) -> xr.Dataset:
    """Wasserstein distance, its share on negative values, and the fraction of negative values.

    Parameters
    ----------
    preactivation : DataArray
        Needs `dim`.
    dim : str
        The sample dim; it is reduced.

    Returns
    -------
    Dataset
        `wasserstein_distance`, `negative_wasserstein_frac` and `negative_frac` over the other dims.
    """
    result = _transport(preactivation, dim)
    result[_NEGATIVE] = (preactivation < 0).mean(dim)
    for name, array in result.data_vars.items():
        array.attrs = FIELDS[str(name)].attrs
    result.attrs = {"n_tokens": preactivation.sizes[dim], "standardisation": "mean and population standard deviation"}
    return result


def _transport(preactivation: xr.DataArray, dim: str) -> xr.Dataset:
    if dim not in preactivation.dims:
        raise ValueError(f"preactivation has no dim {dim!r}; its dims are {', '.join(map(str, preactivation.dims))}")
    if preactivation.chunks is not None:
        preactivation = preactivation.chunk({dim: -1})
    outputs: Any = xr.apply_ufunc(
        wasserstein_to_normal,
        preactivation,
        input_core_dims=[[dim]],
        output_core_dims=[[], []],
        dask="parallelized",
        output_dtypes=[np.float64, np.float64],
    )
    return xr.Dataset(dict(zip((_DISTANCE, _SHARE), outputs, strict=True)))
