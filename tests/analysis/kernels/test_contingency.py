"""Independence by exact moments: against permutations, against SciPy, under the null."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from analysis.kernels.contingency import independence_p_value


def table(a, b):
    return np.bincount(a * (b.max() + 1) + b, minlength=(a.max() + 1) * (b.max() + 1)).reshape(a.max() + 1, -1)


def test_large_balanced_counts_give_the_usual_p_value():
    counts = np.array([[520, 480, 500], [470, 530, 510]])
    assert independence_p_value(counts) == pytest.approx(chi2_contingency(counts, correction=False).pvalue, rel=0.02)


def test_rare_labels_do_not_reject_too_often():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, 300), np.minimum(rng.geometric(0.15, 300) - 1, 25)
    p = np.array([independence_p_value(table(a, rng.permutation(b))) for _ in range(2000)])
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.015)
    assert (p < 0.5).mean() == pytest.approx(0.5, abs=0.05)


def test_the_p_value_is_that_of_permutations():
    rng = np.random.default_rng(1)
    a = rng.integers(0, 4, 400)
    b = np.where(rng.random(400) < 0.12, a, rng.integers(0, 6, 400))
    n = np.outer(np.bincount(a), np.bincount(b)) / 400

    def statistic(labels):
        return ((table(a, labels) - n) ** 2 / n).sum()

    null = np.array([statistic(rng.permutation(b)) for _ in range(4000)])
    assert independence_p_value(table(a, b)) == pytest.approx((null >= statistic(b)).mean(), abs=0.01)


def test_empty_rows_and_columns_do_not_matter():
    counts = np.array([[8, 2, 5], [3, 9, 4]])
    padded = np.zeros((4, 5), int)
    padded[np.ix_([1, 3], [0, 2, 4])] = counts
    assert independence_p_value(padded) == independence_p_value(counts)


@pytest.mark.parametrize("counts", [np.zeros((2, 2), int), [[5, 5]], [[3], [4]], np.eye(6, dtype=int), [[1, 0], [0, 2]]])
def test_counts_that_say_nothing(counts):
    assert np.isnan(independence_p_value(np.array(counts)))
