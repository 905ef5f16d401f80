"""What a file or a setting may hold before it is refused: every bound, once, and the words of the refusal.

Each bound is far above what texts and studies need and far below what a machine can carry.
Imports nothing but the errors. How long the hub is waited for is in `hub/`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection

from actstore.errors import SettingError, UnknownNameError

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
ALL = "all"
"""In place of a number of tokens: the whole corpus."""
AUTO = "auto"
"""In place of a share of neurons: one that fits the size of the layers."""
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
MOST_NEIGHBOURS = 1_000
"""Nearest neighbours of a token."""
MOST_REPLICATES = 100_000
"""Replicates of a bootstrap."""
MOST_WORKERS = 1_000_000
"""Shares of a run."""
LARGEST_STEP = 2**63 - 1
"""Training steps."""
COMPUTE_DTYPES = ("float32", "bfloat16", "float16")
"""Names of the dtypes of a model's arithmetic."""
DEVICE = re.compile(r"(cpu|cuda|mps|xpu)(:[0-9]{1,4})?")
"""Names of devices that hold values; whether this machine has one is asked when it is used."""
EXAMPLE_SITE = "model.layers.{layer}.mlp.gate_proj"
"""A pattern of modules, as messages show it."""
DOCUMENTS = ("file", "article", "section", "paragraph", "line")
"""What a document of plain text may be."""
STORED_DTYPES = ("float16", "float32")
"""Names of the dtypes of stored activations."""


def check(key: str, value: int, lowest: int, highest: int) -> None:
    """Refuse a setting outside its bounds, both of which are allowed.

    Raises
    ------
    SettingError
        If it is.
    """
    if not lowest <= value <= highest:
        raise SettingError(key, f"{key} must be {lowest:,} to {highest:,}, got {_short(value)}")


def between(lowest: int, highest: int) -> Callable[[str, int], None]:
    """The check of a setting that has these bounds, both of which are allowed."""
    return lambda key, value: check(key, value, lowest, highest)


def check_tokens(key: str, value: int | str) -> None:
    """Refuse a number of tokens outside its bounds, and a word that is not `all`.

    Raises
    ------
    SettingError
        If it is.
    """
    if value != ALL and (isinstance(value, str) or not 1 <= value <= MOST_TOKENS):
        text = repr(value) if isinstance(value, str) else _short(value)
        raise SettingError(key, f"{key} must be 1 to {MOST_TOKENS:,}, or {ALL}, got {text}")


def check_window(key: str, window: int) -> None:
    """Refuse a window that holds no text.

    Raises
    ------
    SettingError
        If it does.
    """
    if window < SMALLEST_WINDOW:
        text = f"{key} must be {SMALLEST_WINDOW} or more, as it holds BOS and a token, got {_short(window)}"
        raise SettingError(key, text)


def check_fraction(key: str, value: float) -> None:
    """Refuse a share that is none, more than all, or not a number.

    Raises
    ------
    SettingError
        If it is.
    """
    if not 0 < value <= 1:
        raise SettingError(key, f"{key} must be above 0 and at most 1, got {value:g}")


def check_fraction_or_auto(key: str, value: float | str) -> None:
    """Refuse a share that is neither `auto` nor above 0 and at most 1.

    Raises
    ------
    SettingError
        If it is.
    """
    if isinstance(value, str) and value != AUTO:
        raise SettingError(key, f"{key} must be above 0 and at most 1, or {AUTO}, got {value!r}")
    if not isinstance(value, str):
        check_fraction(key, value)


def check_above_zero(key: str, value: float) -> None:
    """Refuse what is not above 0, infinite, or not a number.

    Raises
    ------
    SettingError
        If it is.
    """
    if not 0 < value < math.inf:
        raise SettingError(key, f"{key} must be above 0 and finite, got {value:g}")


def check_choice(key: str, value: str, choices: Collection[str]) -> None:
    """Refuse a name that is none of the choices.

    Raises
    ------
    SettingError
        If it is.
    """
    if value not in choices:
        raise SettingError(key, str(UnknownNameError(key, value, choices)))


def check_device(key: str, device: str) -> None:
    """Refuse what names no device.

    Raises
    ------
    SettingError
        If it does not.
    """
    if DEVICE.fullmatch(device) is None:
        raise SettingError(key, f"{key} must be cpu, cuda, cuda:1, mps or xpu, got {device!r}")


def check_site(key: str, site: str) -> None:
    """Refuse a pattern of modules that does not say where the block's number stands.

    Raises
    ------
    SettingError
        If it does not.
    """
    if "{layer}" not in site:
        text = f"{key} must have {{layer}} where the block's number stands, e.g. {EXAMPLE_SITE}; got {site!r}"
        raise SettingError(key, text)


def _short(value: int) -> str:
    return str(value) if abs(value) < 10**20 else "a number of more than 20 digits"
