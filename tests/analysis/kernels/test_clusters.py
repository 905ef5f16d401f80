"""Intervals of clustered means against known tests, other routes, and simulated truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t, ttest_1samp, ttest_ind
from statsmodels.stats.weightstats import DescrStatsW

from analysis.kernels.clusters import Clusters, Estimate, small_sample


def interval(estimate):
    return np.array(estimate.interval())[:, 0]


def test_equal_clusters_have_the_t_test_of_their_means():
    rng = np.random.default_rng(0)
    means = rng.exponential(size=7)
    within = rng.normal(size=(7, 4))
    values = (means[:, None] + within - within.mean(axis=1, keepdims=True)).ravel()
    estimate = Clusters.of(np.repeat(np.arange(7), 4)).estimate(values[None])
    expected = ttest_1samp(means, 0)
    np.testing.assert_allclose(estimate.value, means.mean())
    np.testing.assert_allclose(interval(estimate), expected.confidence_interval())
    np.testing.assert_allclose(estimate.p_value(), expected.pvalue)


def test_a_difference_of_groups_is_welch_s():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=9), rng.normal(0.5, 3, size=5)
    clusters = Clusters.of(np.arange(14), np.repeat([0, 1], [9, 5]), np.array([[1.0, -1.0]]))
    estimate = clusters.estimate(np.concatenate([a, b])[None])
    expected = ttest_ind(a, b, equal_var=False)
    np.testing.assert_allclose(interval(estimate), expected.confidence_interval())
    np.testing.assert_allclose(estimate.p_value(), expected.pvalue)


def test_unequal_clusters_by_matrices():
    """Unbiased under clusters of equal variance, with Satterthwaite's degrees of freedom of the quadratic form."""
    share = np.array([0.5, 0.2, 0.15, 0.1, 0.05])
    correction = small_sample(share, np.zeros(5, dtype=np.intp), 1)
    moves = np.diag(share) @ (np.eye(5) - share)
    form = moves.T @ np.diag(correction.factor) @ moves
    assert np.trace(form) == pytest.approx((share**2).sum())
    np.testing.assert_allclose(correction.factor * np.diag(moves @ moves.T), share**2)
    assert correction.freedom[0] == pytest.approx(np.trace(form) ** 2 / np.trace(form @ form))


def test_clusters_in_several_groups_move_them_together():
    """The same values in two groups: their sum varies twice, their difference not at all."""
    values = np.tile(np.random.default_rng(2).normal(size=6), 2)
    cluster, group = np.tile(np.arange(6), 2), np.repeat([0, 1], 6)
    estimate = Clusters.of(cluster, group, np.array([[1.0, 0.0], [0.5, 0.5], [1.0, -1.0]])).estimate(values[None])
    np.testing.assert_allclose(estimate.variance[0, 1], estimate.variance[0, 0])
    np.testing.assert_allclose(estimate.variance[0, 2], 0, atol=1e-15)


def test_draws_add_their_variance_and_the_interaction_counts_once():
    rng = np.random.default_rng(3)
    draw, cluster = rng.normal(size=(5, 1)), rng.normal(size=(1, 8))
    additive = Clusters.of(np.arange(8)).estimate(draw + cluster)
    np.testing.assert_allclose(additive.variance[:, 0], [cluster.var(ddof=1) / 8, draw.var(ddof=1) / 5])
    np.testing.assert_allclose(additive.freedom[:, 0], [7, 4])
    noise = rng.normal(size=(400, 300))
    both = Clusters.of(np.arange(300)).estimate(noise)
    assert both.variance.sum() == pytest.approx(1 / (400 * 300), rel=0.2)


def test_the_draws_of_both_sides_count():
    rng = np.random.default_rng(4)
    values, baseline = rng.normal(size=(3, 1)) + np.zeros((3, 6)), rng.normal(size=(4, 1)) + np.zeros((4, 6))
    estimate = Clusters.of(np.arange(6)).estimate(values, minus=baseline)
    np.testing.assert_allclose(estimate.value, values.mean() - baseline.mean())
    np.testing.assert_allclose(
        estimate.variance[:, 0], [0, values[:, 0].var(ddof=1) / 3, baseline[:, 0].var(ddof=1) / 4], atol=1e-15
    )


def test_halves_of_intervals_add_by_squares():
    estimate = Estimate(np.zeros(1), np.array([[0.3], [0.2], [0.1]]), np.array([[4.0], [1.0], [np.inf]]))
    halves = t.ppf(0.975, [4, 1, np.inf]) * np.sqrt([0.3, 0.2, 0.1])
    np.testing.assert_allclose(interval(estimate), np.sqrt((halves**2).sum()) * np.array([-1, 1]))


def test_p_is_below_five_percent_where_the_interval_leaves_zero_out():
    rng = np.random.default_rng(5)
    for _ in range(50):
        estimate = Clusters.of(rng.integers(0, 9, 40)).estimate(rng.normal(0.3, 1, size=(3, 40)))
        lower, upper = interval(estimate)
        assert (estimate.p_value()[0] < 0.05) == (lower > 0 or upper < 0)


