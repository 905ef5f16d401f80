from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from analysis.kernels.ranks import descending_ranks, explained, ranks_and_squares, spearman


def test_scipy_agrees_and_nan_is_left_out():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=50), rng.integers(0, 5, size=50).astype(float)
    a[3], b[7] = np.nan, np.nan
    defined = np.delete(np.arange(50), [3, 7])
    rho, lower, upper = spearman(a, b)
    assert rho == pytest.approx(spearmanr(a[defined], b[defined]).statistic)
    assert lower < rho < upper


def test_bounds_cover():
    """Of a bivariate normal with r = 0.6, whose rank correlation is 6/π asin(r/2)."""
    rng = np.random.default_rng(1)
    true = 6 / np.pi * np.arcsin(0.3)
    covered = []
    for _ in range(600):
        a = rng.normal(size=80)
        _, lower, upper = spearman(a, 0.6 * a + 0.8 * rng.normal(size=80))
        covered.append(lower <= true <= upper)
    assert 0.92 < np.mean(covered) < 0.98


def test_a_monotone_map_correlates_fully():
    a = np.random.default_rng(2).normal(size=20)
    assert spearman(a, np.exp(a)) == (pytest.approx(1), pytest.approx(1), pytest.approx(1))
    assert np.isnan(spearman(a, np.ones(20))).all()
    assert np.isnan(spearman(a[:4], a[:4])).all()


def test_ranks_explain_a_monotone_target_and_not_noise():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 3))
    assert explained(np.exp(x[:, 0]), x) == pytest.approx(1)
    assert abs(explained(rng.normal(size=400), x)) < 0.05
    assert explained(x[:, 0] + rng.normal(size=400), x) == pytest.approx(0.5, abs=0.1)
    assert np.isnan(explained(x[:6, 0], x[:6]))


def test_places_are_from_the_greatest_on():
    values = np.array([[3.0, 1.0], [np.nan, 2.0], [3.0, 2.0], [7.0, np.nan]])
    np.testing.assert_array_equal(descending_ranks(values, axis=0), [[2, 3], [0, 1], [2, 1], [1, 0]])
    np.testing.assert_array_equal(descending_ranks(values.T, axis=1), [[2, 0, 2, 1], [3, 1, 1, 0]])


def test_ranks_and_their_squares_by_hand():
    values = np.array([[3.0, 1.0], [10.0, 1.0], [7.0, np.nan], [8.0, 2.0], [-1.0, 5.0]])
    ranks = np.array([[-0.5, -5 / 6 + 1 / 6], [1, -5 / 6 + 1 / 6], [0, np.nan], [0.5, 1 / 3], [-1, 1]])
    np.testing.assert_allclose(ranks_and_squares(values), np.concatenate([ranks, ranks**2], axis=1))
    np.testing.assert_allclose(ranks_and_squares(np.exp(values)), ranks_and_squares(values))
