from __future__ import annotations

import numpy as np
import pytest

from analysis.kernels.pairs import (
    fraction_moves,
    furthest_disjoint,
    furthest_pairs,
    n_negative,
    predicted_fractions,
    predicted_moves,
    sign_fractions,
)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 30)).astype(np.float32), rng.integers(0, 30, size=(200, 2))


def test_the_furthest_are_the_furthest(data):
    values, pairs = data
    top = furthest_pairs(values, pairs, 10)
    for neuron, chosen in enumerate(top):
        gap = np.abs(values[neuron, pairs[:, 0]] - values[neuron, pairs[:, 1]])
        assert np.delete(gap, chosen).max() < gap[chosen].min() * (1 + 2**-10)
        assert (np.diff(chosen) > 0).all()


def repeated_words():
    """Neurons whose value depends on the word alone, of 12 words in 600 tokens: pairs of the same words tie."""
    rng = np.random.default_rng(3)
    word = rng.integers(0, 12, 600)
    values = rng.normal(size=(50, 12)).astype(np.float16)[:, word].astype(np.float32)
    return word, values, np.sort(rng.integers(0, 600, size=(3000, 2)), axis=1)


def test_noise_does_not_choose_among_pairs_that_tie():
    word, values, pairs = repeated_words()
    rng = np.random.default_rng(4)
    noisy = (values * (1 + 3e-7 * rng.normal(size=values.shape))).astype(np.float32)
    assert (noisy != values).any()
    np.testing.assert_array_equal(furthest_pairs(noisy, pairs, 100), furthest_pairs(values, pairs, 100))
    chosen = furthest_pairs(values, pairs, 100)
    assert any(len({tuple(sorted(word[pairs[k]])) for k in top}) < 100 for top in chosen), "there are ties"


def test_ties_favour_no_part_of_the_text():
    _, values, pairs = repeated_words()
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    indices = np.concatenate(furthest_pairs(np.zeros_like(values), pairs, 100))
    assert 0.4 < (indices < len(pairs) / 2).mean() < 0.6


def test_signs_by_hand():
    values = np.array([[-1.0, -2.0, 3.0, 0.0]], np.float32)
    pairs = np.array([[0, 1], [1, 2], [2, 3], [0, 3]])
    below = n_negative(values, pairs, np.arange(4)[None])
    assert below.tolist() == [[2, 1, 0, 1]]
    np.testing.assert_array_equal(sign_fractions(below), [[0.25, 0.5, 0.25]])


def test_independent_signs():
    np.testing.assert_allclose(predicted_fractions(np.array([0.0, 0.3])), [[0, 0, 1], [0.09, 0.42, 0.49]])


def weighted(values, pairs, top, cluster, weights):
    """Fractions with every pair weighing the product of its ends' clusters' weights, and those of independent signs."""
    below = n_negative(values, pairs, top)
    of_pair = weights[cluster[pairs]].prod(axis=1)[top]
    similar = np.stack([((below == count) * of_pair).sum(axis=1) / of_pair.sum(axis=1) for count in (2, 1, 0)], axis=1)
    of_token = weights[cluster]
    return similar, predicted_fractions((values < 0) @ of_token / of_token.sum())


def test_moves_are_derivatives_by_the_clusters_weights(data):
    values, pairs = data
    cluster = np.arange(30) // 6
    top = furthest_pairs(values, pairs, 10)
    moves = [fraction_moves(n_negative(values, pairs, top), cluster[pairs[top]], 5), predicted_moves(values < 0, cluster, 5)]
    for index in range(5):
        shift = 1e-6 * (np.arange(5) == index)
        ends = zip(*(weighted(values, pairs, top, cluster, 1 + sign * shift) for sign in (1, -1)), strict=True)
        for of_fractions, (more, less) in zip(moves, ends, strict=True):
            np.testing.assert_allclose(of_fractions[:, :, index], (more - less) / 2e-6, atol=1e-7)


@pytest.mark.parametrize("n_top", [1, 3, 40])
def test_the_furthest_pairs_share_no_token(n_top):
    rng = np.random.default_rng(4)
    pairs = np.unique(np.sort(rng.integers(0, 60, (300, 2)), axis=1), axis=0)
    gap = rng.random(len(pairs)).astype(np.float32) * (rng.random(len(pairs)) < 0.8)
    expected, used = [], set()
    for index in np.argsort(-gap, kind="stable"):
        if len(expected) < n_top and gap[index] > 0 and not set(pairs[index]) & used:
            expected.append(int(index))
            used |= set(pairs[index])
    assert furthest_disjoint(gap.copy(), pairs, n_top) == expected


def test_no_pair_is_taken_where_none_is_apart():
    assert furthest_disjoint(np.zeros(4, np.float32), np.arange(8).reshape(4, 2), 3) == []
