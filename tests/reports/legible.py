"""What makes a figure hard to read: labels that run into each other, colours that nothing names, dots off their rows."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex


def drawn_boxes(figure):
    """The renderer of a figure that was laid out."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return canvas.get_renderer()


def colliding_ticks(figure):
    """Pairs of tick labels of one axis that overlap."""
    renderer = drawn_boxes(figure)
    found = []
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            labels = [
                tick.label1
                for tick in axis.get_major_ticks()
                if tick.label1.get_visible() and tick.label1.get_text() and low <= tick.get_loc() <= high
            ]
            boxes = [(label.get_text(), label.get_window_extent(renderer)) for label in labels]
            found += [(a, b) for (a, first), (b, second) in combinations(boxes, 2) if first.overlaps(second)]
    return found


def texts_over_each_other(figure):
    """Titles, axis labels and legends that overlap with those of the same or other axes."""
    renderer = drawn_boxes(figure)
    boxes = []
    for ax in figure.axes:
        texts = [ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label]
        boxes += [
            (text.get_text(), text.get_window_extent(renderer)) for text in texts if text.get_text() and text.get_visible()
        ]
        if ax.get_legend():
            boxes.append(("legend", ax.get_legend().get_window_extent(renderer)))
    boxes += [("legend of the figure", legend.get_window_extent(renderer)) for legend in figure.legends]
    return [(a, b) for (a, first), (b, second) in combinations(boxes, 2) if first.overlaps(second)]


def unnamed_colors(figure):
    """Colours of data that neither a legend nor the name of a row explains; black lines and open dots are no data."""
    named, used = set(), set()
    legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
    for legend in legends:
        for handle in legend.legend_handles:
            named |= colors_of(handle)
    for ax in figure.axes:
        if not dots_are_rows(ax):
            used = used.union(*map(colors_of, (*ax.lines, *ax.collections, *ax.patches)))
    return used - named - {"#000000", "#ffffff"}


def dots_are_rows(ax):
    """Whether every set of dots lies on one row, which a label names."""
    rows = set(ax.get_yticks()) if any(label.get_text() for label in ax.get_yticklabels()) else set()
    heights = [set(container[0].get_ydata()) for container in ax.containers]
    return bool(heights) and all(len(of_set) == 1 and of_set <= rows for of_set in heights)


def colors_of(artist):
    """Colours of an artist, as text without transparency."""
    getters = ("get_color", "get_facecolor", "get_edgecolor", "get_markerfacecolor")
    values = [getattr(artist, name)() for name in getters if hasattr(artist, name)]
    colors = set()
    for value in values:
        rows = [value] if isinstance(value, str) else np.atleast_2d(value)
        colors |= {to_hex(row) for row in rows if not isinstance(row, str) or row.lower() != "none"}
    parts = artist.get_children() if type(artist).__name__ in ("ErrorbarContainer", "BarContainer") else ()
    return colors.union(*map(colors_of, parts)) if parts else colors
