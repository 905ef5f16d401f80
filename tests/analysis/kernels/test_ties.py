from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analysis.kernels.ties import drawn_order, keyed, rank_of


@given(st.integers(0, 2**32 - 1))
def test_a_difference_of_a_thousandth_orders_and_noise_ties(seed):
    rng = np.random.default_rng(seed)
    stored = rng.normal(size=(2, 200)).astype(np.float16).astype(np.float32)
    gap = np.abs(stored[0] - stored[1])
    values = np.concatenate([gap, gap * (1 + 1e-7 * rng.uniform(-1, 1, 200))]).astype(np.float32)
    keys = keyed(values.copy(), rng.permutation(400))
    assert len(set(keys.tolist())) == 400
    order = np.argsort(keys)
    assert (values[order] * (1 + 2**-10) >= np.maximum.accumulate(values[order])).all()
    cells = keys >> 32
    np.testing.assert_array_equal(cells[:200], cells[200:])


def test_those_that_tie_are_in_the_order_of_their_ranks():
    rank = np.random.default_rng(0).permutation(50)
    keys = np.sort(keyed(np.full(50, 0.3, np.float32), rank))
    np.testing.assert_array_equal(rank_of(keys), np.arange(50))


def test_zero_comes_first_and_infinity_last():
    order = np.argsort(keyed(np.array([1e30, np.inf, 0, 1e-30], np.float32), np.arange(4)))
    assert order.tolist() == [2, 3, 0, 1]


def test_the_order_of_ties_is_drawn_once():
    assert sorted(drawn_order(50)) == list(range(50))
    assert drawn_order(50) is drawn_order(50)
    assert not drawn_order(50).flags.writeable
    assert np.corrcoef(drawn_order(2000), np.arange(2000))[0, 1] ** 2 < 0.01
