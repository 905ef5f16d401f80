"""The report: from analysis results to one self-contained HTML file, with figures, tables and the data of neurons beside it.

Owns the page as a whole; its look is in `templates/report.{html,css,js}`, that of the neuron browser in `browser.{html,css,js}`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import matplotlib as mpl
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from actstore.errors import run_reporting
from actstore.files import disk_errors
from reports.about import DEFINITIONS, PAPER, about, labels
from reports.browser import browser_head, export_neurons
from reports.dark import dark_rules
from reports.evidence import claims_of, claims_view
from reports.export import Image, export_figures, export_tables, results_json, table_links
from reports.glossary import GLOSSARY
from reports.methods import limits, methods, provenance
from reports.registry import Section, drawn_sections
from reports.results import Results, load_results
from reports.study import Study, load_study
from reports.svg import Glyphs, inline, size_of
from reports.tables import page_tables

_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""Characters that end a script element, begin a comment in it, or end a line of JavaScript → how JSON escapes them."""

_PARTS = ("report", "browser")
"""Of the page's style and script."""

_WIDEST_BESIDE, _LETTERS_BESIDE = 560, 2.2
"""On paper: width of a figure, in points, that leaves room for its caption beside it; letters of a caption a point of height."""


class _Plot(NamedTuple):
    """A figure on the page."""

    number: int
    wide: Markup
    narrow: Markup | None
    data: list[tuple[str, str]]
    """The tables it is drawn from: how each is called, and its file."""
    width: int = 0
    """In points."""
    is_beside: bool = False
    """Whether its caption stands beside it on paper."""


def build(study: Study, folder: Path, out: Path) -> Path:
    """Write the report of a finished run; `index.html` comes last, and has this name only when it is whole.

    Parameters
    ----------
    study : Study
    folder : Path
        Of the run.
    out : Path
        Gets `index.html`, `results.json`, `claims.csv`, `figures/`, `tables/` and `neurons/`.

    Raises
    ------
    ActstoreError
        If a step has not been run, or the disk is full.
    """
    results = load_results(study, folder)
    return write(results, provenance(results, folder), out)


def write(results: Results, origin: dict[str, dict[str, str]], out: Path) -> Path:
    """Write the report of results, whose provenance is told by name; see `build`."""
    mpl.use("Agg")
    sections, missing = drawn_sections(results)
    claims = claims_of(results)
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        images = export_figures(sections, out)
        export_tables(results, claims, out)
        export_neurons(results, out)
        (out / "results.json").write_text(results_json(results, claims, sections, origin), encoding="utf-8")
        partial = out / "index.html.partial"
        partial.write_text(render(results, claims, sections, missing, images, origin), encoding="utf-8")
        return partial.replace(out / "index.html")


def render(
    results: Results,
    claims: pd.DataFrame,
    sections: list[Section],
    missing: list[str],
    images: dict[str, Image],
    origin: dict[str, dict[str, str]],
) -> str:
    """The whole page; all text from data is escaped."""
    environment = Environment(
        loader=PackageLoader("reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    glyphs = Glyphs()
    plots = _plots(results, sections, images, glyphs)
    environment.filters["file_link"] = quote
    source = {
        name: Markup("".join(environment.get_template(f"{part}.{name}").render() for part in _PARTS)) for name in ("css", "js")
    }
    head = browser_head(results)
    return environment.get_template("report.html").render(
        study=results.study,
        title=results.study.title or f"Negative pre-activations of {results.main.attributes['model']}",
        configuration=_configuration(results.study),
        claims=claims_view(claims, images),
        sections=sections,
        plots=plots,
        glyphs=glyphs.markup,
        dark=Markup(dark_rules(svg for plot in plots.values() for svg in plot[1:3] if svg)),
        about=about(results),
        labels=labels(results),
        paper=PAPER,
        definitions=DEFINITIONS,
        glossary=GLOSSARY,
        tables=list(page_tables(results)),
        methods=methods(results),
        limits=limits(results, missing),
        browser=head,
        browser_data=_script_data(head),
        provenance=origin,
        version=version("actstore"),
        **source,
    )


def _plots(results: Results, sections: list[Section], images: dict[str, Image], glyphs: Glyphs) -> dict[str, _Plot]:
    """Figures by name, numbered in the order of the page."""
    panels = {name: panel for section in sections for name, panel in section.panels.items()}
    plots = {}
    for number, (name, panel) in enumerate(panels.items(), start=1):
        image, data = images[name], table_links(panel.source, results)
        narrow = inline(image.narrow, f"{name}-narrow", panel.alt, glyphs) if image.narrow else None
        width, height = size_of(image.wide)
        is_beside = width <= _WIDEST_BESIDE and len(panel.note) + 40 * len(data) < height * _LETTERS_BESIDE
        plots[name] = _Plot(number, inline(image.wide, name, panel.alt, glyphs), narrow, data, round(width), is_beside)
    return plots


def _script_data(data: object) -> Markup | None:
    """JSON that stays inside its script element, whatever text is in it; None if there is none."""
    if not data:
        return None
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup("".join(_UNSAFE.get(character, character) for character in text))


def _configuration(study: Study) -> dict[str, str]:
    """The study's own keys, as text."""
    return {key: _text(value) for key, value in asdict(study).items() if key != "ablations" and value not in ("", (), [])}


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} = {part}" for key, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Render the report of a finished run."""
    parser = argparse.ArgumentParser(prog="python -m reports.build", description="Render the report of a finished run.")
    parser.add_argument("--study", type=Path, required=True, help="the study file")
    parser.add_argument("--runs", type=Path, required=True, help="the run's folder")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write index.html, results.json, figures and tables to"
    )
    options = parser.parse_args(arguments)
    return run_reporting(lambda: build(load_study(options.study), options.runs, options.out), "reports")


if __name__ == "__main__":
    sys.exit(main())
