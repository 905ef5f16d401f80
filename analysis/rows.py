"""Which rows of a table are of which cohort, layers and benchmark.

Owns every question that is asked of the columns that name a condition (`intervention`, `rule`, `fraction`, `first_layer`, `last_layer`,
`chosen_at`, `target_scope`, …), of the cohorts of neurons (`cohort`: top or rest) and of rows over all layers or all paradigms.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from actstore.selection.label import cohort_in_words, cohort_label
from actstore.store.schema import BASELINE
from analysis.conditions import controls_of as is_control_of
from analysis.training.cohorts import ALL_LAYERS


def ablated(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of conditions that edit something."""
    return _where(table, table["intervention"] != BASELINE)


def of_intact(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the intact model."""
    return _where(table, table["intervention"] == BASELINE)


def main_intervention(table: pd.DataFrame) -> str:
    """negative-zero where it was run, else the first."""
    names = list(dict.fromkeys(ablated(table)["intervention"]))
    return "negative-zero" if "negative-zero" in names else names[0]


def of_main_intervention(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the main intervention."""
    return _where(table, table["intervention"] == main_intervention(table))


def tops(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of top cohorts."""
    return _where(table, table["rule"] == "top")


def first_top(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the first top cohort."""
    rows = tops(table)
    return _where(rows, rows["cohort"].isin(rows["cohort"].head(1)))


def at_first_fraction(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of cohorts as large as the first top cohort; all rows where there is no top cohort."""
    fractions = tops(table)["fraction"]
    return _where(table, table["fraction"] == fractions.iloc[0]) if len(fractions) else table


def controls_of(table: pd.DataFrame, cohort: pd.Series) -> pd.DataFrame:
    """Rows of the controls of the cohort in a row."""
    return _where(table, is_control_of(table, cohort))


def cohorts_with_controls(table: pd.DataFrame, rule: str, fractions: Sequence[float]) -> list[str]:
    """Names of the cohorts that controls of this rule and these fractions control for."""
    rows = _where(table, (table["rule"] == rule) & table["fraction"].isin(list(fractions)))
    return list(dict.fromkeys(rows["controls"]))


def comparable(table: pd.DataFrame) -> pd.DataFrame:
    """Rows that can be compared with the first top cohort.

    These are of the main intervention on all layers, at the last checkpoint, of cohorts of its size that were chosen there.
    """
    rows = of_main_intervention(ablated(table))
    rows = _where(rows, rows["checkpoint"] == rows["checkpoint"].max())
    return at_first_fraction(_where(rows, is_on_all_layers(rows) & rows["chosen_at"].isin(["same", ""])))


def has_conditions(table: pd.DataFrame) -> bool:
    """Whether the rows of a table are conditions of an ablation, some of which edit something."""
    return {"rule", "first_layer"} <= set(table) and len(ablated(table)) > 0


def is_on_all_layers(table: pd.DataFrame) -> pd.Series:
    """Which rows of edited conditions are of neurons from all layers."""
    is_whole: pd.Series = (table["first_layer"] == 0) & (table["last_layer"] == table["last_layer"].max())
    return is_whole


def of_layer_groups(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of an ablation that edits groups of layers; none of one that edits all layers at once."""
    rows = ablated(table)
    return rows if len(set(layer_ranges(rows))) > 1 else rows.iloc[:0]


def layer_ranges(table: pd.DataFrame) -> list[tuple[int, int]]:
    """First and last layer of the neurons of every row."""
    return list(zip(table["first_layer"].astype(int), table["last_layer"].astype(int), strict=True))


def when_chosen(row: pd.Series) -> str:
    """At which checkpoint the neurons of a cohort were chosen, in words."""
    chosen_at = str(row["chosen_at"])
    return {"same": "at the same step", "last": "at the end"}.get(chosen_at, chosen_at)


def rules_of(table: pd.DataFrame, name: str = "cohort") -> dict[str, str]:
    """The rule of every cohort; `name` is the column that names cohorts."""
    return dict(zip(table[name], table["rule"], strict=True))


def kind_of_cohort(row: pd.Series) -> str:
    """What a cohort has in common with those that differ in size alone, in words."""
    names = ("statistic", "scope", "chosen_at")
    return cohort_label(row["rule"], None, **{name: row[name] for name in names})


def in_words(row: pd.Series) -> str:
    """How the neurons of a cohort were chosen, in words."""
    names = ("statistic", "scope")
    return cohort_in_words(row["rule"], row["fraction"], **{name: row[name] for name in names}, n_draws=int(row["n_seeds"]))


def unmoved(table: pd.DataFrame, category: str, value: str, reference: float = 0.0) -> list[str]:
    """Categories in which no row differs from the reference."""
    is_still = (table[value] == reference).groupby(table[category], sort=False).all()
    return [str(name) for name in is_still.index[is_still]]


def largest_categories_first(table: pd.DataFrame, rows: pd.DataFrame, category: str, value: str) -> pd.DataFrame:
    """A table with its categories ordered by the largest value, whatever its sign, that they have in some of its rows."""
    sizes = rows[value].abs().groupby(rows[category]).max()
    return table.sort_values(category, key=lambda names: -names.map(sizes).fillna(0.0), kind="stable")


def wasserstein_neurons(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the selected neurons, in a table of neurons by cohort."""
    return _where(table, table["cohort"] == "top")


def rest_of_neurons(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of all neurons that are not selected."""
    return _where(table, table["cohort"] == "rest")


def over_all_layers(table: pd.DataFrame) -> pd.DataFrame:
    """Rows over the neurons of all layers together."""
    return _where(table, table["layer"] == ALL_LAYERS)


def of_single_layers(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of one layer each."""
    return _where(table, table["layer"] != ALL_LAYERS)


def over_all_paradigms(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of whole benchmarks of minimal pairs; all rows of a table that is not by phenomenon."""
    return _where(table, table["phenomenon"] == "all") if "phenomenon" in table else table


def _where(table: pd.DataFrame, mask: pd.Series) -> pd.DataFrame:
    rows: pd.DataFrame = table[mask]
    return rows
