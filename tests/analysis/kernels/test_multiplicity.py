from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import false_discovery_control

from analysis.kernels.multiplicity import benjamini_hochberg

P = st.floats(0, 1)


def test_by_hand():
    """p(i) m / i, and the least of those that follow."""
    np.testing.assert_allclose(benjamini_hochberg([0.04, 0.01, 0.03, 0.9]), [0.16 / 3, 0.04, 0.16 / 3, 0.9])


@given(arrays(np.float64, st.integers(1, 40), elements=P))
def test_scipy_agrees_and_ranks_stay(p):
    q = benjamini_hochberg(p)
    np.testing.assert_array_equal(q, false_discovery_control(p))
    assert (np.diff(q[np.argsort(p, kind="stable")]) >= 0).all()
    assert (q >= p).all()
    assert (q <= 1).all()


@given(arrays(np.float64, st.integers(1, 30), elements=P), st.integers(0, 3))
def test_nan_is_no_test(p, n_missing):
    with_nan = np.concatenate([p, np.full(n_missing, np.nan)])
    q = benjamini_hochberg(with_nan)
    np.testing.assert_array_equal(q[: len(p)], benjamini_hochberg(p))
    assert np.isnan(q[len(p) :]).all()


def test_shape_is_kept_and_input_untouched():
    p = np.random.default_rng(0).random((2, 3, 4))
    before = p.copy()
    np.testing.assert_array_equal(benjamini_hochberg(p).ravel(), benjamini_hochberg(p.ravel()))
    np.testing.assert_array_equal(p, before)
    assert np.isnan(benjamini_hochberg(np.full((2, 2), np.nan))).all()
    assert benjamini_hochberg([]).shape == (0,)
    assert benjamini_hochberg(0.2) == 0.2
