"""Tables of the gallery, from files of finished studies, in the words and with the rounding of their reports.

`claims-table` names a `claims.csv` and shows the contrasts of its first model; `verdicts-table` names several, a line each, and
shows the verdict of each claim for each first model; `facts-table` shows a `facts.csv` as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from analysis.claims.verdict import VERDICTS
from reports.evidence import Claims, claims_view

_SHOWN = ("claim", "contrast", "estimate", "p (Holm)", "verdict")
"""The columns of a report's table that fit a page of text."""


def read_claims(file: Path) -> pd.DataFrame:
    """The claims of a study's first model; text that is missing is empty."""
    table = pd.read_csv(file).fillna({"units": "", "missing": ""})
    return table[table["model"] == table["model"].iloc[0]]


def contrasts(claims: Claims) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of a model's contrasts."""
    (table,) = claims.tables
    shown = [table.head.index(name) for name in _SHOWN]
    return list(_SHOWN), [[row[index].text for index in shown] for row in table.rows]


def verdicts(claims: Claims) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of verdicts: claims by models."""
    return ["claim", "statement", *claims.models], [[claim.key, claim.statement, *claim.verdicts] for claim in claims.claims]


def table_of(head: Sequence[str], rows: Sequence[Sequence[str]], *classes: str, caption: str = "") -> nodes.table:
    """A table as a node; cells that hold a verdict have it as a class."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in head), cols=len(head))
    group += nodes.thead("", _row(head))
    group += nodes.tbody("", *map(_row, rows))
    table = nodes.table("", group, classes=["claims", *classes])
    if caption:
        table.insert(0, nodes.title(caption, caption))
    return table


def _row(cells: Sequence[str]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph(cell, cell), classes=_classes(cell)) for cell in cells))


def _classes(cell: str) -> list[str]:
    """The verdict that a cell holds, before what else it says of it."""
    said = cell.partition(":")[0]
    return ["verdict", said.replace(" ", "-")] if said in VERDICTS else []


class _Table(SphinxDirective):
    def file(self, name: str) -> Path:
        """A file beside the page, which is built again when it changes."""
        relative, absolute = self.env.relfn2path(name)
        self.env.note_dependency(relative)
        return Path(absolute)

    def claims(self, *names: str) -> Claims:
        """The claims of these files' first models."""
        return claims_view(pd.concat([read_claims(self.file(name)) for name in names]), ())


class ClaimsTable(_Table):
    """The contrasts of a model with their estimates and verdicts."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Read the table as the page is read."""
        claims = self.claims(self.arguments[0])
        return [table_of(*contrasts(claims), "contrasts", caption=claims.tables[0].caption)]


class VerdictsTable(_Table):
    """The verdicts of all claims for several models."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Read the tables as the page is read."""
        return [table_of(*verdicts(self.claims(*self.content)), "verdicts")]


class FactsTable(_Table):
    """What was run."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Read the table as the page is read."""
        table = pd.read_csv(self.file(self.arguments[0]), dtype=str)
        return [table_of(list(table), table.to_numpy().tolist())]
