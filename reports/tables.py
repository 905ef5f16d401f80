"""Tables of the page: which columns, in which words, rounded how.

Owns all rounding of tables; the whole of each table is beside the page as CSV.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.rows import comparable, has_conditions
from reports.headroom import headroom, text_of, with_intact
from reports.matching import marked
from reports.results import Results, Run
from reports.sentences import interval, number, p_value

_MOST_ROWS = 400
_FEW_ROWS = 3
"""With fewer rows than this a table keeps all its columns."""
_BASIS = ("n_clusters", "cluster")
"""What intervals and tests rest on: the last columns of every table that has some."""


@dataclass(frozen=True)
class Cell:
    """A text, and the number to sort by if there is one."""

    text: str
    value: float | None = None
    """NaN where the number is missing: a gap, which sorts last."""


@dataclass(frozen=True)
class Table:
    """A table ready to print."""

    key: str
    caption: str
    head: list[str]
    rows: list[list[Cell]]
    file: str
    """The CSV with all of it."""
    constants: str = ""
    """What holds of all rows alike, in place of columns; ends in a space."""


@dataclass(frozen=True)
class _Spec:
    """A table of an ablation: where its rows are from, and which columns are printed."""

    key: str
    name: str
    """Of the CSV file."""
    caption: str
    """`{text}` stands for the text that perplexity is measured on."""
    columns: tuple[str, ...]
    rows: Callable[[Run, str], pd.DataFrame] = Run.last
    """Takes the ablation and the table's name."""


def page_tables(results: Results) -> Iterator[Table]:
    """The tables below the figures."""
    yield _selected(results)
    run = results.main_ablation
    if run is None:
        return
    for spec in _TABLES:
        if run.has(spec.name):
            yield _of_ablation(spec, run)
    for spec in _SURPRISAL_TABLES:
        fitted = next((run for run in results.of_main() if run.has(spec.name)), None)
        if fitted:
            yield _of_ablation(spec, fitted)


def _of_ablation(spec: _Spec, run: Run) -> Table:
    caption, file = spec.caption.format(text=text_of(run)), f"tables/ablations/{run.name}/{spec.name}.csv"
    return _table(spec.key, caption, spec.rows(run, spec.name), file, spec.columns)


def _all_rows(run: Run, name: str) -> pd.DataFrame:
    return run.tables[name]


def _of_phenomena(run: Run, name: str) -> pd.DataFrame:
    """Rows at the last checkpoint with accuracy and headroom of the intact model on the same minimal pairs."""
    return _with_accuracy(run.last(name), run)


def _paired_tests(run: Run, name: str) -> pd.DataFrame:
    return _with_accuracy(comparable(run.tables[name]), run)


def _with_accuracy(rows: pd.DataFrame, run: Run) -> pd.DataFrame:
    rows = with_intact(rows, run.tables["accuracy_by_phenomenon"], ("checkpoint", "benchmark", "phenomenon"))
    return rows.assign(headroom=[headroom(row) for _, row in rows.iterrows()])


def _of_probes(run: Run, name: str) -> pd.DataFrame:
    """Rows at the last checkpoint with accuracy and headroom of the intact model on the same probe."""
    rows = with_intact(run.last(name), run.tables[name], ("checkpoint", "probe"))
    return rows.assign(headroom=[headroom(row, row["chance"]) for _, row in rows.iterrows()])


def _of_tasks(run: Run, name: str) -> pd.DataFrame:
    return with_intact(run.last(name), run.tables[name], ("checkpoint", "task", "metric"), "score")


def _columns(names: str) -> tuple[str, ...]:
    return tuple(names.split())


