"""Text in CSV files that a spreadsheet would run as a formula: made harmless in the file, as it was when read back."""

from __future__ import annotations

import re
from collections.abc import Callable

import pandas as pd

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_DEFUSED = re.compile(r"'+[=+\-@\t\r]")


def defused(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose text no spreadsheet takes for a formula: such cells get an apostrophe in front.

    Examples
    --------
    >>> table = pd.DataFrame({"form": ["=1+1", "-", "word", "'-"], "n": [-1, 2, 3, 4]})
    >>> defused(table)["form"].tolist()
    ["'=1+1", "'-", 'word', "''-"]
    >>> restored(defused(table)).equals(table)
    True
    """
    return _changed(table, lambda cell: f"'{cell}" if _FORMULA.match(cell) else cell)


def restored(table: pd.DataFrame) -> pd.DataFrame:
    """The table that `defused` made harmless."""
    return _changed(table, lambda cell: cell[1:] if _DEFUSED.match(cell) else cell)


def _changed(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """With a change of every cell of text, done once for each of a column's different texts."""
    columns: dict[str, pd.Series] = {}
    for name in table:
        column = table[name]
        if pd.api.types.is_numeric_dtype(column):
            continue
        texts = {cell: change(cell) for cell in column.unique() if isinstance(cell, str)}
        texts = {before: after for before, after in texts.items() if before != after}
        if texts:
            plain = column.astype(object)
            changed = plain.map(texts).where(plain.isin(list(texts)), plain)
            columns[str(name)] = changed if isinstance(column.dtype, pd.CategoricalDtype) else changed.astype(column.dtype)
    return table.assign(**columns) if columns else table
