"""What lies beside the page: figures as SVG and PDF, tables as CSV, all numbers as JSON.

Owns the paths of these files, and that no text of a corpus runs as a formula in a spreadsheet.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.csv_text import defused
from reports.panel import Drawing
from reports.registry import Section
from reports.results import Results, Run
from reports.style import saved


class Image(NamedTuple):
    """A figure as SVG."""

    wide: bytes
    narrow: bytes | None
    """For narrow screens; None of a figure that cannot be drawn again."""


def export_figures(sections: list[Section], folder: Path) -> dict[str, Image]:
    """Write every figure as `figures/NAME.svg` and `.pdf`; the SVGs by name are returned."""
    shutil.rmtree(folder / "figures", ignore_errors=True)
    (folder / "figures").mkdir(parents=True)
    images = {}
    for name, panel in (item for section in sections for item in section.panels.items()):
        narrow = panel.figure.narrow() if isinstance(panel.figure, Drawing) else None
        images[name] = Image(saved(panel.figure, "svg"), saved(narrow, "svg") if narrow else None)
        (folder / "figures" / f"{name}.svg").write_bytes(images[name].wide)
        (folder / "figures" / f"{name}.pdf").write_bytes(saved(panel.figure, "pdf"))
    return images


def export_tables(results: Results, claims: pd.DataFrame, folder: Path) -> None:
    """Write `claims.csv`, and every table as `tables/models/NAME/TABLE.csv` or `tables/ablations/NAME/TABLE.csv`."""
    defused(claims).to_csv(folder / "claims.csv", index=False, float_format="%.10g")
    shutil.rmtree(folder / "tables", ignore_errors=True)
    for path, run in runs_by_path(results).items():
        (folder / "tables" / path).mkdir(parents=True)
        for name, table in run.tables.items():
            defused(table).to_csv(folder / "tables" / path / f"{name}.csv", index=False, float_format="%.10g")


def results_json(results: Results, claims: pd.DataFrame, sections: list[Section], provenance: dict[str, dict[str, str]]) -> str:
    """All findings and numbers: tables by columns, missing numbers as null."""
    return json.dumps(
        {
            "study": results.study.name,
            "claims": _columns(claims),
            "panels": [panel for section in sections for panel in _panels(section)],
            "tables": {
                path: {name: _columns(table) for name, table in run.tables.items()}
                for path, run in runs_by_path(results).items()
            },
            "provenance": provenance,
        },
        ensure_ascii=False,
        allow_nan=False,
    )


def table_links(source: str, results: Results) -> list[tuple[str, str]]:
    """The tables that the source of a figure names: how each is called below the run's folder, and its file beside the page."""
    files = {
        f"{path}/analysis/{name}.csv": f"tables/{path}/{name}.csv"
        for path, run in runs_by_path(results).items()
        for name in run.tables
    }
    named = [name for name in files if name in source]
    return [(name.replace("/analysis/", "/"), files[name]) for name in sorted(named, key=source.index)]


def runs_by_path(results: Results) -> dict[str, Run]:
    """Every run by the path of its tables."""
    kinds = (("models", results.models), ("ablations", results.ablations))
    return {f"{kind}/{name}": run for kind, runs in kinds for name, run in runs.items()}


def _panels(section: Section) -> list[dict[str, str]]:
    return [
        {
            "key": name,
            "section": section.title,
            "title": panel.title,
            "finding": panel.finding,
            "note": panel.note,
            "source": panel.source,
        }
        for name, panel in section.panels.items()
    ]


def _columns(table: pd.DataFrame) -> dict[str, list[Any]]:
    return {str(name): [_plain(value) for value in table[name].tolist()] for name in table}


def _plain(value: Any) -> Any:
    """A value as JSON can hold it: numbers to ten digits, missing and infinite ones as null."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.10g}") if np.isfinite(value) else None
