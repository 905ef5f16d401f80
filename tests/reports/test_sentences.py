"""No sentence says more than its interval does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.sentences import (
    are_disjoint,
    effect,
    excludes,
    excluding,
    interval,
    largest_first,
    listed,
    number,
    p_value,
    sentence,
)


def row(estimate, lower, upper, name="delta"):
    return pd.Series({name: estimate, f"{name}_lower": lower, f"{name}_upper": upper})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.2, 0.1, 0.3), "x raises accuracy: +0.200 [+0.100, +0.300]"),
        ((-0.2, -0.3, -0.1), "x lowers accuracy: −0.200 [−0.300, −0.100]"),
        ((0.2, -0.1, 0.3), "there is no evidence that accuracy changes under x: +0.200 [−0.100, +0.300]"),
        ((0, 0, 0), "nothing in accuracy changes under x: +0.000 (the same in every cluster)"),
        (
            (0.2, np.nan, np.nan),
            "there is no telling whether accuracy changes under x, from a single cluster: +0.200 (no interval)",
        ),
    ],
)
def test_effects_are_hedged_by_their_interval(values, expected):
    assert effect(row(*values), "delta", 0, "accuracy", "x") == expected


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_change_is_claimed_only_where_the_interval_excludes_none(estimate, below, above):
    change = row(estimate, estimate - below, estimate + above)
    text = effect(change, "delta", 0, "it", "x")
    assert (" raises " in text or " lowers " in text) == (excludes(change, "delta", 0))
    if " raises " in text:
        assert change["delta_lower"] > 0


def test_numbers():
    assert number(0.12345) == "0.123"
    assert number(-2.5, 2, signed=True) == "−2.50"
    assert number(0.00001234) == "0.00001"
    assert number(0) == "0.000"
    assert number(np.nan) == "–"
    assert interval(row(1.5, 1.25, 1.75, "ratio"), "ratio", 2) == "1.50 [1.25, 1.75]"
    assert interval(pd.Series({"a": 1.0, "l": 0.5, "h": 2.0}), "a", 1, ("l", "h"), signed=True) == "+1.0 [+0.5, +2.0]"


def test_disjoint_intervals_do_not_overlap():
    assert are_disjoint(row(1, 0.9, 1.1), row(2, 1.2, 3), "delta")
    assert not are_disjoint(row(1, 0.9, 1.3), row(2, 1.2, 3), "delta")


def test_rows_whose_interval_excludes_the_reference_by_size():
    rows = pd.DataFrame([row(0.2, 0.1, 0.3), row(-0.5, -0.6, -0.4), row(0.9, -0.1, 2), row(1, np.nan, np.nan)])
    changed = excluding(rows, "delta", 0)
    assert changed["delta"].tolist() == [0.2, -0.5]
    assert largest_first(changed, "delta")["delta"].tolist() == [-0.5, 0.2]


def test_words():
    assert [p_value(p) for p in (0.0001, 0.0123, 0.5, np.nan)] == ["p < 0.001", "p = 0.012", "p = 0.50", "no test"]
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed([]) == ""
    assert sentence("it is.") == "It is."
    assert sentence("it is") == "It is."
