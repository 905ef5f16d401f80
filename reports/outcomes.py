"""What is read of minimal pairs: their margin and their accuracy, the one that can show an effect first.

Owns the order of the two, and the measures that figures of an ablation draw side by side.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from analysis.claims.contrasts import margin_is_first
from reports.results import Run


class Outcome(NamedTuple):
    """A reading of minimal pairs."""

    name: str
    change: str
    """Column of its change against the intact model."""
    unit: str = ""

    def label(self, benchmark: str = "") -> str:
        """Of an axis; a benchmark is named where there are several."""
        of, unit = f" on {benchmark}" if benchmark else "", f" ({self.unit})" if self.unit else ""
        return f"change in {self.name}{of}{unit}"


MARGIN = Outcome("margin", "delta_margin", "nats")
ACCURACY = Outcome("accuracy", "delta_accuracy")


class Measure(NamedTuple):
    """What is drawn of an ablation: the column of a table, and where "no effect" is."""

    table: str
    value: str
    reference: float
    label: str
    benchmark: str = ""
    """Of minimal pairs; empty for all rows."""

    def rows_of(self, table: pd.DataFrame) -> pd.DataFrame:
        """Rows of its benchmark."""
        return table[table["benchmark"] == self.benchmark] if self.benchmark else table


def outcomes_of(run: Run, benchmark: str = "") -> tuple[Outcome, Outcome]:
    """Both outcomes of a benchmark, or of all: margins first where the intact model has almost no answer to lose."""
    if not run.has("accuracy_by_phenomenon"):
        return ACCURACY, MARGIN
    is_margin_first = margin_is_first(run.tables["accuracy_by_phenomenon"], benchmark)
    return (MARGIN, ACCURACY) if is_margin_first else (ACCURACY, MARGIN)


def measures_of(run: Run) -> list[Measure]:
    """The perplexity ratio; of one benchmark of minimal pairs both outcomes, of several the first of each."""
    measures = [Measure("perplexity", "perplexity_ratio", 1.0, "perplexity ratio")]
    if not run.has("accuracy_by_phenomenon"):
        return measures
    benchmarks = list(dict.fromkeys(run.tables["accuracy_by_phenomenon"]["benchmark"]))
    for benchmark in benchmarks:
        named = benchmark if len(benchmarks) > 1 else ""
        for outcome in outcomes_of(run, benchmark)[: 1 if named else 2]:
            measures.append(Measure("accuracy_by_phenomenon", outcome.change, 0.0, outcome.label(named), benchmark))
    return measures
