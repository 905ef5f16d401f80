"""Cohort means of pair signs against arithmetic by hand and against leaving clusters out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from analysis.kernels.pair_cohorts import PoolSigns, cohort_signs
from analysis.kernels.pairs import predicted_fractions

N_NEURONS, N_TOKENS, N_CLUSTERS, N_CHOSEN = 12, 400, 20, 50


@pytest.fixture
def data():
    """Clusters of one size; two pools of pairs."""
    rng = np.random.default_rng(0)
    below = rng.random((N_NEURONS, N_TOKENS)) < rng.uniform(0.2, 0.8, (N_NEURONS, 1))
    cluster = np.arange(N_TOKENS) % N_CLUSTERS
    pairs = [rng.integers(0, N_TOKENS, (N_NEURONS, N_CHOSEN, 2)) for _ in range(2)]
    counts = [
        np.take_along_axis(below, chosen.reshape(N_NEURONS, -1), axis=1).reshape(chosen.shape).sum(axis=2) for chosen in pairs
    ]
    pools = [PoolSigns(n_below, cluster[chosen]) for n_below, chosen in zip(counts, pairs, strict=True)]
    return below, pools, cluster, np.arange(N_NEURONS) < 4


def test_means_by_hand(data):
    below, pools, _, chosen = data
    result = cohort_signs(*data)
    similar, matched = ((pool.n_below == 2).mean(axis=1) for pool in pools)
    predicted = predicted_fractions(below.mean(axis=1))[:, 0]
    np.testing.assert_allclose(result["cohort_pair_frac"][0, :, 0], [v[chosen].mean() for v in (similar, matched, predicted)])
    np.testing.assert_allclose(result["cohort_excess"][1, :, 0], [(similar - v)[~chosen].mean() for v in (matched, predicted)])
    excess = similar - matched
    np.testing.assert_allclose(result["cohort_difference"][0], excess[chosen].mean() - excess[~chosen].mean())


def test_neurons_alone_have_the_t_interval_of_their_values():
    """Every cluster alike: what is left is the spread over the neurons."""
    shares = np.array([0.2, 0.4, 0.9])
    n_below = np.where(np.arange(10) < 10 * shares[:, None], 2, 0)
    ends = np.broadcast_to(np.arange(2), (3, 10, 2))
    same = [PoolSigns(n_below, ends)] * 2
    below = np.tile([True, True, False, False], (3, 1))
    bounds = cohort_signs(below, same, np.array([0, 1, 0, 1]), np.ones(3, bool))["cohort_pair_frac_bounds"][0, 0, 0]
    reach = t.ppf(0.975, 2) * shares.std(ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(bounds, np.clip(shares.mean() + reach * np.array([-1, 1]), 0, 1))


def test_one_cluster_or_no_neuron_has_no_bounds(data):
    below, pools, cluster, chosen = data
    alone = cohort_signs(below, [PoolSigns(pool.n_below, 0 * pool.ends) for pool in pools], 0 * cluster, chosen)
    assert np.isfinite(alone["cohort_excess"]).all()
    assert np.isnan(alone["cohort_excess_bounds"]).all()
    empty = cohort_signs(below, pools, cluster, np.zeros(N_NEURONS, bool))
    assert np.isnan(empty["cohort_pair_frac"][0]).all()
    assert np.isfinite(empty["cohort_pair_frac_bounds"][1]).all()
    assert np.isnan(empty["cohort_difference_bounds"]).all()
