"""A panel: one figure with what it shows, what was found, and where its numbers are from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from reports.style import COLORS, CYCLE, styled


@dataclass(frozen=True)
class Panel:
    """A figure on the page."""

    key: str
    """Of its files and its anchor."""
    title: str
    figure: Figure
    alt: str
    finding: str
    """One sentence made from the numbers, hedged as these ask."""
    note: str
    """What is drawn: intervals, n, corrections."""
    source: str
    """The tables it is drawn from, below the run's folder."""


def drawn(draw: Callable[[Any], object], size: tuple[float, float], **subplots: Any) -> Figure:
    """A figure in the house style; `draw` takes its axes."""
    with styled():
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots(**subplots))
    return figure


def rows_high(n_categories: int, n_levels: int) -> float:
    """Height in inches of an interval plot."""
    return 0.9 + n_categories * max(0.3, 0.1 + 0.11 * n_levels)


def cohort_colors(rules: Mapping[str, str]) -> dict[str, str]:
    """Colours of cohorts by their rule; a second cohort of a rule has one of its own."""
    found: dict[str, str] = {}
    for cohort, rule in rules.items():
        color = COLORS.get(rule, COLORS["none"])
        spare = [one for one in CYCLE if one not in found.values() and one not in COLORS.values()] + [COLORS["file"]]
        found[cohort] = color if color not in found.values() else spare[0]
    return found
