"""Labelled arrays over the kernels: samples of a store, one block at a time.

Owns how kernels meet stores: what is lazy stays out of memory, what is Dask's stays Dask's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from actstore.errors import UnknownNameError
from actstore.store.schema import CHECKPOINT, LAYER, TOKEN, Field

_BLOCK_BYTES = 2**25
_ALIGNED = 64
_STATISTIC = "statistic"
_Result = TypeVar("_Result")


def reduce_samples(
    kernel: Callable[[ArrayLike], Sequence[NDArray[np.float64]]], array: xr.DataArray, dim: str, fields: Mapping[str, Field]
) -> xr.Dataset:
    """Statistics of every sample along `dim`, float64, over the other dims.

    Parameters
    ----------
    kernel : callable
        Takes an array whose last axis is the sample's, gives one array a statistic.
    array : DataArray
        In memory, lazy, or Dask's; a lazy one is read 32 MiB at a time.
    dim : str
    fields : mapping of str to Field
        Of the statistics, in the kernel's order.

    Returns
    -------
    Dataset
        Lazy where the input is Dask's.

    Raises
    ------
    ValueError
        If `dim` is not a dim of the array.
    """
    if dim not in array.dims:
        raise ValueError(f"{array.name} has no dim {dim!r}; its dims are {', '.join(map(str, array.dims))}")

    def stacked(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.stack(kernel(values), axis=-1)

    if array.chunks is not None:
        found = xr.apply_ufunc(
            stacked, array.chunk({dim: -1}), input_core_dims=[[dim]], output_core_dims=[[_STATISTIC]], dask="parallelized",
            output_dtypes=[np.float64], dask_gufunc_kwargs={"output_sizes": {_STATISTIC: len(fields)}},
        )  # fmt: skip
    else:
        over = [name for name in array.dims if name != dim]
        values = np.empty((*(array.sizes[name] for name in over), len(fields)))
        for place in _blocks(array, dim):
            part = array.isel(dict(zip(over, place, strict=True))).compute()  # transposed only when it is in memory
            values[place] = stacked(part.transpose(..., dim).values)
        kept = {name: coord for name, coord in array.coords.items() if dim not in coord.dims}
        found = xr.DataArray(values, dims=(*over, _STATISTIC), coords=kept)
    result = xr.Dataset({name: found.isel({_STATISTIC: index}) for index, name in enumerate(fields)})
    for name, field in fields.items():
        result[name].attrs = field.attrs | {key: array.attrs[key] for key in ("model", "site") if key in array.attrs}
    return result


def _blocks(array: xr.DataArray, dim: str) -> Iterator[tuple[Any, ...]]:
    """Places on the other dims that hold 32 MiB or less: one at a time, but of the last one whole chunks of the store."""
    sizes = [size for name, size in array.sizes.items() if name != dim]
    if not sizes:
        yield ()
        return
    step = max(_ALIGNED, _BLOCK_BYTES // (array.sizes[dim] * array.dtype.itemsize) // _ALIGNED * _ALIGNED)
    for place in itertools.product(*map(range, sizes[:-1])):
        yield from ((*place, slice(first, first + step)) for first in range(0, sizes[-1], step))


def text_tokens(data: Any) -> Any:
    """The array or Dataset without the first position of each window."""
    return data.isel({TOKEN: np.flatnonzero(data["position"].values > 0)})


def at_checkpoint(store: xr.Dataset, step: int | None = None) -> xr.Dataset:
    """A store at one checkpoint: the last one unless a training step is named.

    Raises
    ------
    UnknownNameError
        If the store does not have it.
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
    """Apply a function to every layer's Dataset, in memory one at a time; on Dask's workers where it is Dask's.

    Parameters
    ----------
    function : callable
        Takes a layer's Dataset in memory.
    store : Dataset
    narrow : callable, optional
        Takes it before it is read, gives what of it is needed.
    """
    layers = (narrow(store.isel({LAYER: index})) for index in range(store.sizes[LAYER]))
    if not store.chunks:
        bar = tqdm(layers, total=store.sizes[LAYER], unit="layer", leave=False, delay=2, disable=None)
        return [function(layer.compute()) for layer in bar]
    import dask

    tasks: list[Any] = [dask.delayed(function)(layer) for layer in layers]  # type: ignore[attr-defined]
    return list(dask.compute(*tasks))  # type: ignore[attr-defined, no-untyped-call]
