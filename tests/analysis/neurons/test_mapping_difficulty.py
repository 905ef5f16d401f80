from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from actstore.errors import StoreError
from analysis import mapping_difficulty, rank_correlations
from analysis.kernels.mapping import mapping_difficulty as kernel
from analysis.labels import at_checkpoint, text_tokens
from analysis.neurons.mapping_difficulty import random_pairs


def test_labels_and_values_are_the_kernels(store):
    text = text_tokens(store.sel(checkpoint=[64, 4000]))
    difficulty = mapping_difficulty(text["preactivation"], text["mlp_input"], n_pairs=500, seed=3)
    assert difficulty.dims == ("checkpoint", "layer", "neuron")
    assert difficulty.attrs["n_pairs"] == 500
    assert difficulty.attrs["seed"] == 3
    pairs = random_pairs(text.sizes["token"], 500, np.random.default_rng(3))
    layer = text.sel(checkpoint=4000, layer=2)
    expected = kernel(layer["mlp_input"].values, layer["preactivation"].values, pairs)
    chosen = difficulty.sel(checkpoint=4000, layer=2)
    np.testing.assert_allclose(chosen.values, expected.difficulty, rtol=1e-6)
    np.testing.assert_allclose(chosen["output_scale"].values, expected.output_scale)
    assert chosen["input_scale"].item() == expected.input_scale
    assert chosen["n_identical_pairs"].item() == expected.n_identical


def test_repeated_tokens_are_identical_inputs_of_layer_0(store):
    """Of a model with a parallel residual and rotary positions."""
    text = text_tokens(at_checkpoint(store))
    difficulty = mapping_difficulty(text["preactivation"], text["mlp_input"])
    n_identical = difficulty["n_identical_pairs"].values
    pairs = random_pairs(text.sizes["token"], 8192, np.random.default_rng(0))
    ids = text["token_id"].values
    assert n_identical[0] == (ids[pairs[:, 0]] == ids[pairs[:, 1]]).sum() > 0
    assert (n_identical[1:] < n_identical[0]).all()
    assert float(difficulty.max()) < 100


def test_it_correlates_with_the_wasserstein_distance(run_folder):
    """At least in the first layer of the trained model; the paper uses the distance for this reason."""
    from analysis.results import ENTANGLEMENT, load_dataset

    statistics = load_dataset(run_folder / "analysis", ENTANGLEMENT).sel(checkpoint=4000)
    table = rank_correlations(statistics).set_index(["layer", "statistic"])
    assert table.loc[(0, "mapping_difficulty"), "rank_correlation_lower"] > 0.5


def test_pairs_are_of_two_tokens():
    pairs = random_pairs(5, 4000, np.random.default_rng(0))
    assert (pairs[:, 0] != pairs[:, 1]).all()
    counts = np.bincount(pairs[:, 0] * 5 + pairs[:, 1])
    assert (counts[counts > 0] > 120).all()
    assert (counts > 0).sum() == 20


def test_arrays_of_different_stores_are_refused(store):
    text = text_tokens(at_checkpoint(store))
    with pytest.raises(StoreError, match="take both from one store"):
        mapping_difficulty(text["preactivation"], text["mlp_input"].isel(layer=[0]))
    with pytest.raises(StoreError, match="at least two tokens"):
        mapping_difficulty(*(text[name].isel(token=[0]) for name in ("preactivation", "mlp_input")))


def test_lazy_over_dask(store):
    text = text_tokens(at_checkpoint(store))
    eager = mapping_difficulty(text["preactivation"], text["mlp_input"])
    chunked = text.chunk({"layer": 1, "token": 400})
    xr.testing.assert_identical(mapping_difficulty(chunked["preactivation"], chunked["mlp_input"]), eager)
