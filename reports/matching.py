"""How controls that are not matched on perplexity are marked and told.

Whether one is matched is the `is_matched` of its row, which `analysis` computes.
"""

from __future__ import annotations

import pandas as pd

from reports.sentences import listed

NOT_MATCHED = " (not matched)"


def marked(table: pd.DataFrame, name: str = "cohort") -> pd.DataFrame:
    """A table in which the names of unmatched controls say so: in `against` where it compares with one, else in a column."""
    names = {
        column: table[column].where(~rows, table[column] + NOT_MATCHED) for column, rows in _unmatched(table, name).items()
    }
    return table.assign(**names)


def caveat(table: pd.DataFrame, name: str = "cohort") -> str:
    """What a caption says of the unmatched controls of a table that is not marked yet; empty without any."""
    names = [str(value) for column, rows in _unmatched(table, name).items() for value in table.loc[rows, column]]
    if not names:
        return ""
    return (
        f" Not matched within tolerance: {listed(list(dict.fromkeys(names)))}; the nearest is shown and no verdict rests on it."
    )


def _unmatched(table: pd.DataFrame, name: str) -> dict[str, pd.Series]:
    """The columns that name a control, and the rows in which it is one that is not matched."""
    flagged = table["is_matched"] == 0
    if "against" not in table:
        return {name: flagged}
    is_control = table["against"] != "intact"
    return {name: flagged & ~is_control, "against": flagged & is_control}
