"""Figures of dots with intervals: a value in every category, a row of dots for each level."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from reports.matching import NOT_MATCHED
from reports.style import printable, shortened


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
    distance = min(0.28, 0.8 / max(len(levels), 1))
    ax.axvline(reference, color="black", linewidth=0.8)
    for index, level in enumerate(levels):
        rows = table[table[by] == level]
        y = rows[category].map(heights) - (index - (len(levels) - 1) / 2) * distance
        x = rows[value]
        reach = np.clip(np.array([x - rows[lower], rows[upper] - x], dtype=float), 0, None)
        ax.errorbar(x, y, xerr=reach, fmt="o", markersize=4, capsize=2, elinewidth=1.2, color=colors[level], label=level)
    ax.ticklabel_format(axis="x", useOffset=False)
    ax.set_yticks(list(heights.values()), [_label(str(name)) for name in heights], parse_math=False)
    ax.set(xlabel=label, ylim=(-0.6, len(categories) - 0.4))
    ax.grid(axis="y", visible=False)
    if len(levels) > 1 and by != category:
        ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=min(len(levels), 3), borderaxespad=0.2, fontsize=8.5)
    return ax


def _label(name: str) -> str:
    """A category's name; a long one is cut, but the mark of a control that is not matched stays."""
    head, mark, _ = name.partition(NOT_MATCHED)
    return shortened(printable(head), 40) + mark


def quantile_plot(table: pd.DataFrame, ax: Axes) -> Axes:
    """Residuals against the normal (`normal`, `residual`)."""
    end = float(table["normal"].abs().max())
    ax.plot([-end, end], [-end, end], color="black", linewidth=0.8)
    ax.plot(table["normal"], table["residual"], "o", markersize=2.5, color="#0072b2")
    ax.set(xlabel="quantile of N(0, 1)", ylabel="residual (SD)")
    return ax


def spread_plot(table: pd.DataFrame, ax: Axes) -> Axes:
    """Spread of the residuals along the fitted values (`fitted`, `residual_mean`, `residual_sd`)."""
    ax.axhline(0, color="black", linewidth=0.8)
    ax.errorbar(
        table["fitted"], table["residual_mean"], yerr=table["residual_sd"], fmt="o", markersize=3, color="#0072b2", elinewidth=1
    )
    ax.set(xlabel="fitted change (nats)", ylabel="residual: mean ± SD (nats)")
    return ax
