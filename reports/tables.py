"""Tables of the page: which columns, in which words, rounded how.

Owns all rounding of tables; the whole of each is beside the page as CSV.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from reports.claims import room, text_of, with_intact
from reports.matching import marked
from reports.panels.ablation import main_run
from reports.results import Results, Run, ablated, comparable
from reports.sentences import interval, number, p_value

_MOST_ROWS = 400
_BASIS = ("n_clusters", "cluster")
"""What intervals and tests rest on: the last columns of every table that has some."""


@dataclass(frozen=True)
class Cell:
    """What is shown, and the number to sort by where it is one."""

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


def page_tables(results: Results) -> Iterator[Table]:
    """The tables below the figures."""
    yield _selected(results)
    run = main_run(results)
    if run is None:
        return
    folder = f"tables/ablations/{run.name}"
    columns: tuple[str, ...]
    perplexity = run.last("perplexity")
    yield _made(
        "perplexity",
        f"Perplexity, intact and under each intervention: {text_of(run)}.",
        perplexity,
        f"{folder}/perplexity.csv",
        ("intervention", "cohort", "n_neurons", "n_seeds", "perplexity", "perplexity_ratio", "is_matched"),
    )
    if run.has("accuracy_by_phenomenon"):
        table = _with_intact(run, "accuracy_by_phenomenon", run.last("accuracy_by_phenomenon"))
        yield _made(
            "phenomena",
            "Minimal pairs by phenomenon.",
            table,
            f"{folder}/accuracy_by_phenomenon.csv",
            (
                "benchmark",
                "phenomenon",
                "intervention",
                "cohort",
                "accuracy",
                "intact_accuracy",
                "delta_accuracy",
                "room",
                "equivalence_bound",
                "n_pairs",
                "n_ties",
            ),
        )
    if run.has("dissociation"):
        columns = (
            "intervention",
            "cohort",
            "against",
            "grammar_cost",
            "other_cost",
            "interaction",
            "p_adjusted",
            "equivalence_bound",
            "is_double",
        )
        yield _made("dissociation", "The double dissociation.", run.last("dissociation"), f"{folder}/dissociation.csv", columns)
    if run.has("probes"):
        columns = (
            "probe",
            "intervention",
            "cohort",
            "accuracy",
            "intact_accuracy",
            "delta_accuracy",
            "room",
            "n_items",
            "chance",
        )
        table = _with_intact(run, "probes", run.last("probes"))
        yield _made("probes", "Other tasks: probes.", table, f"{folder}/probes.csv", columns)
    if run.has("tasks"):
        columns = ("task", "metric", "intervention", "cohort", "score", "intact_score", "delta_score", "n_items")
        table = with_intact(run.last("tasks"), run.tables["tasks"], ("checkpoint", "task", "metric"), "score")
        yield _made("tasks", "Other tasks: benchmarks.", table, f"{folder}/tasks.csv", columns)
    if run.has("paired_tests"):
        table = _with_intact(run, "accuracy_by_phenomenon", comparable(run.tables["paired_tests"]))
        columns = (
            "cohort",
            "against",
            "benchmark",
            "phenomenon",
            "n_lost",
            "n_gained",
            "delta_accuracy",
            "p",
            "test",
            "p_adjusted",
            "intact_accuracy",
            "room",
        )
        yield _made(
            "paired-tests",
            "Paired tests of minimal pairs: McNemar's with clusters (sign flips), or t over draws where there are several.",
            table,
            f"{folder}/paired_tests.csv",
            columns,
        )
    for name, caption, columns in (
        ("surprisal_means", "Expected change of surprisal.", ("intervention", "by", "condition", "level", "estimate", "robust", "bootstrap", "intervals_agree")),
        ("surprisal_contrasts", "Top cohort less its controls: change of surprisal.",
         ("by", "condition", "against", "level", "estimate", "robust", "p_adjusted", "robust_p_adjusted", "intervals_agree")),
        ("surprisal_fits", "Models of surprisal.",
         ("intervention", "by", "formula", "n_rows", "n_dropped", "log_likelihood", "residual_excess_kurtosis", "n_disagreeing", "slopes", "flags")),
    ):  # fmt: skip
        surprisal = results.ablation(lambda run, name=name: run.has(name))  # type: ignore[misc]
        if surprisal:
            yield _made(
                name.replace("_", "-"),
                caption,
                surprisal.tables[name],
                f"tables/ablations/{surprisal.name}/{name}.csv",
                columns,
            )


def _with_intact(run: Run, of: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with the intact model's accuracy, from the table `of`, and the word for how far it could fall."""
    keys = ("checkpoint", "probe") if of == "probes" else ("checkpoint", "benchmark", "phenomenon")
    rows = with_intact(rows, run.tables[of], keys)
    return rows.assign(room=[room(row, row["chance"]) if of == "probes" else room(row) for _, row in rows.iterrows()])


