"""Text that a spreadsheet would run as a formula: harmless in a CSV file, and unchanged when the file is read back."""

from __future__ import annotations

import re
from collections.abc import Callable

import pandas as pd

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_DEFUSED = re.compile(r"'+[=+\-@\t\r]")


def defused(table: pd.DataFrame) -> pd.DataFrame:
    """A table with an apostrophe in front of every text that a spreadsheet would take for a formula.

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
    """A table with a change of every cell of text; each different text of a column is changed once."""
    changed: dict[str, pd.Series] = {}
    for name in table:
        column = table[name]
        if pd.api.types.is_numeric_dtype(column):
            continue
        texts = {text: change(text) for text in column.unique() if isinstance(text, str)}
        texts = {text: new for text, new in texts.items() if new != text}
        if texts:
            cells = column.astype(object)
            cells = cells.map(texts).where(cells.isin(list(texts)), cells)
            changed[str(name)] = cells if isinstance(column.dtype, pd.CategoricalDtype) else cells.astype(column.dtype)
    return table.assign(**changed) if changed else table
