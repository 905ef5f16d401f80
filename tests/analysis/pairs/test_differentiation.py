from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.stats import t

from actstore.errors import SelectionError
from actstore.selection.selection import Selection
from analysis import cohort_table, find_pairs, most_differentiated, pair_differentiation, pair_labels
from analysis.pairs.similarity import NO_PAIR

N_TOKENS, N_NEURONS = 900, 24


def selection(neurons, n_neurons=N_NEURONS):
    return Selection(neurons, "top", "wasserstein_distance", 0.1, "m", "site", "", 0, n_neurons)


def made(seed=0, n_layers=1, values=None):
    """A store of Gaussian values: inputs in groups of near neighbours, labels that follow the group."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 60, N_TOKENS)
    centres = rng.normal(size=(n_layers, 60, 12))
    inputs = centres[:, group] + 0.2 * rng.normal(size=(n_layers, N_TOKENS, 12))
    if values is None:
        values = rng.normal(size=(n_layers, N_TOKENS, N_NEURONS))
    token = {
        "token_id": rng.integers(0, 40, N_TOKENS), "position": 1 + np.arange(N_TOKENS) % 50, "document": np.arange(N_TOKENS) // 30,
        "sentence": np.arange(N_TOKENS) // 10, "window": np.arange(N_TOKENS) // 50, "word": np.arange(N_TOKENS),
    }  # fmt: skip
    upos = np.array(["NOUN", "DET", "VERB"], dtype=object)[group % 3]
    texts = {"upos": upos, "deprel": upos, "word_form": np.array([f"w{g}" for g in group], dtype=object)}
    coords = {name: ("token", array) for name, array in {**token, **texts, "token_text": texts["word_form"]}.items()}
    return xr.Dataset(
        {"preactivation": (("layer", "token", "neuron"), values.astype(np.float32)),
         "mlp_input": (("layer", "token", "hidden"), inputs.astype(np.float32))},
        coords={"layer": np.arange(n_layers), **coords},
    )  # fmt: skip


def test_signs_by_brute_force():
    store = made()
    pairs = find_pairs(store, n_neighbours=3)
    found = pair_differentiation(store, pairs, selection({0: (1,)}), n_top=40, n_permutations=9)
    there = pairs["matched_a"].values[0] != NO_PAIR
    assert found["n_pairs"].item() == there.sum()
    for pool, prefix in (("similar", "token"), ("matched", "matched")):
        a, b = (pairs[f"{prefix}_{side}"].values[0][there] for side in "ab")
        for neuron in (0, 1, 17):
            v = store["preactivation"].values[0, :, neuron]
            top = np.argsort(-np.abs(v[a] - v[b]))[:40]
            n_below = (v[a[top]] < 0).astype(int) + (v[b[top]] < 0)
            expected = [(n_below == count).mean() for count in (2, 1, 0)]
            np.testing.assert_allclose(found["pair_frac"].sel(pool=pool).values[0, neuron], expected)
    frac = found["pair_frac"].values
    np.testing.assert_allclose(frac.sum(axis=-1), 1)
    cohort = found["cohort_pair_frac"].sel(cohort="top").values[0]
    np.testing.assert_allclose(cohort, frac[0, 1], atol=1e-12)
    np.testing.assert_allclose(
        found["cohort_pair_frac"].sel(cohort="rest").values[0], np.delete(frac[0], 1, 0).mean(0), atol=1e-12
    )
    bounds = found["cohort_pair_frac_bounds"].values
    assert (bounds[..., 0] <= bounds[..., 1]).all()
    table = cohort_table(found)
    assert (table["n_clusters"].unique().tolist(), table["cluster"].unique().tolist()) == ([30], ["document"])
    assert table.groupby("cohort")["n_neurons"].first().to_dict() == {"rest": N_NEURONS - 1, "top": 1}


def test_bounds_by_leaving_documents_out():
    """Documents of one length: the jackknife over them, with the pairs held, agrees with the interval of one neuron."""
    store = made(4)
    pairs = find_pairs(store, n_neighbours=3)
    found = pair_differentiation(store, pairs, selection({0: (1,)}), n_top=200, n_permutations=0)
    there = pairs["matched_a"].values[0] != NO_PAIR
    v, document = store["preactivation"].values[0, :, 1], store["document"].values
    a, b = (pairs[f"token_{side}"].values[0][there] for side in "ab")
    top = np.argsort(-np.abs(v[a] - v[b]))[:200]
    is_mixed = (v[a[top]] < 0) ^ (v[b[top]] < 0)
    ends = np.stack([document[a[top]], document[b[top]]])
    without = np.array([is_mixed[(ends != d).all(axis=0)].mean() for d in range(30)])
    error = np.sqrt(29 / 30 * ((without - without.mean()) ** 2).sum())
    lower, upper = found["cohort_pair_frac_bounds"].sel(cohort="top", pool="similar", signs="PN").values[0]
    assert upper - lower == pytest.approx(2 * t.ppf(0.975, 29) * error, rel=0.1)


def test_one_document_has_no_bounds():
    store = made()
    store["document"].values[:] = 0
    pairs = find_pairs(store, n_neighbours=3)
    found = pair_differentiation(store, pairs, selection({0: (1, 2)}), n_top=40, n_permutations=0)
    assert np.isfinite(found["cohort_excess"]).all()
    assert np.isnan(found["cohort_excess_bounds"]).all()
    assert np.isnan(found["cohort_difference_bounds"]).all()


def planted():
    """Neuron 5 spreads its negative values within groups of similar inputs; neuron 6 does on the positive side."""
    store = made(3)
    rng = np.random.default_rng(1)
    values = store["preactivation"].values.copy()
    nouns = store["upos"].values == "DET"
    for neuron, sign in ((5, -1), (6, 1)):
        spread = np.where(nouns, 1 + 6 * rng.random(N_TOKENS), 0.5 + 0.1 * rng.random(N_TOKENS))
        values[0, :, neuron] = sign * np.where(nouns | (rng.random(N_TOKENS) < 0.5), spread, -0.1 * spread)
    return store.assign(preactivation=(("layer", "token", "neuron"), values))


def test_a_planted_neuron_is_found():
    store = planted()
    pairs = find_pairs(store, n_neighbours=3)
    found = pair_differentiation(store, pairs, selection({0: (5, 6)}), n_top=60)
    frac = found["pair_frac"].sel(pool="similar").isel(layer=0)
    assert frac.sel(neuron=5, signs="NN").item() > 0.95
    assert frac.sel(neuron=6, signs="PP").item() > 0.95
    labels = pair_labels(store, pairs, selection({0: (5,)}), n_top=60).set_index(["feature", "value"])
    assert labels.loc[("upos", "DET"), "q_value"] < 1e-4
    assert labels.loc[("upos", "DET"), "log_odds"] > 2
    assert labels.loc[("upos", "NOUN"), "log_odds"] < -2
    assert abs(labels.loc[("upos", "DET"), "log_odds_rest"]) < 0.5
    closest = most_differentiated(store, pairs, selection({0: (5, 6)}), n_top=4)
    gap = (closest["preactivation_a"] - closest["preactivation_b"]).abs()
    assert gap[closest["neuron"] == 5].min() > 3
    assert gap[closest["neuron"] == 6].max() < 1
    assert (closest[["preactivation_a", "preactivation_b"]] < 0).to_numpy().all()
    for _, own in closest.groupby("neuron"):
        tokens = own[["token_a", "token_b"]].to_numpy().ravel()
        assert len(set(tokens)) == len(tokens) == 8
        assert gap[own.index].is_monotonic_decreasing


@pytest.mark.slow
def test_the_null_is_rejected_as_often_as_it_says():
    """200 stores of Gaussian neurons: p < 0.05 in 5% ± 1.5% of the tests of signs, and of the log-odds."""
    signs, odds = [], []
    for seed in range(200):
        store = made(seed)
        pairs = find_pairs(store, n_neighbours=3, seed=seed)
        chosen = selection({0: tuple(range(6))})
        found = pair_differentiation(store, pairs, chosen, n_top=60, n_permutations=99, seed=seed)
        signs.extend(found["p_value"].values[0, :6])
        odds.extend(pair_labels(store, pairs, chosen, n_top=60, n_permutations=99, features=("upos",), seed=seed)["p_value"])
    assert len(signs) == 1200
    assert 0.035 <= np.mean(np.array(signs) < 0.05 + 1e-9) <= 0.065
    assert 0.035 <= np.mean(np.array(odds) < 0.05) <= 0.065


def test_layers_without_a_selected_neuron_still_have_the_rest():
    store = made(n_layers=2)
    pairs = find_pairs(store, n_neighbours=2)
    found = pair_differentiation(store, pairs, selection({1: (0, 3)}), n_top=30, n_permutations=9)
    assert np.isnan(found["cohort_pair_frac"].sel(cohort="top", layer=0)).all()
    assert np.isfinite(found["cohort_pair_frac"].sel(cohort="rest")).all()
    assert found["p_value"].notnull().sum() == 2
    table = cohort_table(found)
    assert len(table) == 2 * 2 * 3 * 3
    one = table[(table["layer"] == 1) & (table["cohort"] == "top") & (table["signs"] == "NN")].set_index("pool")
    np.testing.assert_allclose(one.loc["similar", "pair_frac"] - one.loc["matched", "pair_frac"], one.loc["matched", "excess"])
    assert np.isnan(one.loc["similar", "excess"])


def test_what_does_not_fit():
    store = made()
    pairs = find_pairs(store, n_neighbours=2)
    with pytest.raises(SelectionError, match="no layer of the selection is in the store"):
        pair_differentiation(store, pairs, selection({4: (0,)}))
    with pytest.raises(SelectionError, match="the selection is for layers of 99 neurons"):
        pair_differentiation(store, pairs, selection({0: (0,)}, 99))
    with pytest.raises(SelectionError, match="smaller n_top"):
        pair_differentiation(store, pairs, selection({0: (0,)}), n_top=10**6)
