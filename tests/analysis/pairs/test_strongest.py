"""The pairs of every neuron: those of the selected ones by another route, and what neurons without pairs have."""

from __future__ import annotations

import numpy as np

from analysis import find_pairs, most_differentiated
from analysis.pairs.samples import pair_tokens
from analysis.pairs.strongest import strongest_pairs
from tests.analysis.pairs.helpers import planted_store, selection


def test_negative_pairs_are_the_most_differentiated():
    store = planted_store()
    store["preactivation"].values[0, :, 3] = np.abs(store["preactivation"].values[0, :, 3])
    pairs = find_pairs(store, n_neighbours=3)
    tokens = pair_tokens(store, pairs, None, None, 0)
    sample = tokens.sample(tokens.layers.isel(layer=0))
    ends, values = strongest_pairs(sample, 4)
    expected = most_differentiated(store, pairs, selection({0: (1, 3, 5, 6)}), n_top=4)
    assert set(expected["neuron"]) == {1, 5, 6}
    for neuron, rows in expected.groupby("neuron"):
        np.testing.assert_array_equal(tokens.indices[ends[neuron, 0]], rows[["token_a", "token_b"]])
        np.testing.assert_allclose(values[neuron, 0], rows[["preactivation_a", "preactivation_b"]], rtol=1e-6)
    assert (ends[3, 0] == -1).all()
    assert np.isnan(values[3, 0]).all()


def test_pairs_of_any_signs_begin_with_the_furthest():
    store = planted_store()
    tokens = pair_tokens(store, find_pairs(store, n_neighbours=3), None, None, 0)
    sample = tokens.sample(tokens.layers.isel(layer=0))
    ends, values = strongest_pairs(sample, 2)
    for neuron in range(0, 24, 5):
        gap = np.abs(np.diff(sample.values[neuron][sample.similar], axis=1)).max()
        first = values[neuron, 1, 0]
        assert abs(first[0] - first[1]) >= gap * (1 - 1e-3)
        np.testing.assert_array_equal(sample.values[neuron][ends[neuron, 1]], values[neuron, 1])
        assert len(np.unique(ends[neuron, 1])) == 4
