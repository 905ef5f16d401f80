"""Functional shares by brute force, on neurons whose answer is known, and under the null."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from analysis import find_pairs, functional_differentiation, functional_table
from analysis.kernels.activations import ACTIVATIONS
from analysis.kernels.multiplicity import benjamini_hochberg
from analysis.pairs.similarity import NO_PAIR
from tests.analysis.pairs.helpers import N_NEURONS, N_TOKENS, selection, spreading_store, toy_store


def of_model(store, nonlinearity="gelu"):
    return store.assign_attrs(nonlinearity=nonlinearity)


@pytest.fixture(scope="module")
def planted():
    """Neuron 5 drives similar inputs apart below zero; neuron 6, with the same distribution of values, does not."""
    spread = np.full(N_NEURONS, 0.2)
    spread[[5, 6]] = 1.0
    store = spreading_store(spread, n_layers=1, of_groups=(6,))
    return store, find_pairs(store, n_neighbours=3)


def test_shares_by_brute_force():
    store = of_model(toy_store(n_layers=2))
    pairs = find_pairs(store, n_neighbours=3)
    result = functional_differentiation(store, pairs, selection({0: (1,)}), n_permutations=9)
    assert result["functional_share"].dims == ("layer", "neuron", "pool")
    activation = ACTIVATIONS["gelu"]
    for layer in range(2):
        has_match = pairs["matched_a"].values[layer] != NO_PAIR
        expected = []
        for prefix in ("token", "matched"):
            a, b = (pairs[f"{prefix}_{side}"].values[layer][has_match] for side in "ab")
            values = store["preactivation"].values[layer].astype(np.float64)
            d = np.abs(activation(values[a]) - activation(values[b]))
            d0 = np.abs(activation(np.maximum(values[a], 0)) - activation(np.maximum(values[b], 0)))
            expected.append((d - d0).sum(axis=0) / d.sum(axis=0))
        np.testing.assert_allclose(result["functional_share"].values[layer].T, expected, rtol=1e-5)
        np.testing.assert_allclose(result["functional_excess"].values[layer], expected[0] - expected[1], atol=1e-6)
    assert result["p_value"].notnull().values.nonzero() == (np.array([0]), np.array([1]))


def test_a_planted_neuron_is_found(planted):
    store, pairs = planted
    result = functional_differentiation(store, pairs, selection({0: (1, 5, 6)}), seed=1).isel(layer=0)
    share, matched = (result["functional_share"].sel(pool=pool).values for pool in ("similar", "matched"))
    excess, p = result["functional_excess"].values, result["p_value"].values
    assert share[5] > share[6] + 0.3
    assert matched[5] == pytest.approx(matched[6], abs=0.05), "of dissimilar inputs both do the same"
    assert excess[5] > 0.2 > excess[6]
    assert p[5] == 1 / 200
    np.testing.assert_allclose(result["q_value"].values, benjamini_hochberg(p))


def test_a_relu_has_no_functional_share(planted):
    store, pairs = planted
    result = functional_differentiation(of_model(store, "relu"), pairs, selection({0: (5,)}))
    assert (result["functional_share"] == 0).all()
    assert (result["functional_excess"] == 0).all()
    assert result["p_value"].values[0, 5] == 1


@pytest.mark.parametrize("nonlinearity", ["none", "", "of one's own"])
def test_an_unknown_nonlinearity_gives_nothing(planted, nonlinearity):
    store, pairs = planted
    result = functional_differentiation(of_model(store, nonlinearity), pairs, selection({0: (5,)}))
    assert np.isnan(result["functional_share"]).all()
    assert np.isnan(result["p_value"]).all()


def test_a_dead_neuron_has_neither_share_nor_p_value(planted):
    store, pairs = planted
    values = store["preactivation"].values.copy()
    values[..., 5] = 0.25
    dead = store.assign(preactivation=(store["preactivation"].dims, values))
    result = functional_differentiation(dead, pairs, selection({0: (5, 6)})).isel(layer=0)
    assert np.isnan(result["functional_share"].values[5]).all()
    assert np.isnan(result["p_value"][5])
    assert np.isfinite(result["p_value"][6])
    assert np.isfinite(result["q_value"][6])


def test_without_a_selection_nothing_is_tested(planted):
    store, pairs = planted
    all_of_them, chosen = (
        functional_differentiation(store, pairs, of, n_permutations=9) for of in (None, selection({0: (5,)}))
    )
    np.testing.assert_array_equal(all_of_them["functional_share"], chosen["functional_share"])
    assert np.isnan(all_of_them["p_value"]).all()


def test_a_table_has_a_row_a_neuron(planted):
    store, pairs = planted
    chosen = selection({0: (5, 6)})
    result = functional_differentiation(store, pairs, chosen, n_permutations=9)
    table = functional_table(result, chosen)
    assert len(table) == N_NEURONS
    assert table.columns[:3].tolist() == ["layer", "neuron", "selected"]
    assert table.index[table["selected"]].tolist() == [5, 6]
    for pool in ("similar", "matched"):
        np.testing.assert_array_equal(table[f"{pool}_share"], result["functional_share"].sel(pool=pool).values[0])
    np.testing.assert_allclose(table["similar_share"] - table["matched_share"], table["functional_excess"])
    assert table["p_value"].notna().to_numpy().nonzero()[0].tolist() == [5, 6]


@pytest.mark.slow
def test_p_values_are_uniform_for_neurons_that_do_not_know_their_inputs():
    """Of 60 stores, four neurons each of skewed noise: whatever the shape, p is uniform."""
    p = []
    for seed in range(60):
        values = np.random.default_rng(seed).exponential(size=(1, N_TOKENS, N_NEURONS)) - 1
        store = of_model(toy_store(seed, values=values), "silu")
        pairs = find_pairs(store, n_neighbours=2, seed=seed)
        result = functional_differentiation(store, pairs, selection({0: range(4)}), n_permutations=49, seed=seed)
        p.extend(result["p_value"].values[0, :4])
    assert abs(np.mean(np.array(p) < 0.1 + 1e-9) - 0.1) < 0.06
    jittered = np.array(p) - np.random.default_rng(0).random(len(p)) / 50
    assert kstest(jittered, "uniform").pvalue > 0.005
