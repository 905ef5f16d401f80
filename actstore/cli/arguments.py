"""Values on a command line: parsers of numbers and paths, with the error messages that settings files have.

The bounds themselves are in `bounds.py`.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from actstore import bounds
from actstore.errors import SettingError

_WHOLE = re.compile(r"[+-]?[0-9]+")
_LONGEST = 30
"""Characters of a wrong value that a message repeats."""


def whole(key: str, lowest: int | None = None, highest: int | None = None) -> Callable[[str], int]:
    """A parser of whole numbers from `lowest` to `highest`, or of all where either is None; `key` names the setting."""

    def parse(text: str) -> int:
        if not _WHOLE.fullmatch(text):
            raise argparse.ArgumentTypeError(f"{_short(text)} is not a whole number")
        if len(text) > bounds.LONGEST_INTEGER:
            raise argparse.ArgumentTypeError(f"{key} has more than {bounds.LONGEST_INTEGER:,} digits")
        if lowest is not None and highest is not None:
            with_bounds(bounds.check, key, int(text), lowest, highest)
        return int(text)

    return parse


def number(text: str) -> float:
    """Parse a number, whole or not."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{_short(text)} is not a number; write 1% as 0.01") from None


def fraction(key: str) -> Callable[[str], float]:
    """A parser of shares above 0 and up to 1."""

    def parse(text: str) -> float:
        value = number(text)
        with_bounds(bounds.check_fraction, key, value)
        return value

    return parse


def place(text: str) -> Path:
    """Parse a path; an empty one is refused, as it would mean the current folder."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError("the path is empty or holds a null byte; write . for the current folder")
    return Path(text)


def with_bounds(check: Callable[..., None], *values: object) -> None:
    """Run a check of `bounds`, and raise its refusal as an error of the argument."""
    try:
        check(*values)
    except SettingError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _short(text: str) -> str:
    return repr(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")
