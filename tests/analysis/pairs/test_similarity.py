from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from actstore.errors import StoreError, UnknownNameError
from analysis import find_pairs
from analysis.pairs.similarity import NO_PAIR, _alike, _Strata


@pytest.fixture(scope="module")
def pairs(store):
    return find_pairs(store, n_tokens=600, n_neighbours=3)


def test_pairs_are_of_text_and_nearer_than_chance(store, pairs):
    inputs = store["mlp_input"].isel(checkpoint=-1)
    rng = np.random.default_rng(0)
    for layer in range(4):
        a, b = (pairs[name].values[layer] for name in ("token_a", "token_b"))
        exists = a != NO_PAIR
        assert (a[exists] != b[exists]).all()
        assert (store["position"].values[np.concatenate([a[exists], b[exists]])] > 0).all()
        x = inputs.isel(layer=layer).values.astype(float)
        near = np.linalg.norm(x[a[exists]] - x[b[exists]], axis=1)
        np.testing.assert_allclose(near, pairs["input_distance"].values[layer][exists], rtol=1e-3, atol=1e-3)
        chance = np.linalg.norm(x[rng.permutation(a[exists])] - x[b[exists]], axis=1)
        assert np.median(near) < 0.8 * np.median(chance)


def test_matched_pairs_are_comparable_and_not_similar(store, pairs):
    text = np.flatnonzero(store["position"].values > 0)
    tokens = np.unique(
        np.concatenate([pairs[name].values.ravel() for name in ("token_a", "token_b", "matched_a", "matched_b")])
    )
    tokens = tokens[tokens != NO_PAIR]
    rng = np.random.default_rng(0)
    drawn = np.sort(np.random.default_rng(0).choice(text, size=600, replace=False))
    assert set(tokens) <= set(drawn)
    strata = _Strata(store, text, drawn)
    for layer in range(4):
        has_match = pairs["matched_a"].values[layer] != NO_PAIR
        similar, matched = (
            np.searchsorted(drawn, np.stack([pairs[f"{kind}_{side}"].values[layer][has_match] for side in "ab"], axis=1))
            for kind in ("token", "matched")
        )
        np.testing.assert_array_equal(strata.of(similar), strata.of(matched))
        keys = {tuple(sorted(pair)) for pair in similar.tolist()}
        assert not keys & {tuple(sorted(pair)) for pair in matched.tolist()}
        assert len({tuple(pair) for pair in matched.tolist()}) == len(matched)
    candidates = strata.candidates(rng)
    assert (candidates[:, 0] < candidates[:, 1]).all()


def test_identical_inputs_are_left_out(pairs):
    assert pairs["n_identical_pairs"].values[0] > 100
    assert (pairs["n_identical_pairs"].values[1:] < pairs["n_identical_pairs"].values[0]).all()


def test_the_same_seed_gives_the_same_pairs(store, pairs):
    xr.testing.assert_identical(find_pairs(store, n_tokens=600, n_neighbours=3), pairs)
    assert not find_pairs(store, n_tokens=600, n_neighbours=3, seed=1)["token_a"].equals(pairs["token_a"])


def test_words_alike():
    alike = _alike([" lighthouse", "Lighthouses", " heavy", " a", "a"])
    assert alike[0, 1]
    assert alike[3, 4]
    assert not alike[0, 2]
    assert not alike[0, 3]


def test_wrong_arguments_are_refused(store):
    with pytest.raises(UnknownNameError, match="unknown checkpoint '7'"):
        find_pairs(store, checkpoint=7)
    with pytest.raises(StoreError, match="extract more with --tokens"):
        find_pairs(store.isel(token=slice(0, 4)))
