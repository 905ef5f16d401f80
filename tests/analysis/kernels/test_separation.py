"""Shares of a separation: known answers, loops, derivatives by clusters, and clusters left out."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.kernels.activations import ACTIVATIONS
from analysis.kernels.separation import Activations, separation_shares

GELU = ACTIVATIONS["gelu"]


def shares(values, pairs, name="gelu", cluster=None):
    activations = Activations.of(np.asarray(values, np.float32), ACTIVATIONS[name])
    return separation_shares(activations, np.asarray(pairs), cluster)


def by_loop(values, pairs, activation, weights=None):
    """The share of one neuron, pair by pair."""
    removed = total = 0.0
    for index, (a, b) in enumerate(pairs):
        weight = 1.0 if weights is None else weights[index]
        d = abs(activation(values[a]) - activation(values[b]))
        d0 = abs(activation(max(values[a], 0.0)) - activation(max(values[b], 0.0)))
        removed, total = removed + weight * (d - d0), total + weight * d
    return removed / total


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 60)).astype(np.float32), rng.integers(0, 60, size=(300, 2)), np.arange(60) // 10


@pytest.mark.parametrize("name", ["gelu", "silu"])
def test_known_answers(name):
    """A negative–negative pair is all of it, a positive–positive one nothing, of a mixed one the negative end's part."""
    activation = ACTIVATIONS[name]
    low, high = (float(activation(np.array(value))) for value in (-0.3, 0.8))
    values = [[-0.3, -1.2], [0.3, 1.2], [0.8, -0.3], [0.8, 0.0]]
    expected = [1, 0, -low / (high - low), 0]
    np.testing.assert_allclose(shares(values, [[0, 1]], name).share, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["gelu", "gelu_new", "silu", "quick_gelu"])
def test_loops_agree(data, name):
    values, pairs, _ = data
    expected = [by_loop(row.astype(np.float64), pairs, ACTIVATIONS[name]) for row in values]
    result = shares(values, pairs, name).share
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    assert ((result > 0) & (result < 1)).all()


def test_a_relu_has_no_negative_side(data):
    values, pairs, cluster = data
    result = shares(values, pairs, "relu", cluster)
    assert (result.share == 0).all()
    assert (result.moves == 0).all()


def test_a_neuron_that_separates_nothing_has_no_share(data):
    values, pairs, cluster = data
    values[3], values[4] = 0.5, -2.0
    result = shares(values, pairs, "gelu", cluster)
    assert np.flatnonzero(np.isnan(result.share)).tolist() == [3, 4]
    assert np.isnan(result.moves[[3, 4]]).all()
    assert np.isnan(shares(-np.abs(values), pairs, "relu").share).all(), "a ReLU that is never open"


def test_order_within_a_pair_and_of_pairs_does_not_matter(data):
    values, pairs, _ = data
    expected = shares(values, pairs).share
    np.testing.assert_allclose(shares(values, pairs[::-1, ::-1]).share, expected, rtol=1e-6)
    np.testing.assert_allclose(shares(values, np.tile(pairs, (3, 1))).share, expected, rtol=1e-6)


def test_moves_are_derivatives_by_the_clusters_weights(data):
    values, pairs, cluster = data
    moves = shares(values, pairs, cluster=cluster).moves
    assert moves.shape == (40, 6)
    for neuron in range(5):
        for index in range(6):
            ends = []
            for sign in (1, -1):
                weights = 1 + sign * 1e-5 * (np.arange(6) == index)
                of_pairs = weights[cluster[pairs]].prod(axis=1)
                ends.append(by_loop(values[neuron].astype(np.float64), pairs, GELU, of_pairs))
            assert moves[neuron, index] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-5)


def test_all_clusters_together_move_nothing(data):
    """Twice the weight everywhere is the same share."""
    values, pairs, cluster = data
    np.testing.assert_allclose(shares(values, pairs, cluster=cluster).moves.sum(axis=1), 0, atol=1e-6)


def test_moves_agree_with_leaving_clusters_out():
    """Of 30 clusters: to first order the share without one is the share less its move."""
    rng = np.random.default_rng(1)
    values, pairs, cluster = rng.normal(size=(4, 900)), rng.integers(0, 900, size=(6000, 2)), np.arange(900) // 30
    result = shares(values, pairs, cluster=cluster)
    left_out = []
    for index in range(30):
        stays = (cluster[pairs] != index).all(axis=1)
        left_out.append(shares(values, pairs[stays]).share - result.share)
    moved = -np.array(left_out).T
    assert np.corrcoef(moved.ravel(), result.moves.ravel())[0, 1] > 0.97
    np.testing.assert_allclose(moved.std(), result.moves.std(), rtol=0.1)