def test_single_clusters_and_empty_rows_have_no_interval():
    single = Clusters.of(np.zeros(5, dtype=int)).estimate(np.arange(5.0)[None])
    assert single.value[0] == 2
    assert np.isnan(interval(single)).all()
    assert np.isnan(single.p_value()).all()
    empty = Clusters.of(np.arange(4), weights=np.array([[1.0], [0.0]]))
    assert empty.n_clusters.tolist() == [4, 0]
    assert np.isnan(empty.estimate(np.arange(4.0)[None]).value).tolist() == [False, True]


def test_groups_of_a_single_cluster_are_compared_with_each_other():
    values = np.array([1.0, 3.0, 2.0, 6.0])
    estimate = Clusters.of(np.arange(4), np.arange(4), np.full((1, 4), 0.25)).estimate(values[None])
    np.testing.assert_allclose(estimate.variance[0, 0], ((values - 3) ** 2).sum() / 16)
    of_sides = Clusters.of(np.arange(4), np.arange(4), np.array([[0.5, 0.5, -0.5, -0.5]])).estimate(values[None])
    np.testing.assert_allclose(of_sides.variance[0, 0], (1 + 1 + 4 + 4) / 4)


def test_no_change_is_certain_of_measured_values_and_not_of_binary_ones():
    clusters = Clusters.of(np.arange(8))
    assert (interval(clusters.estimate(np.zeros((1, 8)))) == 0).all()
    assert clusters.estimate(np.zeros((1, 8))).p_value()[0] == 1
    np.testing.assert_allclose(
        interval(clusters.estimate(np.zeros((1, 8)), binary=True)), 1.959964 * np.sqrt(2) / 10 * np.array([-1, 1])
    )


@pytest.mark.parametrize(("n_clusters", "n_draws"), [(2, 1), (5, 1), (20, 1), (5, 5), (20, 2), (20, 5)])
def test_intervals_cover(n_clusters, n_draws):
    """95% intervals over unequal clusters and draws, with effects of clusters, of draws and of both: 92% to 99%."""
    rng = np.random.default_rng(6)
    covered = []
    for _ in range(600):
        size = np.round(40 * rng.lognormal(0, 0.6, n_clusters)).astype(int) + 2
        cluster = np.repeat(np.arange(n_clusters), size)
        effects = 0.2 * rng.normal(size=n_clusters)[cluster] + 0.1 * rng.normal(size=(n_draws, n_clusters))[:, cluster]
        effects = effects + (0.1 * rng.normal(size=(n_draws, 1)) if n_draws > 1 else 0)
        lower, upper = interval(Clusters.of(cluster).estimate(effects + rng.normal(size=(n_draws, len(cluster)))))
        covered.append(lower <= 0 <= upper)
    assert 0.92 < np.mean(covered) < 0.995


def test_the_bound_of_equivalence_is_the_margin_at_which_two_one_sided_tests_reach_five_percent():
    values = np.random.default_rng(7).normal(0.2, 1, 30)
    bound = Clusters.of(np.arange(30)).estimate(values[None]).equivalence_bound()[0]
    assert two_one_sided(values, bound) == pytest.approx(0.05)
    assert two_one_sided(values, 0.9 * bound) > 0.05


def two_one_sided(values, margin):
    """P-value of two one-sided t-tests."""
    return DescrStatsW(values).ttost_mean(-margin, margin)[0]


@pytest.mark.parametrize(("n_clusters", "n_draws"), [(12, 1), (40, 1), (60, 5)])
def test_an_effect_of_the_detectable_size_is_found_with_that_power(n_clusters, n_draws):
    """In 80% ± 3% of samples, when the size is computed from the true variances; also from those of a single sample."""
    rng = np.random.default_rng(8)
    clusters, sd_of_draws = Clusters.of(np.arange(n_clusters)), 0.05
    parts = [1 / n_clusters, *([sd_of_draws**2 / n_draws] if n_draws > 1 else [])]
    degrees = [n_clusters - 1.0, *([n_draws - 1.0] if n_draws > 1 else [])]
    true = Estimate(np.zeros(1), np.array(parts)[:, None], np.array(degrees)[:, None])
    size, found, estimated = true.detectable()[0], [], []
    for _ in range(1500):
        draws = sd_of_draws * rng.normal(size=(n_draws, 1)) if n_draws > 1 else np.zeros((1, 1))
        estimate = clusters.estimate(size + rng.normal(size=n_clusters) + draws)
        found.append(abs(estimate.value[0]) > estimate.reach(0.025)[0])
        estimated.append(estimate.detectable()[0])
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)
    assert np.median(estimated) == pytest.approx(size, rel=0.05)
    assert true.detectable(0.9)[0] > size > true.detectable(0.5)[0] == pytest.approx(true.reach(0.025)[0])
