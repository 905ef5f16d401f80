"""What lies beside the page: figures as SVG and PDF, tables as CSV, all numbers as JSON.

Owns their places and that text of corpora does no harm in them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.csv_text import defused
from reports.panel import Panel
from reports.panels import Section
from reports.results import Results, Run
from reports.style import saved


def export_figures(sections: list[Section], folder: Path) -> dict[str, bytes]:
    """Every figure as `figures/KEY.svg` and `.pdf`; gives the SVGs."""
    shutil.rmtree(folder / "figures", ignore_errors=True)
    (folder / "figures").mkdir(parents=True)
    images = {}
    for panel in (panel for section in sections for panel in section.panels):
        images[panel.key] = saved(panel.figure, "svg")
        (folder / "figures" / f"{panel.key}.svg").write_bytes(images[panel.key])
        (folder / "figures" / f"{panel.key}.pdf").write_bytes(saved(panel.figure, "pdf"))
    return images


def export_tables(results: Results, folder: Path) -> None:
    """Every table as `tables/models/NAME/TABLE.csv` and `tables/ablations/NAME/TABLE.csv`."""
    shutil.rmtree(folder / "tables", ignore_errors=True)
    for place, run in _runs(results):
        (folder / "tables" / place).mkdir(parents=True)
        for name, table in run.tables.items():
            defused(table).to_csv(folder / "tables" / place / f"{name}.csv", index=False, float_format="%.10g")


def results_json(results: Results, sections: list[Section], provenance: dict[str, dict[str, str]]) -> str:
    """All findings and numbers: tables by columns, missing numbers as null."""
    return json.dumps(
        {
            "study": results.study.name,
            "panels": [_panel(section.title, panel) for section in sections for panel in section.panels],
            "tables": {place: {name: _columns(table) for name, table in run.tables.items()} for place, run in _runs(results)},
            "provenance": provenance,
        },
        ensure_ascii=False,
        allow_nan=False,
    )


def _runs(results: Results) -> list[tuple[str, Run]]:
    kinds = (("models", results.models), ("ablations", results.ablations))
    return [(f"{kind}/{name}", run) for kind, runs in kinds for name, run in runs.items()]


def _panel(section: str, panel: Panel) -> dict[str, str]:
    return {
        "key": panel.key,
        "section": section,
        "title": panel.title,
        "finding": panel.finding,
        "note": panel.note,
        "source": panel.source,
    }


def _columns(table: pd.DataFrame) -> dict[str, list[Any]]:
    found = {}
    for name in table:
        values = table[name].tolist()
        found[str(name)] = [
            None if isinstance(v, float) and not np.isfinite(v) else float(f"{v:.10g}") if isinstance(v, float) else v
            for v in values
        ]
    return found
