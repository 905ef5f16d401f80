"""What a finding needs beside it: the text it rests on, and how far the intact model could fall.

Owns the words for text that the extraction saw, and for an accuracy at chance or at its ceiling.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.claims.contrasts import CEILING
from analysis.rows import of_intact, over_all_paradigms
from reports.results import Run
from reports.sentences import interval

_CEILING = 0.99
_CHANCE_OF_PAIRS = 0.5


def text_of(run: Run) -> str:
    """The tokens that perplexity is measured on, and whether the extraction saw them."""
    n_tokens = f"{int(run.tables['perplexity']['n_tokens'].iloc[0]):,} tokens of text"
    if not run.has("text_overlap"):
        return f"{n_tokens} that was not compared with the extraction's"
    row = run.tables["text_overlap"].iloc[0]
    if row["n_tokens_seen"] == 0:
        return f"{n_tokens} that the extraction did not see"
    return (
        f"{n_tokens}; {row['n_documents_seen']} of {row['n_documents']} documents were seen by the extraction "
        f"({row['n_tokens_seen']:,} tokens)"
    )


def text_limits(name: str, run: Run) -> list[str]:
    """Limits of an ablation on text that the extraction saw, or may have seen."""
    if not run.has("text_overlap"):
        return [f"In “{name}” the text of perplexity was not compared with the text that neurons were chosen on."]
    if run.tables["text_overlap"].iloc[0]["n_tokens_seen"] == 0:
        return []
    return [f"In “{name}” neurons were chosen on some of the text that perplexity is measured on: {text_of(run)}."]


def with_intact(rows: pd.DataFrame, table: pd.DataFrame, keys: Sequence[str], value: str = "accuracy") -> pd.DataFrame:
    """Rows with the intact model's value and its bounds beside theirs, as `intact_VALUE`.

    Parameters
    ----------
    rows : DataFrame
    table : DataFrame
        Has the rows of the intact model.
    keys : sequence of str
        Columns that both share.
    value : str
        The column of `table`.
    """
    names = {name: f"intact_{name}" for name in (value, f"{value}_lower", f"{value}_upper")}
    intact = of_intact(table)[[*keys, *names]].rename(columns=names)
    return rows.merge(intact, on=list(keys), how="left")


def headroom(row: pd.Series, chance: float = _CHANCE_OF_PAIRS, value: str = "intact_accuracy") -> str:
    """Whether an accuracy of the intact model is at chance or at its ceiling, in words; empty where it is neither.

    An ablation can change such an accuracy little, so an effect of zero says little.
    """
    if row[value] >= _CEILING:
        return "at its ceiling, almost no room to fall"
    if row[value] >= CEILING:
        return "near its ceiling, little room to fall"
    if row[f"{value}_lower"] <= chance <= row[f"{value}_upper"]:
        return "at chance, nothing to lose"
    return "below chance" if row[f"{value}_upper"] < chance else ""


def intact_accuracy(row: pd.Series, chance: float = _CHANCE_OF_PAIRS, value: str = "intact_accuracy") -> str:
    """Accuracy of the intact model with its interval, and its headroom where that is small."""
    words = headroom(row, chance, value)
    return interval(row, value) + (f" ({words})" if words else "")


_READOUTS = {
    "accuracy_by_phenomenon": ("benchmark", "accuracy"),
    "probes": ("probe", "accuracy"),
    "tasks": ("task", "score"),
}
"""Table → the columns of its readout's name and value."""


def intact_readouts(run: Run, checkpoint: int, tables: Sequence[str] = tuple(_READOUTS)) -> list[str]:
    """Accuracy of the intact model on every benchmark of minimal pairs, every probe and every task."""
    accuracies = []
    for table in filter(run.has, tables):
        name, value = _READOUTS[table]
        chance = _CHANCE_OF_PAIRS if table == "accuracy_by_phenomenon" else float("nan")
        rows = of_intact(over_all_paradigms(run.tables[table]))
        for _, row in rows[rows["checkpoint"] == checkpoint].iterrows():
            if row.get("metric", "acc") == "acc":
                accuracies.append(f"{row[name]} {intact_accuracy(row, row.get('chance', chance), value)}")
    return accuracies
