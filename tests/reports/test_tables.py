"""What a table of the page shows, and the numbers that it is sorted by."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from reports.tables import Cell, _cell


@pytest.mark.parametrize(
    ("row", "name", "cell"),
    [
        ({"x": 0.12345}, "x", Cell("0.123", 0.12345)),
        ({"x": 12345}, "x", Cell("12,345", 12345.0)),
        ({"x": "words"}, "x", Cell("words")),
        ({"x": True}, "x", Cell("yes", 1.0)),
        ({"p": 0.0001}, "p", Cell("< 0.001", 0.0001)),
        ({"x": 0.5, "x_lower": 0.4, "x_upper": 0.6}, "x", Cell("0.500 [0.400, 0.600]", 0.5)),
        ({"x_lower": -0.4, "x_upper": 0.6}, "x", Cell("[−0.400, +0.600]", -0.4)),
        ({"is_matched": 1}, "is_matched", Cell("yes", 1.0)),
    ],
)
def test_cells(row, name, cell):
    assert _cell(pd.Series(row), name) == cell


@pytest.mark.parametrize(
    ("row", "name", "text"),
    [
        ({"x": np.nan}, "x", ""),
        ({"x": None}, "x", ""),
        ({"x": np.inf}, "x", "–"),
        ({"x_lower": np.nan, "x_upper": np.nan}, "x", "[–, –]"),
        ({"is_matched": -1}, "is_matched", "–"),
    ],
)
def test_gaps_have_no_number_to_sort_by(row, name, text):
    cell = _cell(pd.Series(row), name)
    assert cell.text == text
    assert math.isnan(cell.value)