def _selected(results: Results) -> Table:
    """The chosen neurons with their statistics and the feature that each follows."""
    neurons = results.main.tables["neurons"]
    chosen = neurons[neurons["selected"]].sort_values("wasserstein_distance", ascending=False)
    columns = [
        "layer",
        "neuron",
        "wasserstein_distance",
        "negative_wasserstein_frac",
        "negative_frac",
        "skewness",
        "mapping_difficulty",
    ]
    if results.main.has("atlas"):
        chosen = chosen.merge(
            results.main.tables["atlas"][["layer", "neuron", "feature", "apart"]], on=["layer", "neuron"], how="left"
        )
        columns += ["feature", "apart"]
    caption = "The selected neurons, furthest from Gaussian first, with the feature that their negative side follows most."
    return _made("neurons", caption, chosen, f"tables/models/{results.main.name}/neurons.csv", columns)


_WORDS = {
    "wasserstein_distance": "Wasserstein distance (SD)", "negative_wasserstein_frac": "share on negative side", "negative_frac": "negative",
    "mapping_difficulty": "mapping difficulty", "apart": "kept apart most", "n_neurons": "neurons", "n_seeds": "seeds", "n_pairs": "pairs", "n_clusters": "clusters",
    "n_ties": "ties", "n_items": "items", "perplexity_ratio": "ratio to intact", "delta_accuracy": "change", "delta_score": "change",
    "intact_accuracy": "intact", "intact_score": "intact", "room": "room to fall",
    "equivalence_bound": "no effect beyond", "p_adjusted": "p (Holm)", "robust_p_adjusted": "cluster-robust p (Holm)", "is_double": "double",
    "is_matched": "matched", "n_lost": "lost", "n_gained": "gained", "grammar_cost": "cost of grammar", "other_cost": "cost of the rest",
    "robust": "cluster-robust 95%", "bootstrap": "bootstrap 95%", "intervals_agree": "intervals agree", "n_rows": "rows", "n_dropped": "rows left out",
    "log_likelihood": "log-likelihood", "residual_excess_kurtosis": "residual kurtosis", "n_disagreeing": "effects that disagree",
}  # fmt: skip


def _made(key: str, caption: str, frame: pd.DataFrame, file: str, columns: Any) -> Table:
    columns = [name for name in (*columns, *_BASIS) if name in frame or f"{name}_lower" in frame]
    frame = frame.loc[:, :]
    shown = frame if len(frame) <= _MOST_ROWS else _fewer(frame)
    if len(shown) < len(frame):
        caption += f" {len(shown)} of {len(frame)} rows are shown; the file has all."
    if "is_matched" in shown:
        shown = marked(shown, "cohort" if "cohort" in shown else "condition")
    rows = [[_cell(row, name) for name in columns] for _, row in shown.iterrows()]
    return Table(key, caption, [_WORDS.get(name, name.replace("_", " ")) for name in columns], rows, file)


def _fewer(frame: pd.DataFrame) -> pd.DataFrame:
    """The main comparison where a table has one, else its first rows."""
    rows = comparable(frame) if {"rule", "cohort_layers"} <= set(frame) and len(ablated(frame)) else frame
    return rows.head(_MOST_ROWS)


def _cell(row: pd.Series, name: str) -> Cell:
    if name not in row:  # an interval whose estimate is in another column
        lower, upper = row[f"{name}_lower"], row[f"{name}_upper"]
        return Cell(f"[{number(lower, 3, True)}, {number(upper, 3, True)}]", _or_gap(lower))
    value = row[name]
    if name == "is_matched":
        return Cell({1: "yes", 0: "no"}.get(int(value), "–"), float(value) if value >= 0 else math.nan)
    if isinstance(value, (bool, np.bool_)):
        return Cell("yes" if value else "no", float(value))
    if isinstance(value, str):
        return Cell(value)
    if pd.isna(value):
        return Cell("", math.nan)
    if f"{name}_lower" in row:
        return Cell(interval(row, name, 4 if name == "perplexity_ratio" else 3), float(value))
    if name in ("p", "p_adjusted", "robust_p_adjusted"):
        return Cell(p_value(float(value)).removeprefix("p = ").removeprefix("p "), float(value))
    if isinstance(value, (int, np.integer)) or float(value).is_integer():
        return Cell(f"{int(value):,}" if abs(int(value)) >= 10_000 else str(int(value)), float(value))
    return Cell(number(float(value), 3), _or_gap(value))


def _or_gap(value: float) -> float:
    """The number, or NaN where it is none that can be sorted by."""
    return float(value) if np.isfinite(value) else math.nan
