"""How much is taken from a file or a setting before it is refused: every bound, once.

Each bound is far above what texts and studies need and far below what a machine can carry.
Imports nothing but the errors. How long the hub is waited for is in `hub.py`.
"""

from __future__ import annotations

from actstore.errors import SettingError

LONGEST_LINE = 16 * 2**20
"""Bytes of a line of a text file, unpacked."""
LONGEST_DOCUMENT = 8 * 2**20
"""Characters of a document; tokenising takes some 250 bytes of memory for each."""
HELD_TEXT = 8 * 2**20
"""Characters of documents that are held while they are drawn by seed; a smaller corpus is read once."""
MOST_READINGS = 64
"""Readings of a corpus while its documents are drawn by seed; a larger share of it is held instead."""
FREE_UNPACKING = 16 * 2**20
"""Bytes that a packed file may unpack to, whatever its size."""
UNPACKING_RATIO = 200
"""Bytes that each byte of a packed file may unpack to beyond that; text gives 3 to 10, a bomb 1,000."""
MOST_MEMBERS = 100_000
"""Files in a .zip."""
DEEPEST_JSON = 64
"""Arrays and objects within each other in a JSON record."""
LONGEST_INTEGER = 4_300
"""Digits of an integer in a JSON record: what Python reads."""
LARGEST_PICKLE = 64 * 2**20
"""Bytes of a file of pickled templates."""
TOKENLESS_DOCUMENTS = 1_000
"""Documents without a token, one after another, before the tokenizer is given up."""
TOKENIZING_SECONDS = 60.0
"""Seconds that a tokenizer may take for a document, and one more for every `TOKENIZING_RATE` characters."""
TOKENIZING_RATE = 50_000
"""Characters a second; tokenizers do a million."""
MOST_TOKENS = 100_000_000
"""Tokens of a text; the labels of all are held in memory, some 600 bytes each."""
SMALLEST_WINDOW = 2
"""Tokens of a window: BOS and one more."""
MOST_DRAWS = 1_000
"""Random draws of a cohort or selection."""
MOST_GROUPS = 1_000
"""Groups of layers."""
MOST_ITEMS = 1_000_000
"""Pairs of a paradigm or items of a task."""
LARGEST_SEED = 2**63 - 1
"""What a store can write down."""


def check(key: str, value: int, lowest: int, highest: int) -> None:
    """Refuse a setting outside its bounds, both of which are allowed.

    Raises
    ------
    SettingError
        If it is.
    """
    if not lowest <= value <= highest:
        raise SettingError(key, f"{key} must be {lowest:,} to {highest:,}, got {_short(value)}")


def check_window(window: int) -> None:
    """Refuse a window that holds no text.

    Raises
    ------
    SettingError
        If it does.
    """
    if window < SMALLEST_WINDOW:
        raise SettingError(
            "window", f"window must be {SMALLEST_WINDOW} or more, as it holds BOS and a token, got {_short(window)}"
        )


def _short(value: int) -> str:
    return str(value) if abs(value) < 10**20 else "a number of more than 20 digits"
