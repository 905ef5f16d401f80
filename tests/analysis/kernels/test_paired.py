from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest

from analysis.kernels.paired import least_p_value, sign_flip_test


def test_equal_changes_give_the_exact_binomial():
    assert sign_flip_test([1] * 9 + [-1] * 2 + [0] * 50) == pytest.approx(binomtest(9, 11).pvalue)
    assert sign_flip_test(np.array([0.1] * 6 + [-0.1])) == pytest.approx(binomtest(6, 7).pvalue)


def test_nothing_changed():
    assert sign_flip_test([]) == 1
    assert sign_flip_test([0, 0]) == 1


def test_unequal_changes_agree_with_all_sign_patterns():
    values = np.array([0.5, 1, 1.5, -0.2, 2, 0.7, -1, 0.3])
    signs = np.array(list(itertools.product((-1, 1), repeat=8)))
    exact = np.mean(np.abs(signs @ values) >= abs(values.sum()) - 1e-12)
    assert sign_flip_test(values) == pytest.approx(exact, abs=1e-12), "all patterns are fewer than the tosses"
    assert sign_flip_test(values, n_flips=200) == pytest.approx(exact, abs=0.08)


@pytest.mark.parametrize("n_clusters", [1, 2, 5, 9, 30])
def test_no_outcome_is_below_the_least_p(n_clusters):
    """Reached where every cluster loses, by equal changes and by unequal ones."""
    least = least_p_value(n_clusters)
    assert sign_flip_test(np.ones(n_clusters)) == pytest.approx(least)
    if n_clusters < 14:
        assert sign_flip_test(np.arange(n_clusters) + 1.0) == pytest.approx(least)
    assert (least > 0.05) == (n_clusters < 6)


def test_the_null_is_rejected_at_its_rate():
    rng = np.random.default_rng(0)
    p = [sign_flip_test(rng.normal(size=30), n_flips=499, seed=i) for i in range(600)]
    assert abs(np.mean(np.array(p) <= 0.05) - 0.05) < 0.022
