"""Effects of a cohort against Welch, statsmodels and numpy; sums over layers; what random cohorts give."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import kstest, t, ttest_ind

from analysis.kernels.cohort_effects import (
    CohortEffect,
    cohort_effect,
    mean_weights,
    shuffled_differences,
    slope_weights,
    weighted_effect,
)
from analysis.kernels.permutation import permutation_p_value


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    is_member = np.arange(60) % 5 == 0
    return rng.normal(size=60) * np.where(is_member, 3, 1) + is_member, is_member, rng.normal(size=(60, 3))


def test_without_covariates_it_is_welch_s_test(data):
    values, is_member, _ = data
    effect = cohort_effect(values, is_member)
    expected = ttest_ind(values[is_member], values[~is_member], equal_var=False)
    assert effect.value == pytest.approx(values[is_member].mean() - values[~is_member].mean())
    assert effect.value / np.sqrt(effect.over_neurons) == pytest.approx(expected.statistic)
    assert effect.freedom == pytest.approx(expected.df)
    estimate = weighted_effect([effect], np.ones(1))
    assert estimate.p_value()[0] == pytest.approx(expected.pvalue)
    np.testing.assert_allclose(np.ravel(estimate.interval()), expected.confidence_interval())


def test_with_covariates_it_is_the_coefficient_of_a_regression_with_hc2(data):
    values, is_member, covariates = data
    effect = cohort_effect(values, is_member, covariates)
    expected = sm.OLS(values, np.column_stack([is_member, np.ones(60), covariates])).fit(cov_type="HC2")
    assert effect.value == pytest.approx(expected.params[0])
    assert np.sqrt(effect.over_neurons) == pytest.approx(expected.bse[0])
    assert t.ppf(0.975, effect.freedom) < t.ppf(0.975, 10)


def test_neurons_without_a_value_or_covariate_are_left_out(data):
    values, is_member, covariates = data
    values[3], covariates[11, 1] = np.nan, np.nan
    stays = np.delete(np.arange(60), [3, 11])
    moves = np.random.default_rng(1).normal(size=(60, 4))
    effect = cohort_effect(values, is_member, covariates, moves)
    expected = cohort_effect(values[stays], is_member[stays], covariates[stays], moves[stays])
    for name in CohortEffect._fields:
        np.testing.assert_allclose(getattr(effect, name), getattr(expected, name))


def test_a_covariate_that_does_not_vary_adjusts_for_nothing(data):
    values, is_member, _ = data
    constant, without = cohort_effect(values, is_member, np.ones((60, 1))), cohort_effect(values, is_member)
    assert constant.value == pytest.approx(without.value)
    assert constant.over_neurons == pytest.approx(without.over_neurons)


@pytest.mark.parametrize("members", [[], range(60), [7]], ids=["none", "all", "the one without a value"])
def test_a_cohort_without_neurons_or_without_a_rest_has_no_effect(data, members):
    values, _, _ = data
    values[7] = np.nan
    effect = cohort_effect(values, np.isin(np.arange(60), list(members)), None, np.ones((60, 3)))
    assert np.isnan([effect.value, effect.over_neurons, effect.freedom]).all()
    assert effect.moves.shape == (3,)


def test_a_single_neuron_has_an_interval_over_clusters_alone(data):
    values, _, _ = data
    is_member = np.arange(60) == 4
    assert np.isnan(cohort_effect(values, is_member).over_neurons)
    assert np.isnan(weighted_effect([cohort_effect(values, is_member)], np.ones(1)).p_value()[0])
    of_clusters = cohort_effect(values, is_member, None, np.zeros((60, 5)))
    rest = np.delete(values, 4)
    assert of_clusters.over_neurons == pytest.approx(rest.var(ddof=1) / 59)


def test_a_cluster_moves_the_effect_as_it_moves_the_values(data):
    values, is_member, covariates = data
    moves = np.random.default_rng(2).normal(size=(60, 6))
    for given in (None, covariates):
        effect = cohort_effect(values, is_member, given, moves)
        shifted = [cohort_effect(values + 1e-3 * moves[:, index], is_member, given).value for index in range(6)]
        np.testing.assert_allclose(effect.moves, (np.array(shifted) - effect.value) / 1e-3, atol=1e-8)


def test_what_depends_on_cluster_and_neuron_at_once_counts_once():
    """Values of neurons are means over 400 clusters, of pure noise: it is in the variance over neurons, and not in the other."""
    rng = np.random.default_rng(3)
    parts = []
    for _ in range(40):
        noise = rng.normal(size=(50, 400))
        values = noise.mean(axis=1)
        effect = cohort_effect(values, np.arange(50) < 10, None, (noise - values[:, None]) / 400)
        over_clusters = weighted_effect([effect], np.ones(1), np.full(400, 1 / 400)).variance[1, 0]
        parts.append([effect.interaction, (effect.moves**2).sum(), over_clusters])
    interaction, moved, over_clusters = np.mean(parts, axis=0) / ((1 / 10 + 1 / 40) / 400)
    assert (interaction, moved) == pytest.approx((1, 1), abs=0.03)
    assert over_clusters < 0.1


def effects(n_layers=3, n_clusters=8, seed=4):
    rng = np.random.default_rng(seed)
    is_member = np.arange(40) < 8
    return [cohort_effect(rng.normal(size=40), is_member, None, rng.normal(0, 0.1, (40, n_clusters))) for _ in range(n_layers)]


def test_layers_are_pooled():
    """Neurons of layers are independent; a cluster is the same text in all layers, so its moves add before they are squared."""
    layers = effects()
    weights = np.array([0.5, 0.3, -0.2])
    estimate = weighted_effect(layers, weights, np.full(8, 1 / 8))
    assert estimate.value[0] == pytest.approx(weights @ [layer.value for layer in layers])
    parts = weights**2 * [layer.over_neurons for layer in layers]
    assert estimate.variance[0, 0] == pytest.approx(parts.sum())
    freedom = parts.sum() ** 2 / (parts**2 / [layer.freedom for layer in layers]).sum()
    assert estimate.freedom[:, 0].tolist() == pytest.approx([freedom, 7])
    moves = weights @ np.stack([layer.moves for layer in layers])
    crossed = weights**2 @ [layer.interaction for layer in layers]
    assert estimate.variance[1, 0] == pytest.approx(max(8 / 7 * (moves**2).sum() - crossed, 0))


def test_a_single_cluster_gives_no_interval():
    estimate = weighted_effect(effects(n_clusters=1), mean_weights(3), np.ones(1))
    assert np.isnan(estimate.interval()).all()
    assert np.isnan(estimate.p_value()).all()


def test_nothing_that_varies_is_certain():
    nothing = cohort_effect(np.zeros(20), np.arange(20) < 5, None, np.zeros((20, 4)))
    estimate = weighted_effect([nothing] * 2, mean_weights(2), np.full(4, 0.25))
    assert np.ravel(estimate.interval()).tolist() == [0, 0]
    assert estimate.p_value()[0] == 1


@pytest.mark.parametrize("places", [[0, 1, 2, 3], [0, 1, 7], [0.0, 10.0, 11.5, 12.0]])
def test_slopes_are_least_squares(places):
    values = np.random.default_rng(5).normal(size=len(places))
    assert slope_weights(places) @ values == pytest.approx(np.polyfit(places, values, 1)[0] * np.ptp(places))
    assert slope_weights(places).sum() == pytest.approx(0)


def test_means_weigh_layers_alike():
    np.testing.assert_allclose(mean_weights(4), 0.25)


def test_random_cohorts_by_loop():
    values, is_member = np.array([1.0, 2.0, 4.0, np.nan, 8.0]), np.array([True, True, False, True, False])
    null = shuffled_differences(values, is_member, 400, np.random.default_rng(6))
    every = {round(np.mean([a, b]) - (15 - a - b) / 2, 9) for a in (1, 2, 4, 8) for b in (1, 2, 4, 8) if a != b}
    assert set(np.round(null, 9)) == every


def test_p_values_are_uniform_where_the_cohort_is_random():
    rng = np.random.default_rng(7)
    welch, permuted = [], []
    for _ in range(400):
        values, is_member = rng.normal(size=50), rng.permutation(50) < 8
        effect = cohort_effect(values, is_member)
        welch.append(weighted_effect([effect], np.ones(1)).p_value()[0])
        null = shuffled_differences(values, is_member, 99, rng)
        permuted.append(float(permutation_p_value(abs(effect.value), np.abs(null))))
    assert kstest(welch, "uniform").pvalue > 0.01
    assert kstest(np.array(permuted) - rng.random(400) / 100, "uniform").pvalue > 0.01
