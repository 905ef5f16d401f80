"""JSON records of text files, within bounds, with text that can be stored.

Owns what any record may hold; its users know which fields it needs.
"""

from __future__ import annotations

import json
import re
from typing import Any

from actstore import bounds

HALF_CHARACTER = "has half a character (a lone surrogate); mend its \\u escapes"
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_TOO_DEEP = f"nests deeper than {bounds.DEEPEST_JSON} levels; make the record flat"
_TOO_LONG = f"has an integer of more than {bounds.LONGEST_INTEGER:,} digits; write it as text"


class RecordError(ValueError):
    """Why a record is refused; the message continues one that begins with the record's location."""


def _integer(digits: str) -> int:
    if len(digits) > bounds.LONGEST_INTEGER:
        raise RecordError(_TOO_LONG)
    return int(digits)


_DECODER = json.JSONDecoder(parse_int=_integer)


def parse(line: str) -> Any:
    """The value of a line of JSON.

    Raises
    ------
    RecordError
        If it nests too deep, or an integer is too long.
    ValueError
        If it is not JSON.
    """
    try:
        record = _DECODER.decode(line)
    except RecursionError:
        raise RecordError(_TOO_DEEP) from None
    if not _is_flat(record):
        raise RecordError(_TOO_DEEP)
    return record


def _is_flat(record: Any) -> bool:
    """Whether arrays and objects nest no deeper than `bounds.DEEPEST_JSON`."""
    level = [record]
    for _ in range(bounds.DEEPEST_JSON + 1):
        level = [value for value in level if isinstance(value, (dict, list))]
        if not level:
            return True
        level = [item for value in level for item in (value.values() if isinstance(value, dict) else value)]
    return False


def check_characters(text: str) -> None:
    """Refuse text with half a character, which cannot be stored or tokenised.

    Raises
    ------
    RecordError
        If it has one.
    """
    if _LONE_SURROGATE.search(text):
        raise RecordError(HALF_CHARACTER)
