"""Figures of dots with intervals: a value in every category, a row of dots for each level."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from reports.matching import NOT_MATCHED
from reports.style import is_narrow, legend_above, printable, shortened, value_ticks

_NARROW_AXIS = 40
"""Letters on a line of the name of an axis, on narrow screens."""
_LABEL, _NARROW_LABEL, _LONGEST = 36, 18, 40
"""Letters on a line of a category's name, also in narrow axes; the longest line of a name that has no place to break."""


def interval_plot(
    table: pd.DataFrame,
    category: str,
    by: str,
    value: str,
    ax: Axes,
    *,
    colors: Mapping[str, str],
    label: str,
    reference: float,
    bounds: tuple[str, str] | None = None,
) -> Axes:
    """A value with its 95% interval in every category, one row of dots for each level of `by`.

    Parameters
    ----------
    table : DataFrame
        Has `category`, `by`, `value` and its bounds.
    category, by, value : str
        Column names.
    ax : Axes
    colors : mapping of str to str
        Of the levels of `by`, in the order in which they are drawn.
    label : str
        Of the value's axis.
    reference : float
        Where "no effect" is.
    bounds : two str, optional
        Columns of the interval; `value_lower` and `value_upper` by default.
    """
    lower, upper = bounds or (f"{value}_lower", f"{value}_upper")
    categories = list(dict.fromkeys(table[category]))
    levels = [level for level in colors if (table[by] == level).any()]
    heights = {name: height for height, name in enumerate(reversed(categories))}
    distance = 0 if by == category else min(0.28, 0.8 / max(len(levels), 1))
    ax.axvline(reference, color="black", linewidth=0.8)
    for index, level in enumerate(levels):
        rows = table[table[by] == level]
        y = rows[category].map(heights) - (index - (len(levels) - 1) / 2) * distance
        x = rows[value]
        reach = np.clip(np.array([x - rows[lower], rows[upper] - x], dtype=float), 0, None)
        ax.errorbar(x, y, xerr=reach, fmt="o", markersize=4, capsize=2, elinewidth=1.2, color=colors[level], label=level)
        has_no_width = (rows[upper] == rows[lower]).to_numpy()
        ax.plot(x[has_no_width], y[has_no_width], "o", markersize=4, color=colors[level], markerfacecolor="white", zorder=3)
    value_ticks(ax)
    ax.set_yticks(list(heights.values()), [_label(str(name), ax) for name in heights], parse_math=False)
    ax.set(xlabel=_wrapped(label, _NARROW_AXIS) if is_narrow(ax) else label, ylim=(-0.6, len(categories) - 0.4))
    ax.grid(axis="y", visible=False)
    if by != category:
        legend_above(ax)
    return ax


def _label(name: str, ax: Axes) -> str:
    """A category's name, on several lines where it is long.

    A very long one is cut, but the mark of a control that is not matched stays.
    """
    head, mark, _ = name.partition(NOT_MATCHED)
    place = ax.get_subplotspec()
    n_beside = place.get_gridspec().ncols if place is not None else 1
    return _wrapped(shortened(printable(head), 60) + mark, _NARROW_LABEL if is_narrow(ax) or n_beside > 1 else _LABEL)


def _wrapped(text: str, length: int) -> str:
    """Text on lines of about such a length, broken after spaces and underscores."""
    lines = [""]
    for part in re.findall(r"[^ _]*[ _]|[^ _]+", text):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > length:
            lines.append("")
        lines[-1] += part
    return "\n".join(shortened(line.rstrip(), _LONGEST) for line in lines)


def quantile_plot(table: pd.DataFrame, ax: Axes) -> Axes:
    """Residuals against the normal (`normal`, `residual`)."""
    end = float(table["normal"].abs().max())
    ax.plot([-end, end], [-end, end], color="black", linewidth=0.8, label="as in a normal distribution")
    ax.plot(table["normal"], table["residual"], "o", markersize=2.5, color="#0072b2", label="quantiles of the residuals")
    ax.set(xlabel="quantile of N(0, 1)", ylabel="residual (SD)")
    legend_above(ax, most=1)
    return ax


def spread_plot(table: pd.DataFrame, ax: Axes) -> Axes:
    """Spread of the residuals along the fitted values (`fitted`, `residual_mean`, `residual_sd`)."""
    ax.axhline(0, color="black", linewidth=0.8)
    style: dict[str, Any] = {
        "fmt": "o",
        "markersize": 3,
        "color": "#0072b2",
        "elinewidth": 1,
        "label": "mean ± SD of the residuals",
    }
    ax.errorbar(table["fitted"], table["residual_mean"], yerr=table["residual_sd"], **style)
    ax.set(xlabel="fitted change (nats)", ylabel="residual (nats)")
    value_ticks(ax)
    legend_above(ax, most=1)
    return ax
