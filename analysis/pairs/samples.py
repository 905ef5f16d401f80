"""A layer's values at the tokens of its pairs.

Owns the reading of a store, its pairs and a selection, and the check that they fit together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from actstore.errors import SelectionError
from actstore.selection.selection import Selection
from actstore.store.schema import LAYER, NEURON, PAIR, TOKEN
from analysis.labels import at_checkpoint
from analysis.pairs.similarity import NO_PAIR

_ENDS = ("token_a", "token_b", "matched_a", "matched_b")


class Sample(NamedTuple):
    """A layer's values (neuron, token) at the tokens of the pairs, and its pairs as indices of these tokens."""

    layer: int
    values: NDArray[np.float32]
    similar: NDArray[np.int64]
    """(pair, 2)"""
    matched: NDArray[np.int64]
    """(pair, 2)"""
    is_selected: NDArray[np.bool]
    """(neuron,)"""

    def permuted(self, n_permutations: int, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
        """The selected neurons' values, with the tokens permuted, the same way for all neurons."""
        values = self.values[self.is_selected]
        for _ in range(n_permutations):
            yield np.ascontiguousarray(values[:, rng.permutation(values.shape[1])])


class PairTokens(NamedTuple):
    """The tokens of all pairs, and each layer's values at these tokens together with its pairs."""

    layers: xr.Dataset
    """Values and pairs of each layer, with no coordinate but `layer`."""
    labels: xr.Dataset
    """Labels of the tokens."""
    indices: NDArray[np.int64]
    """(token,) Indices of the tokens in the store."""
    selection: Selection | None

    def sample(self, layer: xr.Dataset) -> Sample:
        """The sample of a layer's Dataset in memory."""
        layer_number = int(layer[LAYER])
        values = np.ascontiguousarray(layer["preactivation"].transpose(NEURON, TOKEN).values.astype(np.float32))
        has_match = (layer["token_a"].values != NO_PAIR) & (layer["matched_a"].values != NO_PAIR)
        ends = {name: np.searchsorted(self.indices, layer[name].values[has_match]) for name in _ENDS}
        is_selected = np.zeros(len(values), dtype=bool)
        if self.selection is not None:
            is_selected[list(self.selection.neurons.get(layer_number, ()))] = True
        return Sample(
            layer_number,
            values,
            np.stack([ends["token_a"], ends["token_b"]], axis=1),
            np.stack([ends["matched_a"], ends["matched_b"]], axis=1),
            is_selected,
        )


def pair_tokens(
    store: xr.Dataset, pairs: xr.Dataset, selection: Selection | None, checkpoint: int | None, n_top: int
) -> PairTokens:
    """The tokens of the pairs of `find_pairs`, at one checkpoint; without a selection no neuron is selected.

    Raises
    ------
    SelectionError
        If no selected layer is in the store, or its pairs are fewer than `n_top`.
    """
    store = at_checkpoint(store, checkpoint)
    if selection is not None:
        _check_selection(selection, store)
    n_least = int(((pairs["matched_a"] != NO_PAIR) & (pairs["token_a"] != NO_PAIR)).sum(PAIR).min())
    if n_least < n_top:
        raise SelectionError(
            f"a layer has {n_least} pairs with a match, {n_top} are asked for; extract more tokens or take a smaller n_top"
        )
    indices = np.unique(np.concatenate([pairs[name].values.ravel() for name in _ENDS]))
    indices = indices[indices != NO_PAIR]
    tokens = store.isel({TOKEN: indices})
    values = tokens[["preactivation"]].drop_vars([name for name in tokens.coords if name != LAYER])
    return PairTokens(values.merge(pairs[list(_ENDS)]), tokens, indices, selection)


def _check_selection(selection: Selection, store: xr.Dataset) -> None:
    """Refuse a selection of other layers, or of layers of another size."""
    if not set(selection.neurons) & {int(layer) for layer in store[LAYER].values}:
        raise SelectionError("no layer of the selection is in the store; select neurons on the same store")
    if selection.n_neurons_per_layer != store.sizes[NEURON]:
        raise SelectionError(
            f"the selection is for layers of {selection.n_neurons_per_layer} neurons, the store has {store.sizes[NEURON]}"
        )
