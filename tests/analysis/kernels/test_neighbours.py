from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analysis.kernels import neighbours
from analysis.kernels.neighbours import matched_pairs, similar_pairs


def brute_force(x, k):
    distance = np.linalg.norm(x[:, None] - x[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    distance[distance <= neighbours.identical_below(x)] = np.inf
    nearest = np.argsort(distance, axis=1)[:, :k]
    return {tuple(sorted((i, int(j)))) for i in range(len(x)) for j in nearest[i] if np.isfinite(distance[i, j])}


def test_brute_force_agrees(monkeypatch):
    monkeypatch.setattr(neighbours, "_BLOCK_ROWS", 7)
    x = np.random.default_rng(0).normal(size=(50, 6)) + 20
    similar = similar_pairs(x, 3)
    assert {tuple(pair) for pair in similar.pairs.tolist()} == brute_force(x, 3)
    np.testing.assert_allclose(
        similar.distance, np.linalg.norm(x[similar.pairs[:, 0]] - x[similar.pairs[:, 1]], axis=1), rtol=1e-4
    )
    assert (similar.pairs[:, 0] < similar.pairs[:, 1]).all()


def test_identical_points_are_no_neighbours():
    x = np.random.default_rng(1).normal(size=(20, 4))
    repeated = np.concatenate([x, x * (1 + 1e-5), x])
    similar = similar_pairs(repeated, 2)
    assert similar.n_identical == 3 * 20
    assert (similar.pairs[:, 0] % 20 != similar.pairs[:, 1] % 20).all()


def test_noise_does_not_choose_among_neighbours_that_tie():
    """Points that are one of 30 words, as in a layer whose input depends on the token alone: a word's occurrences tie."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(30, 16)).astype(np.float16)[rng.integers(0, 30, 500)].astype(np.float32)
    noisy = (x * (1 + 3e-7 * rng.normal(size=x.shape))).astype(np.float32)
    assert (noisy != x).any()
    plain, again = similar_pairs(x, 3), similar_pairs(noisy, 3)
    np.testing.assert_array_equal(plain.pairs, again.pairs)
    assert plain.n_identical == again.n_identical > 1000
    early = (plain.pairs < 250).mean()
    assert 0.4 < early < 0.6, "ties favour no part of the text"


def test_all_points_identical_gives_no_pair():
    similar = similar_pairs(np.ones((10, 3)), 2)
    assert len(similar.pairs) == 0
    assert similar.n_identical == 45


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(0, 60), st.integers(1, 5))
def test_matches_are_of_the_stratum_and_used_once(seed, n_pairs, n_candidates, n_strata):
    rng = np.random.default_rng(seed)
    strata, candidate_strata = rng.integers(0, n_strata, n_pairs), rng.integers(0, n_strata, n_candidates)
    candidates = np.stack([np.arange(n_candidates), np.arange(n_candidates) + 100], axis=1)
    matched = matched_pairs(np.zeros((n_pairs, 2), np.int64), strata, candidates, candidate_strata, rng)
    has_match = matched[:, 0] >= 0
    assert (candidate_strata[matched[has_match, 0]] == strata[has_match]).all()
    assert len(set(matched[has_match, 0])) == has_match.sum()
    for stratum in range(n_strata):
        n_pairs_of, n_candidates_of = (strata == stratum).sum(), (candidate_strata == stratum).sum()
        assert has_match[strata == stratum].sum() == min(n_pairs_of, n_candidates_of)
