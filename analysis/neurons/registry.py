"""A registry of neuron statistics: a function declares the field that it gives, beside its formula.

Every statistic that is registered is in `neuron_statistics`, so that neurons are ranked, matched, selected and drawn by it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from actstore.errors import StoreError
from actstore.registry import Registry
from actstore.store.schema import CHECKPOINT, LAYER, NEURON, Field, declare
from analysis.labels import text_tokens

OF_NEURONS = (CHECKPOINT, LAYER, NEURON)


class Sampling(NamedTuple):
    """What statistics that draw pairs of tokens share."""

    n_pairs: int
    seed: int


@dataclass(frozen=True)
class NeuronStatistic:
    """Statistics that are computed together.

    Attributes
    ----------
    fields : mapping of str to Field
        The arrays that it gives, declared in `actstore.store.schema`.
    compute : callable (store, sampling) → Dataset
        Of a store with all its dims.
    """

    fields: Mapping[str, Field]
    compute: Callable[[xr.Dataset, Sampling], xr.Dataset]


STATISTICS: Registry[NeuronStatistic] = Registry("neuron statistic", "analysis.neurons")


def add_statistics(
    name: str, fields: Mapping[str, Field], compute: Callable[[xr.Dataset, Sampling], xr.Dataset], module: str
) -> None:
    """Declare the fields of statistics that are computed together, and register them under a name."""
    declare(fields, module)
    STATISTICS.add(name, NeuronStatistic(fields, compute), module)


def register_statistic(
    name: str, long_name: str, units: str = "1", *, needs: Sequence[str] = ("preactivation",)
) -> Callable[[Callable[[xr.Dataset], ArrayLike]], Callable[[xr.Dataset], ArrayLike]]:
    """Register a function of one layer as a statistic of its neurons.

    Parameters
    ----------
    name : str
        Of the variable, in stores of statistics, designs and `select`.
    long_name, units : str
        What it is, and in what.
    needs : sequence of str
        The arrays of a store that the function reads.

    Returns
    -------
    callable
        A decorator that gives the function back. The function takes a Dataset in memory of one layer at one checkpoint,
        without the first position of each window: `preactivation` (token, neuron), `mlp_input` (token, hidden),
        `neuron_weight` (hidden, neuron), and the labels of tokens (`upos`, `document`, …). It gives a number a neuron, NaN
        where there is none.

    Raises
    ------
    ActstoreError
        If another module has registered that name, or the stored name is taken.

    Examples
    --------
    >>> import analysis
    >>> @analysis.register_statistic("largest", "largest pre-activation")
    ... def largest(layer):
    ...     return layer["preactivation"].max("token")
    """
    field = Field(OF_NEURONS, "float64", long_name, units)

    def register(function: Callable[[xr.Dataset], ArrayLike]) -> Callable[[xr.Dataset], ArrayLike]:
        def compute(store: xr.Dataset, sampling: Sampling) -> xr.Dataset:
            return _by_layer(function, name, field, store[list(needs)])

        add_statistics(name, {name: field}, compute, function.__module__)
        return function

    return register


def _by_layer(function: Callable[[xr.Dataset], ArrayLike], name: str, field: Field, store: xr.Dataset) -> xr.Dataset:
    """The statistic of every neuron, with one layer of one checkpoint in memory at a time."""
    text = text_tokens(store)
    sizes = tuple(store.sizes[dim] for dim in (CHECKPOINT, LAYER, NEURON))
    values = np.empty(sizes)
    for index in itertools.product(*map(range, sizes[:2])):
        layer = text.isel(dict(zip((CHECKPOINT, LAYER), index, strict=True))).compute()
        values[index] = _checked(function(layer), name, sizes[2])
    coords = {key: coord for key, coord in store.coords.items() if set(coord.dims) <= set(OF_NEURONS)}
    return xr.DataArray(values, coords, field.dims, name, field.attrs).to_dataset()


def _checked(values: ArrayLike, name: str, n_neurons: int) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if array.shape != (n_neurons,):
        raise StoreError(
            f"the statistic {name!r} gives an array of shape {array.shape}, not one number for each of {n_neurons}"
        )
    return array
