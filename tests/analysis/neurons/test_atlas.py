from __future__ import annotations

import numpy as np
import pytest

from analysis import find_pairs, neuron_atlas
from tests.analysis.pairs.helpers import N_TOKENS, selection, toy_store

FEATURES = ("upos", "deprel", "word", "position", "depth")


def with_values(store, values):
    return store.assign(preactivation=(("layer", "token", "neuron"), values.astype(np.float32)))


@pytest.fixture(scope="module")
def atlas():
    """Below zero, neuron 2 separates determiners and neuron 3 follows the position; 4 is noise; 5 is never negative."""
    store = toy_store(6)
    rng = np.random.default_rng(0)
    values = -np.abs(store["preactivation"].values)
    upos, position = store["upos"].values, store["position"].values
    values[0, :, 2] = -1 - 0.1 * rng.random(N_TOKENS) - 3.0 * (upos == "DET") - 0.3 * (upos == "VERB")
    values[0, :, 3] = -0.1 - position / 10 + 0.1 * rng.normal(size=N_TOKENS).clip(-1, 1)
    values[0, :, 5] = 1 + rng.random(N_TOKENS)
    store = with_values(store, values).assign_coords(depth=("token", rng.integers(-1, 4, N_TOKENS)))
    pairs = find_pairs(store, n_neighbours=3)
    return neuron_atlas(store, selection({0: (2, 3, 4, 5)}), pairs, n_permutations=60).set_index("neuron")


def test_one_row_a_neuron(atlas):
    assert atlas.index.tolist() == [2, 3, 4, 5]
    for part in ("mi", "explained", "p", "q"):
        assert {f"{part}_{name}" for name in FEATURES} <= set(atlas.columns)


def test_the_distance_is_the_neuron_s_own(atlas):
    assert atlas.loc[2, "wasserstein_distance"] > 2 * atlas.loc[4, "wasserstein_distance"]
    assert atlas.loc[2, "negative_wasserstein_frac"] == pytest.approx(1)
    assert atlas.loc[5, "negative_wasserstein_frac"] == 0


def test_planted_features_are_found(atlas):
    assert atlas.loc[2, "feature"] in ("upos", "deprel")
    assert atlas.loc[2, "q_upos"] < 1e-6
    assert atlas.loc[2, "explained_upos"] > 0.5
    assert atlas.loc[3, "feature"] == "position"
    assert atlas.loc[4, "feature"] == ""
    assert (atlas.loc[4, [f"q_{name}" for name in FEATURES]].astype(float) > 0.05).all()


def test_the_most_separated_parts_of_speech(atlas):
    assert atlas.loc[2, "apart"] == "DET – NOUN"
    assert atlas.loc[2, "apart_distance"] > 1
    assert atlas.loc[2, "apart_q_value"] < 1e-3
    assert "DET 100%" in atlas.loc[2, "clusters"].split(" | ")[0]


def test_a_neuron_without_negative_values_has_an_empty_row(atlas):
    row = atlas.loc[5]
    assert row["n_negative"] == 0
    assert row[["clusters", "pairs", "apart", "feature"]].tolist() == ["", "", "", ""]
    assert row[[f"mi_{name}" for name in FEATURES]].isna().all()


def test_pairs_are_shown_in_context(atlas):
    first, *_ = atlas.loc[2, "pairs"].split("\n")
    assert [end.count("[") for end in first.split(" ↔ ")] == [1, 1]
    gaps = []
    for pair in atlas.loc[4, "pairs"].split("\n"):
        a, b = (float(end.rsplit("(", 1)[1].rstrip(")")) for end in pair.split(" ↔ "))
        assert max(a, b) < 0
        gaps.append(abs(a - b))
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] > 1


def test_a_store_without_words_still_has_positions(store):
    bare = store.assign_coords(
        {name: ("token", np.full(store.sizes["token"], "", object)) for name in ("upos", "deprel", "word_form")}
    )
    chosen = selection({1: (0, 1)}, 512)
    table = neuron_atlas(bare, chosen, find_pairs(bare, n_tokens=400), n_permutations=20)
    assert table["mi_upos"].isna().all()
    assert table["mi_position"].notna().all()
    assert (table["apart"] == "").all()


def test_a_real_store(store):
    chosen = selection({0: (3, 9), 2: (5,)}, 512)
    table = neuron_atlas(store, chosen, find_pairs(store, n_tokens=500), n_permutations=20)
    assert table[["layer", "neuron"]].values.tolist() == [[0, 3], [0, 9], [2, 5]]
    assert (table["n_negative"] > 100).all()
    assert table["mi_word"].notna().all()
    assert (table["pairs"].str.count("↔") == 3).all()


@pytest.mark.slow
def test_the_null_is_rejected_at_its_rate():
    """200 stores of Gaussian neurons: p < 0.05 in 5% ± 1.5% of the tests of every feature."""
    p = {name: [] for name in FEATURES}
    for seed in range(200):
        store = toy_store(seed)
        rng = np.random.default_rng([seed, 1])
        store = store.assign_coords(depth=("token", rng.integers(0, 6, N_TOKENS)))
        chosen = selection({0: tuple(range(8))})
        table = neuron_atlas(store, chosen, find_pairs(store, n_neighbours=2, seed=seed), seed=seed)
        for name in FEATURES:
            p[name].extend(table[f"p_{name}"])
    for name, values in p.items():
        assert len(values) == 1600, name
        assert 0.035 <= np.mean(np.array(values) < 0.05) <= 0.065, name
