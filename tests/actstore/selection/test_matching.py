from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actstore.errors import ActstoreError
from actstore.selection.matching import allowed_difference, match_perplexity


@given(st.integers(1, 3000), st.floats(0.001, 0.5), st.integers(1, 3000))
def test_a_rising_perplexity_is_matched_where_it_can_be(largest, rate, target_size):
    sizes = []

    def measure(size):
        sizes.append(size)
        return 10 * (1 + rate * size)

    target = measure(min(target_size, largest))
    sizes.clear()
    match = match_perplexity(measure, largest, target, 10.0, 1e-9)
    assert match.is_matched
    assert match.size == min(target_size, largest)
    assert match.perplexity == pytest.approx(target)
    assert len(sizes) <= math.log2(largest) + 1
    assert all(1 <= size <= largest for size in sizes)


def test_it_stops_at_the_tolerance():
    sizes = []
    match = match_perplexity(lambda size: sizes.append(size) or 10 + size / 100, 1000, 15.0, 10.0, 0.01)
    assert match.is_matched
    assert abs(match.perplexity / 15 - 1) <= 0.01
    assert sizes == [500]


def test_a_small_rise_is_not_matched_by_doing_nothing():
    """The rise is smaller than the tolerance: the match must still be within a tenth of it."""
    match = match_perplexity(lambda size: 10 + size / 1000, 1000, 10.02, 10.0, 0.01)
    assert match.is_matched
    assert match.perplexity == pytest.approx(10.02, abs=0.002)


@pytest.mark.parametrize(
    ("target", "tolerance", "allowed"), [(20.0, 0.01, 0.2), (10.5, 0.01, 0.05), (10.0, 0.01, 0.0), (9.0, 0.01, 0.0)]
)
def test_the_allowed_difference_is_the_tolerance_or_a_tenth_of_the_rise(target, tolerance, allowed):
    assert allowed_difference(target, 10.0, tolerance) == pytest.approx(allowed)


def test_an_unknown_target_allows_nothing():
    assert math.isnan(allowed_difference(math.nan, 10.0, 0.01))


@pytest.mark.parametrize(
    ("measure", "target", "size"),
    [
        (lambda size: 10 + size / 100, 50.0, 100),  # even the largest control is not enough
        (lambda size: 10 + 5 * size, 12.0, 1),  # one neuron is too much
        (lambda size: 10 + size / 100, 9.0, 1),  # the target is below the baseline
    ],
)
def test_the_nearest_control_is_marked_where_none_matches(measure, target, size):
    match = match_perplexity(measure, 100, target, 10.0, 0.01)
    assert not match.is_matched
    assert match.size == size
    assert match.perplexity == measure(size)


def test_no_finite_perplexity():
    with pytest.raises(ActstoreError, match="not finite with any control"):
        match_perplexity(lambda size: math.inf, 10, 12.0, 10.0, 0.01)
