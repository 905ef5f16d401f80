"""Dissimilarity of weights against known answers; how much is read at a time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import t
from xarray.core.indexing import IndexingSupport, LazilyIndexedArray, explicit_indexing_adapter

from analysis import weight_dissimilarity
from tests.analysis.training.helpers import SELECTION, everything, over_training, selection


def test_weights_by_hand():
    weight = over_training(
        [
            [[[1, 1, 3, 0], [0, 0, 4, 0]]],
            [[[0, 1, 3, 1], [2, 1, 4, 1]]],
            [[[-1, 0, -3, 2], [0, 5, -4, 2]]],
        ],
        [0, 4, 8],
    ).astype(np.float16)
    cohort = selection({0: (0, 1)})
    table = weight_dissimilarity(weight, cohort).set_index(["checkpoint", "cohort"])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(table.loc[(slice(None), "top"), "mean"], [1.5, 1 - half / 2, 0])
    np.testing.assert_allclose(table.loc[(slice(None), "rest"), "mean"], [2, 1, 0])
    assert table["n_neurons"].tolist() == [2, 1, 2, 2, 2, 2]
    row = table.loc[(0, "top")]
    np.testing.assert_allclose(row["mean_upper"] - row["mean"], t.ppf(0.975, 1) * np.std([2, 1], ddof=1) / np.sqrt(2))
    assert np.isnan(table.loc[(0, "rest"), "mean_lower"])
    table = weight_dissimilarity(weight, cohort, reference="previous").set_index(["checkpoint", "cohort"])
    np.testing.assert_allclose(table.loc[(slice(None), "top"), "mean"], [1 - half / 2, (1 + 1 - half) / 2])
    np.testing.assert_allclose(table.loc[(slice(None), "rest"), "mean"], [0, 1], atol=1e-15)


@pytest.mark.parametrize("reference", ["last", "previous"])
def test_lengths_and_labels_of_neurons_do_not_matter(reference):
    rng = np.random.default_rng(5)
    weight = rng.normal(size=(3, 2, 6, 8))
    cohort = selection({0: (0, 1, 2), 1: (5, 6)}, 8)
    expected = weight_dissimilarity(over_training(weight, [0, 1, 2]), cohort, reference=reference)
    scaled = over_training(weight * rng.uniform(0.01, 100, (3, 2, 1, 8)), [0, 1, 2])
    pd.testing.assert_frame_equal(weight_dissimilarity(scaled, cohort, reference=reference), expected)
    mirrored = selection({0: (5, 6, 7), 1: (1, 2)}, 8)
    relabelled = over_training(weight[..., ::-1], [0, 1, 2]).transpose("neuron", "layer", "hidden", "checkpoint")
    pd.testing.assert_frame_equal(weight_dissimilarity(relabelled, mirrored, reference=reference), expected)


class Recorded(xr.backends.BackendArray):
    """A stored array that keeps the size of every read."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.read_sizes = values, values.shape, values.dtype, []

    def __getitem__(self, key):
        return explicit_indexing_adapter(key, self.shape, IndexingSupport.BASIC, self.read)

    def read(self, key):
        self.read_sizes.append(self.values[key].size)
        return self.values[key]


@pytest.mark.parametrize("reference", ["last", "previous"])
def test_weights_are_read_one_layer_and_checkpoint_at_a_time(reference):
    values = np.random.default_rng(6).normal(size=(5, 2, 6, 4)).astype(np.float32)
    stored = Recorded(values)
    lazy = over_training(xr.Variable(tuple("clhn"), LazilyIndexedArray(stored)), range(5), [-1, 0, -1, -1, -1])
    table = weight_dissimilarity(lazy, SELECTION, reference=reference)
    expected = weight_dissimilarity(over_training(values[[0, 2, 3, 4]], [0, 2, 3, 4]), SELECTION, reference=reference)
    pd.testing.assert_frame_equal(table, expected)
    assert set(stored.read_sizes) == {6 * 4}
    assert len(stored.read_sizes) <= 2 * (4 + 1)


def test_weights_of_a_store_settle(store):
    weight = store["neuron_weight"]
    cohort = everything(store.sizes["neuron"], store.sizes["layer"])
    table = weight_dissimilarity(weight, cohort).query("cohort == 'top'").set_index(["checkpoint", "layer"])["mean"]
    first, last = (weight.sel(checkpoint=step).values.astype(np.float64) for step in (0, 4000))
    cosine = (first * last).sum(axis=1) / np.linalg.norm(first, axis=1) / np.linalg.norm(last, axis=1)
    np.testing.assert_allclose(table[0], 1 - cosine.mean(axis=1), rtol=1e-12)
    assert (table[4000] == 0).all()
    assert (table[64] < table[0]).all()
