from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actstore import bounds
from actstore.text.json_records import RecordError, check_characters, parse

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(JSON)
def test_records_equal_those_of_json(value):
    assert parse(json.dumps(value)) == json.loads(json.dumps(value))


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_nesting_is_bounded(opening, closing):
    n = bounds.DEEPEST_JSON // len(opening.replace('"a":', ""))
    parse(opening * n + "1" + closing * n)
    for depth in (n + 1, 500, 100_000):
        with pytest.raises(RecordError, match="nests deeper than 64 levels"):
            parse(opening * depth + "1" + closing * depth)


def test_digits_are_bounded():
    assert parse('{"id": ' + "9" * 4300 + "}")["id"] % 10 == 9
    with pytest.raises(RecordError, match="integer of more than 4,300 digits"):
        parse('{"id": ' + "9" * 5000 + "}")


def test_half_a_character_is_refused():
    check_characters("a 🙂 b")
    with pytest.raises(RecordError, match="half a character"):
        check_characters("a \ud83d b")
