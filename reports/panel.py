"""A panel: one figure with its description, its finding and the source of its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from reports.style import COLORS, CYCLE, styled


@dataclass(frozen=True)
class Panel:
    """A figure on the page with its texts."""

    title: str
    figure: Figure
    alt: str
    """What is drawn, for readers who cannot see the figure."""
    finding: str
    """One sentence made from the numbers, hedged as their intervals ask."""
    note: str
    """Below the figure: intervals, n, corrections."""
    source: str
    """The tables that it is drawn from, below the run's folder."""
    is_headline: bool = False
    """Whether the page begins with its finding."""


def drawn(draw: Callable[[Any], object], size: tuple[float, float], **subplots: Any) -> Figure:
    """A figure in the house style.

    Parameters
    ----------
    draw : callable
        Takes the axes that `Figure.subplots` gives, and draws on them.
    size : tuple of float
        Width and height, in inches.
    **subplots
        Passed on to `Figure.subplots`.
    """
    with styled():
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots(**subplots))
    return figure


def plot_height(n_categories: int, n_levels: int) -> float:
    """Height of an interval plot, in inches."""
    return 0.9 + n_categories * max(0.3, 0.1 + 0.11 * n_levels)


def cohort_colors(rules: Mapping[str, str]) -> dict[str, str]:
    """Colours of cohorts by their rule; a second cohort of the same rule gets a colour of its own."""
    colors: dict[str, str] = {}
    for cohort, rule in rules.items():
        of_rule = COLORS.get(rule, COLORS["none"])
        colors[cohort] = of_rule if of_rule not in colors.values() else _spare_color(colors)
    return colors


def _spare_color(colors: Mapping[str, str]) -> str:
    """The first colour that neither a cohort nor a rule has."""
    taken = {*colors.values(), *COLORS.values()}
    return next((color for color in CYCLE if color not in taken), COLORS["file"])
