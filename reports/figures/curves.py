"""Figures of curves: a value along training or along the share of neurons, with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from analysis.rows import of_single_layers
from reports.style import layer_color, legend_above

_MARKERS = "osD^vP*Xh<>"
_COHORT_STYLE: dict[str, Any] = {"marker": "o", "markersize": 3.5, "linewidth": 1.7}
_REST_STYLE: dict[str, Any] = {"linestyle": "--", "linewidth": 1.1}
_FEW_LAYERS = 8
"""With more layers than this a legend names the first, the middle and the last."""


def by_layer(table: pd.DataFrame, label: str, ax: Axes) -> Axes:
    """Means of a cohort and of the rest over training (`checkpoint`, `layer`, `cohort`, `mean`, bounds), a colour a layer.

    Rows over all layers are left out.
    """
    table = of_single_layers(table)
    layers = sorted(set(table["layer"]))
    named = layers if len(layers) <= _FEW_LAYERS else [layers[0], layers[len(layers) // 2], layers[-1]]
    for (layer, cohort), rows in table.groupby(["layer", "cohort"]):
        color, is_rest = layer_color(layers.index(layer), len(layers)), cohort == "rest"
        name = f"layer {layer}, {'rest' if is_rest else 'cohort'}" if layer in named else None
        ax.plot(rows["checkpoint"], rows["mean"], color=color, label=name, **(_REST_STYLE if is_rest else _COHORT_STYLE))
        ax.fill_between(rows["checkpoint"], rows["mean_lower"], rows["mean_upper"], color=color, alpha=0.12, linewidth=0)
    training_axis(ax)
    ax.set(ylabel=label, ylim=(0, None))
    legend_above(ax, most=4)
    return ax


def lines(
    table: pd.DataFrame,
    x: str,
    value: str,
    by: str,
    ax: Axes,
    *,
    colors: Mapping[str, str],
    reference: float | None = None,
    bounds: Sequence[str] = ("lower", "upper"),
) -> Axes:
    """A value with its band along `x`, one line a level of `by`.

    Parameters
    ----------
    table : DataFrame
        Has `x`, `by`, `value` and its two bounds.
    x, value, by : str
        Column names.
    ax : Axes
    colors : mapping of str to str
        Of the levels, in the order in which they are drawn.
    reference : float, optional
        Where "no effect" is.
    bounds : two str
        Columns of the interval.
    """
    if reference is not None:
        ax.axhline(reference, color="black", linewidth=0.8)
    for index, (level, color) in enumerate(colors.items()):
        rows = table[table[by] == level].sort_values(x)
        if rows.empty:
            continue
        marker = _MARKERS[index % len(_MARKERS)]
        ax.plot(rows[x], rows[value], color=color, marker=marker, markersize=4, linewidth=1.6, label=level)
        ax.fill_between(rows[x], rows[bounds[0]], rows[bounds[1]], color=color, alpha=0.15, linewidth=0)
    legend_above(ax)
    return ax


def training_axis(ax: Axes) -> None:
    """Training steps on a logarithmic axis that has a zero."""
    ax.set_xscale("symlog", linthresh=1)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:g}" if step < 1000 else f"{step / 1000:g}k"))
    ax.set(xlabel="training step", xlim=(0, None))
