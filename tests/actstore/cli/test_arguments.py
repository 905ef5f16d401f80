"""Values on a command line, and the messages that refuse wrong values."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from actstore.cli.arguments import fraction, place, whole


def test_values_within_their_bounds_are_taken():
    assert [whole("n", 1, 8)(text) for text in ("1", "+3", "8")] == [1, 3, 8]
    assert fraction("f")("1") == 1.0
    assert place("a/b") == Path("a/b")


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (whole("seeds", 1, 1000), "-3", r"^seeds must be 1 to 1,000, got -3$"),
        (whole("seeds", 1, 1000), "9" * 21, "a number of more than 20 digits"),
        (whole("seeds", 1, 1000), "9" * 5000, "seeds has more than 4,300 digits"),
        (whole("seeds", 1, 1000), "1e3", "'1e3' is not a whole number"),
        (whole("seeds", 1, 1000), "²", "is not a whole number"),
        (whole("seeds", 1, 1000), "x" * 99, r"^'x{30}…' is not a whole number$"),
        (fraction("fraction"), "nan", "fraction must be above 0 and at most 1, got nan"),
        (fraction("fraction"), "2", "fraction must be above 0 and at most 1, got 2"),
        (fraction("fraction"), "1%", "write 1% as 0.01"),
        (place, "", "the path is empty"),
    ],
)
def test_values_out_of_their_bounds_are_refused(parse, text, message):
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        parse(text)
