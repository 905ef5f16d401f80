"""Figures of dots with intervals: a value in every category, a row of dots a group."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from reports.matching import NOT_MATCHED
from reports.style import printable, shortened


def interval_plot(
    table: pd.DataFrame, category: str, by: str, value: str, ax: Axes, *, colors: Mapping[str, str], label: str, reference: float,
    bounds: tuple[str, str] | None = None,
) -> Axes:  # fmt: skip
    """A value with its 95% interval in every category, one row of dots a level of `by`.

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
    present = [level for level in colors if (table[by] == level).any()]
    place = {name: index for index, name in enumerate(reversed(categories))}
    step = min(0.28, 0.8 / max(len(present), 1))
    ax.axvline(reference, color="black", linewidth=0.8)
    for index, level in enumerate(present):
        rows = table[table[by] == level]
        y = rows[category].map(place) + (index - (len(present) - 1) / 2) * -step
        middle = rows[value]
        spread = np.clip(np.array([middle - rows[lower], rows[upper] - middle], dtype=float), 0, None)
        ax.errorbar(middle, y, xerr=spread, fmt="o", markersize=4, capsize=2, elinewidth=1.2, color=colors[level], label=level)
    ax.ticklabel_format(axis="x", useOffset=False)
    ax.set_yticks(list(place.values()), [_shown(str(name)) for name in place], parse_math=False)
    ax.set(xlabel=label, ylim=(-0.6, len(categories) - 0.4))
    ax.grid(axis="y", visible=False)
    if len(present) > 1 and by != category:
        ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=min(len(present), 3), borderaxespad=0.2, fontsize=8.5)
    return ax


def _shown(name: str) -> str:
    """A category's name, cut where it is long, but for the mark of a control that is not matched."""
    head, mark, _ = name.partition(NOT_MATCHED)
    return shortened(printable(head), 40) + mark


def quantile_plot(table: pd.DataFrame, ax: Axes) -> Axes:
    """Residuals against the normal (`normal`, `residual`)."""
    reach = float(table["normal"].abs().max())
    ax.plot([-reach, reach], [-reach, reach], color="black", linewidth=0.8)
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
