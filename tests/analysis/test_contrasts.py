"""The columns of a contrast are those of a t-test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t, ttest_1samp

from actstore.errors import ActstoreError
from analysis.contrasts import COLUMNS, contrast_columns
from analysis.kernels.clusters import Clusters


def test_columns_of_a_mean():
    values = np.random.default_rng(0).normal(0.4, 1, 25)
    columns = contrast_columns(Clusters.of(np.arange(25)).estimate(values[None]))
    expected, error = ttest_1samp(values, 0), values.std(ddof=1) / 5
    interval = expected.confidence_interval()
    assert tuple(columns) == COLUMNS
    bound = abs(values.mean()) + t.ppf(0.95, 24) * error
    detectable = (t.ppf(0.975, 24) + t.ppf(0.8, 24)) * error
    known = [values.mean(), interval.low, interval.high, expected.pvalue, bound, detectable]
    assert list(columns.values()) == pytest.approx(known)


def test_without_an_interval_there_is_the_estimate_alone():
    columns = contrast_columns(Clusters.of(np.zeros(4, int)).estimate(np.arange(4.0)[None]))
    assert columns.pop("estimate") == 1.5
    assert np.isnan(list(columns.values())).all()


def test_several_estimates_have_no_columns():
    with pytest.raises(ActstoreError, match="one contrast are asked of 2"):
        contrast_columns(Clusters.of(np.arange(4), np.array([0, 0, 1, 1])).estimate(np.arange(4.0)[None]))
