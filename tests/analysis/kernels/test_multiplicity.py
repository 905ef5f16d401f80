from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import false_discovery_control

from analysis.kernels.multiplicity import benjamini_hochberg, holm

P = st.floats(0, 1)


def test_by_hand():
    """p(i) m / i, and the least of those that follow."""
    np.testing.assert_allclose(benjamini_hochberg([0.04, 0.01, 0.03, 0.9]), [0.16 / 3, 0.04, 0.16 / 3, 0.9])


def test_holm_by_hand():
    """p(i) (m + 1 − i), and the greatest of those before; never above 1."""
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03, 0.9]), [0.09, 0.04, 0.09, 0.9])
    np.testing.assert_allclose(holm([0.5, 0.6]), [1, 1])


@given(arrays(np.float64, st.integers(1, 40), elements=P))
def test_scipy_agrees_and_ranks_stay(p):
    q = benjamini_hochberg(p)
    np.testing.assert_array_equal(q, false_discovery_control(p))
    assert (np.diff(q[np.argsort(p, kind="stable")]) >= 0).all()
    assert (q >= p).all()
    assert (q <= 1).all()


@pytest.mark.parametrize("correct", [benjamini_hochberg, holm])
@given(p=arrays(np.float64, st.integers(1, 30), elements=P), n_missing=st.integers(0, 3))
def test_nan_is_no_test(correct, p, n_missing):
    with_nan = np.concatenate([p, np.full(n_missing, np.nan)])
    q = correct(with_nan)
    np.testing.assert_array_equal(q[: len(p)], correct(p))
    assert np.isnan(q[len(p) :]).all()


@pytest.mark.parametrize("correct", [benjamini_hochberg, holm])
def test_the_shape_stays_and_the_input_is_untouched(correct):
    p = np.random.default_rng(0).random((2, 3, 4))
    before = p.copy()
    np.testing.assert_array_equal(correct(p).ravel(), correct(p.ravel()))
    np.testing.assert_array_equal(p, before)
    assert np.isnan(correct(np.full((2, 2), np.nan))).all()
    assert correct([]).shape == (0,)
    assert correct(0.2) == 0.2
