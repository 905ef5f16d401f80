"""Checks of a table of words that comes from a file; `analysis.surprisal.words` makes such tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from actstore.errors import StoreError

_TEXTS = ("condition", "intervention", "cohort", "rule", "word_form", "word_type")
_OPTIONAL_TEXTS = ("upos", "word_class", "deprel", "statistic", "scope", "chosen_at", "target_scope", "controls")
_LEAST = {
    "checkpoint": -1,
    "first_layer": 0,
    "last_layer": 0,
    "n_seeds": 1,
    "word": 0,
    "document": 0,
    "sentence": -1,
    "position": 0,
    "n_pieces": 1,
}
_NUMBERS = ("fraction", "delta", "surprisal", "intact_surprisal", "log_frequency")
_ROW = ["checkpoint", "condition", "word"]
_PRINTED = 1e-6
"""Largest rounding error, in nats, of a printed difference against the difference of two printed numbers."""


def check_words(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table of words of a file, if it could be one of `analysis.surprisal_table`.

    Parameters
    ----------
    table : DataFrame
        One row a word and condition.
    path : Path
        The file, for the message.

    Raises
    ------
    StoreError
        If a column is missing or holds another kind of value, a number is missing or out of its
        range, a word has two rows under one condition, or `delta` is not the difference of the two surprisals.
    """
    problem = next(_problems(table), None)
    if problem is not None:
        raise StoreError(f"{path} is no table of words: {problem}; write it again by `actstore surprisal --store`")
    return table


def _problems(table: pd.DataFrame) -> Iterator[str]:
    """All problems, one by one; a check may rely on those before it."""
    missing = [name for name in (*_TEXTS, *_OPTIONAL_TEXTS, *_LEAST, *_NUMBERS) if name not in table]
    if missing:
        yield f"it lacks {', '.join(missing)}"
    if table.empty:
        yield "it has no row"
    yield from _problems_of_columns(table)
    if table.duplicated(_ROW).any():
        yield "a word has two rows under one condition"
    if (table["surprisal"] - table["intact_surprisal"] - table["delta"]).abs().max() > _PRINTED:
        yield "delta is not surprisal less intact_surprisal"


def _problems_of_columns(table: pd.DataFrame) -> Iterator[str]:
    """Values that are missing, of another kind, or out of range."""
    for name in _TEXTS:
        if table[name].isna().any():
            yield f"{name} must be there in every row"
    for name, least in _LEAST.items():
        if not pd.api.types.is_integer_dtype(table[name]) or table[name].min() < least:
            yield f"{name} must be a whole number from {least} in every row"
    for name in _NUMBERS:
        if not pd.api.types.is_numeric_dtype(table[name]) or not np.isfinite(table[name].to_numpy(float)).all():
            yield f"{name} must be a finite number in every row"
