"""A panel: one figure with its description, its finding and the source of its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from reports.style import COLORS, CYCLE, NARROW, styled

_AROUND_ROWS, _LINE = 0.9, 0.18
"""Height of what is above and below the rows of an interval plot, and of a line of their names; in inches."""


@dataclass(frozen=True)
class Panel:
    """A figure on the page with its texts."""

    title: str
    figure: Figure
    """One of `drawn` has a form for narrow screens too."""
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
    brief: str = ""
    """What the page begins with instead, where the finding has many numbers: at most three a sentence."""


class Drawing(Figure):
    """A figure that can be drawn again, for narrow screens."""

    draw_axes: Callable[[Any], object]
    subplots_arguments: Mapping[str, Any]

    def narrow(self) -> Figure:
        """The same with its axes one below the other, as wide as a phone."""
        arguments = dict(self.subplots_arguments)
        shape = arguments.pop("nrows", 1), arguments.pop("ncols", 1)
        is_squeezed = arguments.pop("squeeze", True)
        with styled():
            figure = Figure(figsize=(NARROW, float(self.get_figheight()) * shape[1]), layout="constrained")
            axes = figure.subplots(nrows=shape[0] * shape[1], ncols=1, squeeze=False, **arguments).reshape(shape)
            self.draw_axes(np.squeeze(axes)[()] if is_squeezed else axes)
            _make_room(figure)
        return figure


def drawn(draw: Callable[[Any], object], size: tuple[float, float], **subplots: Any) -> Drawing:
    """A figure in the house style.

    Parameters
    ----------
    draw : callable
        Takes the axes that `Figure.subplots` gives, and draws on them. It is called once more for narrow screens, where axes
        beside each other are one below the other.
    size : tuple of float
        Width and height, in inches.
    **subplots
        Passed on to `Figure.subplots`.
    """
    with styled():
        figure = Drawing(figsize=size, layout="constrained")
        figure.draw_axes, figure.subplots_arguments = draw, subplots
        draw(figure.subplots(**subplots))
        _make_room(figure)
    return figure


def _make_room(figure: Figure) -> None:
    """Make a figure so high that names of rows on several lines do not run into each other."""
    heights: dict[int, float] = {}
    for ax in figure.axes:
        place = ax.get_subplotspec()
        n_lines = [label.get_text().count("\n") + 1 for label in ax.get_yticklabels() if label.get_text()]
        if place is not None and n_lines:
            row = place.rowspan.start
            heights[row] = max(heights.get(row, 0.0), _AROUND_ROWS + _LINE * len(n_lines) * max(n_lines))
    figure.set_figheight(max(float(figure.get_figheight()), sum(heights.values())))


def plot_height(n_categories: int, n_levels: int) -> float:
    """Height of an interval plot, in inches."""
    return _AROUND_ROWS + n_categories * max(0.3, 0.1 + 0.11 * n_levels)


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
