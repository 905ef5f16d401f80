from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from analysis.kernels.moments import Moments, moments


@given(arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(4, 60)), elements=st.floats(-100, 100)))
def test_scipy_agrees(values):
    varied = np.ptp(values, axis=1) > 1e-2
    result = Moments(*(column[varied] for column in moments(values)))
    samples = values[varied]
    np.testing.assert_allclose(result.mean, samples.mean(axis=1), atol=1e-9)
    np.testing.assert_allclose(result.std, samples.std(axis=1), rtol=1e-9)
    np.testing.assert_allclose(result.skewness, stats.skew(samples, axis=1), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(result.excess_kurtosis, stats.kurtosis(samples, axis=1), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(result.negative_frac, (samples < 0).mean(axis=1))
    n = samples.shape[1]
    g1, g2 = stats.skew(samples, axis=1, bias=False), stats.kurtosis(samples, axis=1, bias=False)
    expected = (g1**2 + 1) / (g2 + 3 * (n - 1) ** 2 / ((n - 2) * (n - 3)))
    np.testing.assert_allclose(result.bimodality_coefficient, expected, rtol=1e-5, atol=1e-6)


def test_known_distributions():
    rng = np.random.default_rng(0)
    n = 400_000
    uniform, exponential = rng.random(n), rng.exponential(size=n)
    two = np.repeat([-1.0, 1.0], n // 2)
    result = moments(np.stack([uniform, exponential, two]))
    np.testing.assert_allclose(result.skewness, [0, 2, 0], atol=0.03)
    np.testing.assert_allclose(result.excess_kurtosis, [-1.2, 6, -2], atol=0.2)
    np.testing.assert_allclose(result.bimodality_coefficient, [5 / 9, 5 / 9, 1], atol=0.02)


def test_zero_variance_has_no_shape():
    result = moments(np.full((1, 10), 3.3, np.float16))
    assert result.std[0] == 0
    assert np.isnan([result.skewness[0], result.excess_kurtosis[0], result.bimodality_coefficient[0]]).all()


def test_the_axis_is_reduced_whichever_it_is():
    values = np.random.default_rng(1).gamma(2.0, size=(5, 30, 4)).astype(np.float32)
    for axis in (0, 1, 2):
        np.testing.assert_allclose(moments(values, axis).std, values.astype(float).std(axis=axis), rtol=1e-6)


def test_fewer_than_two_values():
    with pytest.raises(ValueError, match="at least two"):
        moments([[1.0]])
