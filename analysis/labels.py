"""Kernels on labelled arrays: the samples of a store, one block at a time.

Owns how kernels read stores: a lazy array never lies in memory as a whole, and results of Dask arrays stay lazy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from actstore.errors import UnknownNameError
from actstore.store.schema import CHECKPOINT, LAYER, TOKEN, Field
from analysis.kernels.parallel import index_blocks

_BLOCK_BYTES = 2**25
_ALIGNED = 64
"""The last dim is cut at multiples of this, at which the chunks of a store end too."""
_STATISTIC = "statistic"
_Result = TypeVar("_Result")
_Stacked = Callable[[NDArray[Any]], NDArray[np.float64]]
"""From values (…, sample) to statistics (…, statistic)."""


def reduce_samples(
    kernel: Callable[[ArrayLike], Sequence[NDArray[np.float64]]], array: xr.DataArray, dim: str, fields: Mapping[str, Field]
) -> xr.Dataset:
    """Statistics of every sample along `dim`.

    Parameters
    ----------
    kernel : callable
        Takes an array whose last axis is the sample's, and returns one array for each statistic.
    array : DataArray
        In memory, lazy, or Dask's; a lazy array is read 32 MiB at a time.
    dim : str
        The dim along which a sample lies.
    fields : mapping of str to Field
        Of the statistics, in the kernel's order.

    Returns
    -------
    Dataset
        A float64 variable for each field, over the other dims of `array`; lazy where `array` is Dask's.

    Raises
    ------
    ValueError
        If `dim` is not a dim of the array.
    """
    if dim not in array.dims:
        raise ValueError(f"{array.name} has no dim {dim!r}; its dims are {', '.join(map(str, array.dims))}")

    def stacked(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.stack(kernel(values), axis=-1)

    statistics = (_by_block if array.chunks is None else _by_dask)(stacked, array, dim, len(fields))
    result = xr.Dataset({name: statistics.isel({_STATISTIC: index}) for index, name in enumerate(fields)})
    for name, field in fields.items():
        result[name].attrs = field.attrs | {key: array.attrs[key] for key in ("model", "site") if key in array.attrs}
    return result


def _by_dask(stacked: _Stacked, array: xr.DataArray, dim: str, n_statistics: int) -> xr.DataArray:
    """Statistics (…, statistic) of a Dask array, lazy; every sample becomes one chunk."""
    statistics: xr.DataArray = xr.apply_ufunc(
        stacked,
        array.chunk({dim: -1}),
        input_core_dims=[[dim]],
        output_core_dims=[[_STATISTIC]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {_STATISTIC: n_statistics}},
    )
    return statistics


def _by_block(stacked: _Stacked, array: xr.DataArray, dim: str, n_statistics: int) -> xr.DataArray:
    """Statistics (…, statistic) of an array in memory or lazy, from blocks of 32 MiB or less.

    A block has one index of each other dim but the last, and whole chunks of the store on the last.
    """
    dims = [name for name in array.dims if name != dim]
    sizes = [array.sizes[name] for name in dims]
    size = max(_ALIGNED, _BLOCK_BYTES // (array.sizes[dim] * array.dtype.itemsize) // _ALIGNED * _ALIGNED)
    values = np.empty((*sizes, n_statistics))
    for index in index_blocks(sizes, size):
        block = array.isel(dict(zip(dims, index, strict=True))).compute()  # transposed only when it is in memory
        values[index] = stacked(block.transpose(..., dim).values)
    coords = {name: coord for name, coord in array.coords.items() if dim not in coord.dims}
    return xr.DataArray(values, dims=(*dims, _STATISTIC), coords=coords)


def text_tokens(data: Any) -> Any:
    """The array or Dataset without the first position of each window."""
    return data.isel({TOKEN: np.flatnonzero(data["position"].values > 0)})


def at_checkpoint(store: xr.Dataset, step: int | None = None) -> xr.Dataset:
    """A store at one checkpoint.

    Parameters
    ----------
    store : Dataset
    step : int, optional
        Training step; the last by default.

    Raises
    ------
    UnknownNameError
        If the store has no such checkpoint.
    """
    if CHECKPOINT not in store.dims:
        return store
    steps = store[CHECKPOINT].values
    if step is None:
        return store.isel({CHECKPOINT: -1})
    if step not in steps:
        raise UnknownNameError("checkpoint", step, steps)
    return store.sel({CHECKPOINT: step})


def each_layer(
    function: Callable[[xr.Dataset], _Result],
    store: xr.Dataset,
    narrow: Callable[[xr.Dataset], xr.Dataset] = lambda layer: layer,
) -> list[_Result]:
    """Apply a function to the Dataset of every layer.

    Layers are read into memory one at a time; those of a Dask Dataset are read and processed by Dask's workers.

    Parameters
    ----------
    function : callable
        Takes the Dataset of a layer, in memory.
    store : Dataset
    narrow : callable, optional
        Takes the Dataset of a layer before it is read, and returns the part that `function` needs.
    """
    layers = (narrow(store.isel({LAYER: index})) for index in range(store.sizes[LAYER]))
    if not store.chunks:
        bar = tqdm(layers, total=store.sizes[LAYER], unit="layer", leave=False, delay=2, disable=None)
        return [function(layer.compute()) for layer in bar]
    import dask

    tasks: list[Any] = [dask.delayed(function)(layer) for layer in layers]  # type: ignore[attr-defined]
    return list(dask.compute(*tasks))  # type: ignore[attr-defined, no-untyped-call]