_TABLES = (
    _Spec(
        "perplexity",
        "perplexity",
        "Perplexity, intact and under each intervention: {text}.",
        _columns("intervention cohort n_neurons n_seeds perplexity perplexity_ratio is_matched"),
    ),
    _Spec(
        "perplexity-contrasts",
        "perplexity_contrasts",
        "Perplexity of the top cohort against each of its controls, paired by document: {text}.",
        _columns("intervention cohort against ratio p_adjusted equivalence_bound detectable is_matched"),
    ),
    _Spec(
        "phenomena",
        "accuracy_by_phenomenon",
        "Minimal pairs by phenomenon.",
        _columns(
            "benchmark phenomenon intervention cohort margin delta_margin accuracy intact_accuracy delta_accuracy headroom equivalence_bound "
            "n_pairs n_ties"
        ),
        _of_phenomena,
    ),
    _Spec(
        "dissociation",
        "dissociation",
        "The double dissociation.",
        _columns(
            "outcome intervention cohort against grammar_cost other_cost interaction p_adjusted equivalence_bound is_double"
        ),
    ),
    _Spec(
        "probes",
        "probes",
        "Other tasks: probes.",
        _columns(
            "probe intervention cohort margin delta_margin accuracy intact_accuracy delta_accuracy headroom n_items chance"
        ),
        _of_probes,
    ),
    _Spec(
        "tasks",
        "tasks",
        "Other tasks: benchmarks.",
        _columns("task metric intervention cohort score intact_score delta_score n_items"),
        _of_tasks,
    ),
    _Spec(
        "paired-tests",
        "paired_tests",
        "Paired tests of minimal pairs: McNemar's with clusters (sign flips), or t over draws where there are several.",
        _columns(
            "cohort against benchmark phenomenon delta_margin margin_p_adjusted n_lost n_gained delta_accuracy p test p_adjusted intact_accuracy headroom"
        ),
        _paired_tests,
    ),
)
_SURPRISAL_TABLES = (
    _Spec(
        "surprisal-means",
        "surprisal_means",
        "Expected change of surprisal.",
        _columns("intervention by condition level estimate robust bootstrap intervals_agree"),
        _all_rows,
    ),
    _Spec(
        "surprisal-contrasts",
        "surprisal_contrasts",
        "Top cohort less its controls: change of surprisal.",
        _columns("by condition against level estimate robust p_adjusted robust_p_adjusted intervals_agree"),
        _all_rows,
    ),
    _Spec(
        "surprisal-fits",
        "surprisal_fits",
        "Models of surprisal.",
        _columns("intervention by formula n_rows n_dropped log_likelihood residual_excess_kurtosis n_disagreeing slopes flags"),
        _all_rows,
    ),
)
"""Of the first ablation that has them, whether it is the main one or not."""


def _selected(results: Results) -> Table:
    """The selected neurons with their statistics and the feature that each follows."""
    neurons = results.main.tables["neurons"]
    selected = neurons[neurons["selected"]].sort_values("wasserstein_distance", ascending=False)
    columns = _columns("layer neuron wasserstein_distance negative_wasserstein_frac negative_frac skewness mapping_difficulty")
    if results.main.has("atlas"):
        atlas = results.main.tables["atlas"][["layer", "neuron", "feature", "apart"]]
        selected = selected.merge(atlas, on=["layer", "neuron"], how="left")
        columns = (*columns, "feature", "apart")
    caption = "The selected neurons, furthest from Gaussian first, with the feature that their negative side follows most."
    return _table("neurons", caption, selected, f"tables/models/{results.main.name}/neurons.csv", columns)


_WORDS = {
    "wasserstein_distance": "Wasserstein distance (SD)",
    "negative_wasserstein_frac": "share on negative side",
    "negative_frac": "negative",
    "mapping_difficulty": "mapping difficulty",
    "apart": "kept apart most",
    "n_neurons": "neurons",
    "n_seeds": "seeds",
    "n_pairs": "pairs",
    "n_clusters": "clusters",
    "n_ties": "ties",
    "n_items": "items",
    "perplexity_ratio": "ratio to intact",
    "delta_accuracy": "change",
    "delta_score": "change",
    "delta_margin": "change of margin (nats)",
    "margin": "margin (nats)",
    "margin_p_adjusted": "p of margin (Holm)",
    "ratio": "ratio of perplexities",
    "detectable": "smallest detectable",
    "intact_accuracy": "intact",
    "intact_score": "intact",
    "headroom": "room to fall",
    "equivalence_bound": "no effect beyond",
    "p_adjusted": "p (Holm)",
    "robust_p_adjusted": "cluster-robust p (Holm)",
    "is_double": "double",
    "is_matched": "matched",
    "n_lost": "lost",
    "n_gained": "gained",
    "grammar_cost": "cost of grammar",
    "other_cost": "cost of the rest",
    "robust": "cluster-robust 95%",
    "bootstrap": "bootstrap 95%",
    "intervals_agree": "intervals agree",
    "n_rows": "rows",
    "n_dropped": "rows left out",
    "log_likelihood": "log-likelihood",
    "residual_excess_kurtosis": "residual kurtosis",
    "n_disagreeing": "effects that disagree",
}
"""Heads of columns; of any other, its name without underscores."""


