"""Numbers as text: all rounding of the report, and the sentences made from numbers.

Owns formatting. A sentence says no more than its interval does.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Table:
    """A table ready to print: a caption, column heads and rows of text."""

    caption: str
    head: list[str]
    rows: list[list[str]]


def with_interval(row: pd.Series, name: str, decimals: int = 3) -> str:
    """`estimate [lower, upper]` to a fixed number of decimals."""
    values = (row[name], row[f"{name}_lower"], row[f"{name}_upper"])
    middle, lower, upper = (
        f"{value:+.{decimals}f}" if name.startswith("delta") else f"{value:.{decimals}f}" for value in values
    )
    return f"{middle} [{lower}, {upper}]"


def perplexity(table: pd.DataFrame) -> Table:
    """Perplexity by condition."""
    head = ["checkpoint", "intervention", "cohort", "neurons", "seeds", "perplexity", "ratio to intact [95% interval]"]
    rows = [
        [
            str(row["checkpoint"]), row["intervention"], row["cohort"], str(row["n_neurons"]), str(row["n_seeds"]),
            f"{row['perplexity']:.4f}", with_interval(row, "perplexity_ratio", 4),
        ]
        for _, row in table.iterrows()
    ]  # fmt: skip
    return Table("Perplexity on held-out text, intact and under each intervention.", head, rows)


def accuracy(table: pd.DataFrame, category: str, count: str, caption: str) -> Table:
    """Accuracy and its change, by phenomenon or probe and condition."""
    head = [category, "intervention", "cohort", count.removeprefix("n_"), "accuracy [95% interval]", "change [95% interval]"]
    rows = [
        [
            row[category], row["intervention"], row["cohort"], str(row[count]), with_interval(row, "accuracy"),
            "–" if row["intervention"] == "none" else with_interval(row, "delta_accuracy"),
        ]
        for _, row in table.iterrows()
    ]  # fmt: skip
    return Table(caption, head, rows)


def selected_neurons(neurons: pd.DataFrame) -> Table:
    """The chosen neurons with their statistics."""
    chosen = neurons[neurons["selected"]].sort_values("wasserstein_distance", ascending=False)
    head = ["layer", "neuron", "Wasserstein distance (SD)", "share on negative side", "negative fraction"]
    columns = ["wasserstein_distance", "negative_wasserstein_frac", "negative_frac"]
    rows = [[str(row["layer"]), str(row["neuron"]), *(f"{row[name]:.3f}" for name in columns)] for _, row in chosen.iterrows()]
    return Table("The selected neurons, most entangled first.", head, rows)


def contrast(row: pd.Series, control: pd.Series | None, name: str, reference: float, what: str) -> str:
    """One sentence on an effect: whether its interval holds the reference, and how a control did."""
    lower, upper = row[f"{name}_lower"], row[f"{name}_upper"]
    shown = with_interval(row, name, 4 if name == "perplexity_ratio" else 3)
    if lower == upper == reference:
        verdict = f"Nothing in {what} changed under {row['intervention']} of the {row['cohort']} cohort: {shown}"
    elif lower <= reference <= upper:
        verdict = f"No evidence that {what} changes under {row['intervention']} of the {row['cohort']} cohort: {shown}"
    else:
        verb = "raises" if row[name] > reference else "lowers"
        verdict = f"{row['intervention']} of the {row['cohort']} cohort {verb} {what}: {shown}"
    verdict = verdict[0].upper() + verdict[1:]
    if control is None:
        return verdict + "."
    overlap = control[f"{name}_lower"] <= upper and lower <= control[f"{name}_upper"]
    relation = "the intervals overlap" if overlap else "the intervals do not overlap"
    return f"{verdict}; random control {with_interval(control, name, 4 if name == 'perplexity_ratio' else 3)}, {relation}."
