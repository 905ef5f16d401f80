"""What a table of words must hold when it comes from a file.

Owns the checks; the table itself is made by `analysis.surprisal.words`.
"""

from __future__ import annotations

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
"""Nats by which a difference of two printed numbers may miss the printed difference."""


def check_words(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table of words of a file, if its columns hold what `analysis.surprisal_table` puts there.

    Parameters
    ----------
    table : DataFrame
        One row a word and condition.
    path : Path
        Of the file, for the message.

    Raises
    ------
    StoreError
        If a column is missing or holds another kind of value, a number is missing or out of its
        range, a word is there twice, or `delta` is not the difference of the two surprisals.
    """

    def refuse(reason: str) -> StoreError:
        return StoreError(f"{path} is no table of words: {reason}; write it again by `actstore surprisal --store`")

    missing = [name for name in (*_TEXTS, *_OPTIONAL_TEXTS, *_LEAST, *_NUMBERS) if name not in table]
    if missing:
        raise refuse(f"it lacks {', '.join(missing)}")
    if table.empty:
        raise refuse("it has no row")
    for name in _TEXTS:
        if table[name].isna().any():
            raise refuse(f"{name} must be there in every row")
    for name, least in _LEAST.items():
        if not pd.api.types.is_integer_dtype(table[name]) or table[name].min() < least:
            raise refuse(f"{name} must be a whole number from {least} in every row")
    for name in _NUMBERS:
        if not pd.api.types.is_numeric_dtype(table[name]) or not np.isfinite(table[name].to_numpy(float)).all():
            raise refuse(f"{name} must be a finite number in every row")
    if table.duplicated(_ROW).any():
        raise refuse("a word has two rows under one condition")
    if (table["surprisal"] - table["intact_surprisal"] - table["delta"]).abs().max() > _PRINTED:
        raise refuse("delta is not surprisal less intact_surprisal")
    return table