def _table(key: str, caption: str, table: pd.DataFrame, file: str, columns: Sequence[str]) -> Table:
    """A table with those of the columns that it has; long ones are cut."""
    columns = [name for name in (*columns, *_BASIS) if name in table or f"{name}_lower" in table]
    rows = table if len(table) <= _MOST_ROWS else _fewer(table)
    if len(rows) < len(table):
        caption += f" {len(rows)} of {len(table)} rows are shown; the file has all."
    if "is_matched" in rows:
        rows = marked(rows, "cohort" if "cohort" in rows else "condition")
    cells = [[_cell(row, name) for name in columns] for _, row in rows.iterrows()]
    head = [_WORDS.get(name, name.replace("_", " ")) for name in columns]
    return _without_constants(Table(key, caption, head, cells, file))


def _without_constants(table: Table) -> Table:
    """The table without columns whose cells are all alike: what they say is said once."""
    if len(table.rows) < _FEW_ROWS:
        return table
    columns = list(zip(*table.rows, strict=True))
    is_constant = [len({cell.text for cell in column}) == 1 for column in columns]
    said = [f"{name} {column[0].text}" for name, column, same in zip(table.head, columns, is_constant, strict=True) if same]
    said = [words for words in said if not words.endswith(" ")]
    rows = [[cell for cell, same in zip(row, is_constant, strict=True) if not same] for row in table.rows]
    head = [name for name, same in zip(table.head, is_constant, strict=True) if not same]
    constants = f"In all rows: {'; '.join(said)}. " if said else ""
    return replace(table, head=head, rows=rows, constants=constants)


def _fewer(table: pd.DataFrame) -> pd.DataFrame:
    """The main comparison where a table has one, else its first rows."""
    rows = comparable(table) if has_conditions(table) else table
    return rows.head(_MOST_ROWS)


def _cell(row: pd.Series, name: str) -> Cell:
    """A value of a row, as text and as the number to sort by."""
    if name not in row:  # an interval whose estimate is in another column
        lower, upper = row[f"{name}_lower"], row[f"{name}_upper"]
        return Cell(f"[{number(lower, 3, True)}, {number(upper, 3, True)}]", _sortable(lower))
    value = row[name]
    if name == "is_matched":
        return Cell({1: "yes", 0: "no"}.get(int(value), "–"), float(value) if value >= 0 else math.nan)
    if isinstance(value, (bool, np.bool_)):
        return Cell("yes" if value else "no", float(value))
    if isinstance(value, str):
        return Cell(value)
    return Cell("", math.nan) if pd.isna(value) else Cell(_number(row, name), _sortable(value))


def _number(row: pd.Series, name: str) -> str:
    """A number that is there: with its interval, as a p-value, as a count or with decimals."""
    value = row[name]
    if f"{name}_lower" in row:
        return interval(row, name, 4 if name in ("perplexity_ratio", "ratio") else 3)
    if name in ("p", "p_adjusted", "robust_p_adjusted", "margin_p_adjusted"):
        return p_value(float(value)).removeprefix("p = ").removeprefix("p ")
    if isinstance(value, (int, np.integer)) or float(value).is_integer():
        return f"{int(value):,}" if abs(int(value)) >= 10_000 else str(int(value))
    return number(float(value), 3)


def _sortable(value: float) -> float:
    """The number, or NaN if it is infinite or missing."""
    return float(value) if np.isfinite(value) else math.nan
