"""Verdicts by rule: every order of the bounds and zero, and every set of main contrasts."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.claims.verdict import CONTRARY, NO_EVIDENCE, NOT_TESTED, SUPPORTED, VERDICTS, verdict, verdict_of_claim

finite = st.floats(-1e6, 1e6)


@given(finite, finite, st.sampled_from([1, -1]))
def test_exactly_the_side_of_zero_decides(a, b, sign):
    lower, upper = sorted((a, b))
    outcome = verdict(lower, upper, sign)
    is_above, is_below = lower > 0, upper < 0
    assert (outcome == NO_EVIDENCE) == (not is_above and not is_below)
    assert (outcome == SUPPORTED) == (is_above if sign > 0 else is_below)
    assert verdict(-upper, -lower, -sign) == outcome
    mirrored = {SUPPORTED: CONTRARY, CONTRARY: SUPPORTED}
    assert verdict(lower, upper, -sign) == mirrored.get(outcome, outcome)


@pytest.mark.parametrize("bounds", [(float("nan"), 1.0), (1.0, float("nan")), (float("nan"), float("nan"))])
def test_without_an_interval_nothing_is_tested(bounds):
    assert verdict(*bounds, 1) == NOT_TESTED


def test_an_interval_that_touches_zero_is_no_evidence():
    assert verdict(0.0, 1.0, 1) == verdict(0.0, 0.0, 1) == NO_EVIDENCE


def test_a_claim_is_as_strong_as_its_weakest_main_contrast():
    for verdicts in product(VERDICTS, repeat=3):
        outcome = verdict_of_claim(verdicts)
        assert (outcome == SUPPORTED) == (set(verdicts) == {SUPPORTED})
        assert (outcome == CONTRARY) == (CONTRARY in verdicts)
        assert outcome in verdicts
    assert verdict_of_claim([]) == NOT_TESTED
