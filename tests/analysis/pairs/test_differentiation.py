"""Signs of pairs by brute force and by leaving documents out; planted neurons; the null."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from analysis import cohort_table, find_pairs, most_differentiated, pair_differentiation, pair_labels
from analysis.pairs.similarity import NO_PAIR
from tests.analysis.pairs.helpers import N_NEURONS, planted_store, selection, toy_store


def test_signs_by_brute_force():
    store = toy_store()
    pairs = find_pairs(store, n_neighbours=3)
    result = pair_differentiation(store, pairs, selection({0: (1,)}), n_top=40, n_permutations=9)
    has_match = pairs["matched_a"].values[0] != NO_PAIR
    assert result["n_pairs"].item() == has_match.sum()
    for pool, prefix in (("similar", "token"), ("matched", "matched")):
        a, b = (pairs[f"{prefix}_{side}"].values[0][has_match] for side in "ab")
        for neuron in (0, 1, 17):
            v = store["preactivation"].values[0, :, neuron]
            top = np.argsort(-np.abs(v[a] - v[b]))[:40]
            n_below = (v[a[top]] < 0).astype(int) + (v[b[top]] < 0)
            expected = [(n_below == count).mean() for count in (2, 1, 0)]
            np.testing.assert_allclose(result["pair_frac"].sel(pool=pool).values[0, neuron], expected)
    frac = result["pair_frac"].values
    np.testing.assert_allclose(frac.sum(axis=-1), 1)
    cohort = result["cohort_pair_frac"].sel(cohort="top").values[0]
    np.testing.assert_allclose(cohort, frac[0, 1], atol=1e-12)
    np.testing.assert_allclose(
        result["cohort_pair_frac"].sel(cohort="rest").values[0], np.delete(frac[0], 1, 0).mean(0), atol=1e-12
    )
    bounds = result["cohort_pair_frac_bounds"].values
    assert (bounds[..., 0] <= bounds[..., 1]).all()
    table = cohort_table(result)
    assert (table["n_clusters"].unique().tolist(), table["cluster"].unique().tolist()) == ([30], ["document"])
    assert table.groupby("cohort")["n_neurons"].first().to_dict() == {"rest": N_NEURONS - 1, "top": 1}


def test_bounds_by_leaving_documents_out():
    """Documents of one length: the jackknife over them, with the pairs held, agrees with the interval of one neuron."""
    store = toy_store(4)
    pairs = find_pairs(store, n_neighbours=3)
    result = pair_differentiation(store, pairs, selection({0: (1,)}), n_top=200, n_permutations=0)
    has_match = pairs["matched_a"].values[0] != NO_PAIR
    v, document = store["preactivation"].values[0, :, 1], store["document"].values
    a, b = (pairs[f"token_{side}"].values[0][has_match] for side in "ab")
    top = np.argsort(-np.abs(v[a] - v[b]))[:200]
    is_mixed = (v[a[top]] < 0) ^ (v[b[top]] < 0)
    ends = np.stack([document[a[top]], document[b[top]]])
    without = np.array([is_mixed[(ends != d).all(axis=0)].mean() for d in range(30)])
    error = np.sqrt(29 / 30 * ((without - without.mean()) ** 2).sum())
    lower, upper = result["cohort_pair_frac_bounds"].sel(cohort="top", pool="similar", signs="PN").values[0]
    assert upper - lower == pytest.approx(2 * t.ppf(0.975, 29) * error, rel=0.1)


def test_one_document_has_no_bounds():
    store = toy_store()
    store["document"].values[:] = 0
    pairs = find_pairs(store, n_neighbours=3)
    result = pair_differentiation(store, pairs, selection({0: (1, 2)}), n_top=40, n_permutations=0)
    assert np.isfinite(result["cohort_excess"]).all()
    assert np.isnan(result["cohort_excess_bounds"]).all()
    assert np.isnan(result["cohort_difference_bounds"]).all()


def test_a_planted_neuron_is_found():
    store = planted_store()
    pairs = find_pairs(store, n_neighbours=3)
    result = pair_differentiation(store, pairs, selection({0: (5, 6)}), n_top=60)
    frac = result["pair_frac"].sel(pool="similar").isel(layer=0)
    assert frac.sel(neuron=5, signs="NN").item() > 0.95
    assert frac.sel(neuron=6, signs="PP").item() > 0.95
    furthest = most_differentiated(store, pairs, selection({0: (5, 6)}), n_top=4)
    gap = (furthest["preactivation_a"] - furthest["preactivation_b"]).abs()
    assert gap[furthest["neuron"] == 5].min() > 3
    assert gap[furthest["neuron"] == 6].max() < 1
    assert (furthest[["preactivation_a", "preactivation_b"]] < 0).to_numpy().all()
    for _, rows in furthest.groupby("neuron"):
        tokens = rows[["token_a", "token_b"]].to_numpy().ravel()
        assert len(set(tokens)) == len(tokens) == 8
        assert gap[rows.index].is_monotonic_decreasing


@pytest.mark.slow
def test_the_null_is_rejected_at_its_rate():
    """200 stores of Gaussian neurons: p < 0.05 in 5% ± 1.5% of the tests of signs, and of the log-odds."""
    signs, odds = [], []
    for seed in range(200):
        store = toy_store(seed)
        pairs = find_pairs(store, n_neighbours=3, seed=seed)
        chosen = selection({0: tuple(range(6))})
        result = pair_differentiation(store, pairs, chosen, n_top=60, n_permutations=99, seed=seed)
        signs.extend(result["p_value"].values[0, :6])
        odds.extend(pair_labels(store, pairs, chosen, n_top=60, n_permutations=99, features=("upos",), seed=seed)["p_value"])
    assert len(signs) == 1200
    assert 0.035 <= np.mean(np.array(signs) < 0.05 + 1e-9) <= 0.065
    assert 0.035 <= np.mean(np.array(odds) < 0.05) <= 0.065


def test_layers_without_a_selected_neuron_still_have_the_rest():
    store = toy_store(n_layers=2)
    pairs = find_pairs(store, n_neighbours=2)
    result = pair_differentiation(store, pairs, selection({1: (0, 3)}), n_top=30, n_permutations=9)
    assert np.isnan(result["cohort_pair_frac"].sel(cohort="top", layer=0)).all()
    assert np.isfinite(result["cohort_pair_frac"].sel(cohort="rest")).all()
    assert result["p_value"].notnull().sum() == 2
    table = cohort_table(result)
    assert len(table) == 2 * 2 * 3 * 3
    nn = table[(table["layer"] == 1) & (table["cohort"] == "top") & (table["signs"] == "NN")].set_index("pool")
    np.testing.assert_allclose(nn.loc["similar", "pair_frac"] - nn.loc["matched", "pair_frac"], nn.loc["matched", "excess"])
    assert np.isnan(nn.loc["similar", "excess"])
