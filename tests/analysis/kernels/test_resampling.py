from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from analysis.kernels.resampling import jackknife_reach, mean_replicates


def test_percentiles_of_a_linear_function_are_its_t_interval():
    values = np.random.default_rng(0).gamma(2, size=(5, 3))
    weights = np.array([1.0, -2.0, 0.5])
    replicates = mean_replicates(values, 100_000, np.random.default_rng(1)) @ weights
    of_units = values @ weights
    reach = t.ppf(0.975, 4) * of_units.std(ddof=1) / np.sqrt(5)
    np.testing.assert_allclose(
        np.quantile(replicates, [0.025, 0.975]), of_units.mean() + reach * np.array([-1, 1]), atol=0.03 * reach
    )


def test_units_that_are_alike_have_replicates_that_are_alike():
    np.testing.assert_allclose(mean_replicates(np.full((4, 2), 3.0), 10, np.random.default_rng(0)), 3.0)


def test_the_jackknife_of_a_mean_is_its_t_interval():
    values = np.random.default_rng(2).normal(size=17)
    assert jackknife_reach(lambda units: values[units].mean(), 17) == pytest.approx(
        t.ppf(0.975, 16) * values.std(ddof=1) / np.sqrt(17)
    )


def test_groups_left_out_together_give_the_same_error():
    values = np.random.default_rng(3).normal(size=4000)
    assert jackknife_reach(lambda units: values[units].mean(), 4000) == pytest.approx(1.96 / np.sqrt(4000), rel=0.35)


def test_a_function_that_is_not_defined_without_a_unit_has_no_interval():
    assert np.isnan(jackknife_reach(lambda units: 1.0 if 3 in units else np.nan, 6))
