"""The claims of the paper at the head of the page: a verdict for every claim and model, and the contrasts behind it.

Owns their words and rounding; the numbers and verdicts are `analysis.claims`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from analysis.claims.contrasts import CLAIMS, Evidence
from analysis.claims.table import claims_table
from analysis.contrasts import BOUNDS
from reports.results import Results
from reports.sentences import interval, number, p_value
from reports.tables import Cell, Table

_FIGURES = {
    "C1": ("wasserstein-distance", "shape"),
    "C2": ("functional-share", "pair-signs"),
    "C3": ("smooth-and-relu",),
    "C4": ("perplexity", "sweep"),
    "C5": ("phenomena",),
    "C6": ("dissociation",),
    "C7": ("surprisal-contrasts",),
    "C8": ("layers",),
    "C9": ("distance-over-training", "ablation-over-training"),
}
"""Claim → the figures that show it, the first of which that is drawn is linked."""
_HEAD = ["claim", "contrast", "estimate", "p (Holm)", "no effect beyond", "smallest detectable", "verdict"]


@dataclass(frozen=True)
class Claim:
    """A claim, with its verdict for each model."""

    key: str
    statement: str
    verdicts: list[str]
    figure: str
    """Name of its figure; empty if none is drawn."""


@dataclass(frozen=True)
class Claims:
    """What the page says of the claims."""

    models: list[str]
    claims: list[Claim]
    tables: list[Table]
    """One a model: its contrasts."""


def claims_of(results: Results) -> pd.DataFrame:
    """The table of claims of a study, one block of rows a model."""
    evidence = [
        Evidence(
            results.model_name(run),
            run.attributes.get("nonlinearity", ""),
            run.tables,
            {ablation.name: ablation.tables for ablation in results.ablations.values() if ablation.model == run.model},
        )
        for run in results.models.values()
    ]
    return claims_table(evidence)


def claims_view(table: pd.DataFrame, figures: Collection[str]) -> Claims:
    """The claims as the page shows them.

    Parameters
    ----------
    table : DataFrame
        Of `claims_of`.
    figures : collection of str
        Names of the figures that are drawn.
    """
    models = list(dict.fromkeys(table["model"]))
    verdicts = table.groupby(["claim", "model"], sort=False)["claim_verdict"].first()
    claims = [
        Claim(
            key,
            statement,
            [verdicts[key, model] for model in models],
            next((name for name in _FIGURES[key] if name in figures), ""),
        )
        for key, (statement, _) in CLAIMS.items()
    ]
    return Claims(models, claims, [_contrasts(model, table[table["model"] == model]) for model in models])


def _contrasts(model: str, rows: pd.DataFrame) -> Table:
    caption = f"The contrasts of {model}: 95% intervals; p-values by Holm over all of them."
    return Table(f"claims-{model}", caption, _HEAD, [_cells(row) for _, row in rows.iterrows()], "claims.csv")


def _cells(row: pd.Series) -> list[Cell]:
    contrast = row["contrast"] if row["is_main"] else f"also: {row['contrast']}"
    head = [Cell(row["claim"]), Cell(f"{contrast} (claimed {row['claimed']})")]
    if row["missing"]:
        return [*head, *[Cell("")] * 4, Cell(f"{row['verdict']}: {row['missing']}")]
    units = "" if row["units"] == "share" else f" {row['units']}"
    numbers = [number(float(row[name]), _digits(row)) + units for name in ("equivalence_bound", "detectable")]
    p = p_value(float(row["p_adjusted"])).removeprefix("p = ").removeprefix("p ")
    return [
        *head,
        Cell(interval(row, "estimate", _digits(row), BOUNDS) + units),
        Cell(p),
        *map(Cell, numbers),
        Cell(row["verdict"]),
    ]


def _digits(row: pd.Series) -> int:
    """Decimals that show the width of an interval: 3, or 4 where it is narrow."""
    return 4 if row["upper"] - row["lower"] < 0.02 else 3
