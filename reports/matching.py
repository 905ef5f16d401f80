"""Controls that are not matched on perplexity: their mark in figures and tables, and what a caption says of them.

`is_matched` of a row, which `analysis` computes, is 1 for a matched control, 0 for one that is not, −1 for any other cohort.
"""

from __future__ import annotations

import pandas as pd

from reports.sentences import listed

NOT_MATCHED = " (not matched)"


def marked(table: pd.DataFrame, name: str = "cohort") -> pd.DataFrame:
    """The table with a mark after the name of every control that is not matched.

    Parameters
    ----------
    table : DataFrame
        Has `is_matched` and `name`. Where rows compare with a control, it has `against`, and that name is marked.
    name : str
        The column that names cohorts.
    """
    names = {
        column: table[column].where(~rows, table[column] + NOT_MATCHED) for column, rows in _unmatched(table, name).items()
    }
    return table.assign(**names)


def caveat(table: pd.DataFrame, name: str = "cohort") -> str:
    """What a caption says of unmatched controls; empty if there is none. The table must not be marked yet."""
    names = [str(value) for column, rows in _unmatched(table, name).items() for value in table.loc[rows, column]]
    if not names:
        return ""
    controls = listed(list(dict.fromkeys(names)))
    return f" Not matched within tolerance: {controls}; the nearest is shown and no verdict rests on it."


def is_evidence(table: pd.DataFrame) -> pd.Series:
    """Which rows a verdict may rest on: all but those of controls that are not matched."""
    return table["is_matched"] != 0


def _unmatched(table: pd.DataFrame, name: str) -> dict[str, pd.Series]:
    """By column that may name a control: the rows in which it names one that is not matched."""
    is_unmatched = ~is_evidence(table)
    if "against" not in table:
        return {name: is_unmatched}
    is_control = table["against"] != "intact"
    return {name: is_unmatched & ~is_control, "against": is_unmatched & is_control}
