from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import chi2, wasserstein_distance

from analysis.kernels.permutation import (
    class_test,
    count_p_value,
    gamma_p_value,
    pearson_p_value,
    permutation_p_value,
    permuted_distances,
)


class Listed:
    """A generator whose permutations are those of a list, one after the other."""

    def __init__(self, orders):
        self.orders = iter(orders)

    def permutation(self, values):
        return values[next(self.orders)]


def test_p_value_by_hand():
    null = np.array([[1.0], [2.0], [2.0], [5.0]])
    assert permutation_p_value([2.0], null) == pytest.approx(4 / 5)
    assert permutation_p_value([6.0], null) == pytest.approx(1 / 5)
    assert np.isnan(permutation_p_value([np.nan], null))
    assert count_p_value(3, 4) == pytest.approx(4 / 5)


def test_rounding_breaks_no_tie():
    assert permutation_p_value([0.1 + 0.2], np.array([[0.3]])) == 1
    assert permutation_p_value([0.0], np.array([[0.0]])) == 1


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("n_first", [1, 2, 3])
def test_every_permutation_of_a_small_sample(p, n_first):
    """By the definition for p = 1, and by repeating values up to equal numbers for the others."""
    pooled = np.random.default_rng(0).normal(size=(5, 3))
    orders = [np.array(order) for order in itertools.permutations(range(5))]
    distances = permuted_distances(pooled, n_first, len(orders), Listed(orders), p)
    for order, row in zip(orders, distances, strict=True):
        first = (np.arange(5) < n_first)[order]
        for value, column in zip(row, pooled.T, strict=True):
            a, b = np.sort(column[first]), np.sort(column[~first])
            expected = np.mean(np.abs(np.repeat(a, len(b)) - np.repeat(b, len(a))) ** p) ** (1 / p)
            assert value == pytest.approx(expected, abs=1e-12)
            if p == 1:
                assert value == pytest.approx(wasserstein_distance(a, b), abs=1e-12)


def test_samples_are_permuted_alike():
    column = np.random.default_rng(1).normal(size=(30, 1))
    distances = permuted_distances(np.hstack([column, 2 * column, column + 5]), 12, 20, np.random.default_rng(2))
    np.testing.assert_allclose(distances[:, 1], 2 * distances[:, 0])
    np.testing.assert_allclose(distances[:, 2], distances[:, 0])


@pytest.mark.parametrize("draw", [np.random.Generator.normal, np.random.Generator.random, np.random.Generator.exponential])
def test_tail_of_transport_distances(draw):
    """Where there are enough permutations to count, the fitted p-value agrees."""
    rng = np.random.default_rng(3)
    null = permuted_distances(draw(rng, size=(300, 1)), 100, 20_000, rng)[:, 0]
    for level in (0.3, 0.1, 0.03, 0.01):
        assert pearson_p_value(np.quantile(null, 1 - level), null) == pytest.approx(level, rel=0.15)
    assert pearson_p_value(np.quantile(null, 0.999), null) == pytest.approx(1e-3, rel=0.6)


def test_tail_of_sums_of_squares():
    """Both fits, of a chi-square variable."""
    null = chi2(5).rvs(50_000, random_state=np.random.default_rng(4))
    for observed in (5.0, 12.0, 20.0):
        for fit in (gamma_p_value, pearson_p_value):
            assert fit(observed, null) == pytest.approx(chi2(5).sf(observed), rel=0.1)


def test_few_permutations_fit_as_well():
    """One observed value each, among 100 permuted ones: the p-values are uniform."""
    rng = np.random.default_rng(5)
    distances = permuted_distances(rng.normal(size=(60, 2000)), 20, 101, rng)
    p = pearson_p_value(distances[0], distances[1:])
    assert 0.035 < (p < 0.05).mean() < 0.075
    assert 0.45 < np.median(p) < 0.55


def test_a_left_skewed_null_bounds_nothing():
    null = -np.random.default_rng(6).exponential(size=500)
    assert 0 < pearson_p_value(10.0, null) < 1e-6


def test_fits_of_a_null_that_does_not_vary():
    null = np.stack([np.ones(10), np.arange(10.0)], axis=1)
    for fit in (gamma_p_value, pearson_p_value):
        p = fit([1.0, 4.5], null)
        assert p[0] == 1
        assert 0.3 < p[1] < 0.7


def rejections(draw, pair, n_repeats=400):
    rng = np.random.default_rng(4)
    p = np.array([class_test(*draw(rng), 3, 60, rng)[pair] for _ in range(n_repeats)])
    return (p < 0.05).mean(), np.median(p)


def test_equal_classes_are_rejected_at_the_nominal_rate():
    codes = np.repeat([0, 1, 2], [200, 60, 40])
    rejected, median = rejections(lambda rng: (rng.gamma(2, size=300), codes), (1, 2))
    assert 0.02 < rejected < 0.08
    assert 0.4 < median < 0.6


@pytest.mark.parametrize(("spread", "spread_of_third"), [(2.0, 0.1), (0.3, 3.0)])
def test_a_third_class_of_another_spread_changes_nothing(spread, spread_of_third):
    codes = np.repeat([0, 1, 2], [600, 50, 50])
    scale, centre = np.repeat([spread_of_third, spread], [600, 100]), np.repeat([-1, -5], [600, 100])
    rejected, _ = rejections(lambda rng: (rng.normal(centre, scale), codes), (1, 2))
    assert 0.02 < rejected < 0.08


def test_only_the_planted_class_differs():
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 5, size=2000)
    p = class_test(rng.normal(size=2000) + (codes == 2), codes, 5, 100, rng)
    np.testing.assert_array_equal(p, p.T)
    assert np.isnan(np.diag(p)).all()
    assert (np.delete(p[2], 2) < 1e-6).all()
    unplanted = np.delete(np.delete(p, 2, 0), 2, 1)
    assert np.nanmin(unplanted) > 1e-3


def test_classes_of_a_single_value_do_not_differ():
    p = class_test(np.ones(20), np.repeat([0, 1], 10), 2, 10, np.random.default_rng(6))
    assert p[0, 1] == p[1, 0] == 1
