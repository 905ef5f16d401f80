"""The panel of readouts of one's own: whatever a plugin measures, its change against the intact model."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.rows import comparable, first_top, main_intervention, rules_of
from reports.basis import basis
from reports.figures.intervals import interval_plot
from reports.matching import caveat, marked
from reports.panel import Panel, cohort_colors, drawn, plot_height
from reports.registry import panel
from reports.results import Results
from reports.sentences import effect, listed, sentence


@panel("What an ablation costs")
def own_readouts(results: Results) -> Panel | None:
    """Every stored value of the readouts of plugins."""
    run = results.ablation(lambda run: run.has("readouts"))
    if run is None:
        return None
    table = comparable(run.tables["readouts"])
    intervention, note = main_intervention(table), caveat(table)
    table = marked(table)
    fields = list(dict.fromkeys(table["field"]))
    effects = [
        effect(row, "delta", 0, str(row["long_name"]), f"{row['intervention']} of {row['cohort']}")
        for _, row in first_top(table).iterrows()
    ]
    height = len(fields) * plot_height(table["cohort"].nunique(), 1)
    return Panel(
        title="Readouts of one's own",
        figure=drawn(lambda axes: _draw(table, fields, axes), (7.5, height), nrows=len(fields), squeeze=False),
        alt="Dots with intervals: change of every value of the readouts of plugins against the intact model, by cohort.",
        finding=sentence("; ".join(effects)) if effects else "No top cohort was ablated.",
        note=f"{intervention}; {listed(sorted(set(table['readout'])))}. {basis(table)}{note}",
        source=f"ablations/{run.name}/analysis/readouts.csv",
    )


def _draw(table: pd.DataFrame, fields: list[str], axes: Any) -> None:
    """A field below another, each on a scale of its own."""
    colors = cohort_colors(rules_of(table))
    for ax, field in zip(axes.ravel(), fields, strict=True):
        rows = table[table["field"] == field]
        label = f"change in {rows['long_name'].iloc[0]} ({rows['units'].iloc[0]})"
        interval_plot(rows, "cohort", "cohort", "delta", ax, colors=colors, label=label, reference=0)
