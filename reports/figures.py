"""The figures: each takes a tidy table and axes, draws, and gives the axes back.

Owns what is drawn. Nothing is computed here but positions on the page.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.stats import norm

from actstore.schema import BASELINE
from reports.style import COLORS, layer_color


def wasserstein_by_layer(neurons: pd.DataFrame, ax: Axes) -> Axes:
    """Wasserstein distance of every neuron, by layer, the selected ones marked."""
    # A golden-ratio sequence spreads the dots evenly and the same way every time.
    offset = (neurons["neuron"].to_numpy() * 0.6180339887) % 1 - 0.5
    x = neurons["layer"].to_numpy() + 0.7 * offset
    y = neurons["wasserstein_distance"].to_numpy()
    chosen = neurons["selected"].to_numpy(dtype=bool)
    ax.scatter(x[~chosen], y[~chosen], s=5, color=COLORS["rest"], alpha=0.5, linewidths=0, label="other neurons")
    ax.scatter(x[chosen], y[chosen], s=22, color=COLORS["top"], marker="D", linewidths=0, label="selected: top of each layer")
    ax.set_xticks(sorted(set(neurons["layer"])))
    ax.set(xlabel="layer", ylabel="Wasserstein distance to N(0, 1) (SD)", ylim=(0, None))
    ax.grid(axis="x", visible=False)
    ax.legend(loc="upper left", bbox_to_anchor=(0, 1.12), ncols=2, borderaxespad=0)
    return ax


def neuron_histogram(histogram: pd.DataFrame, ax: Axes) -> Axes:
    """One neuron's standardised pre-activations against the Gaussian, negative region shaded."""
    left, right, density = (histogram[name].to_numpy() for name in ("left", "right", "density"))
    zero = float(histogram["zero"].iloc[0])
    edges = np.append(left, right[-1])
    ax.stairs(density, edges, fill=True, color=COLORS["random"], alpha=0.75, label="pre-activation")
    grid = np.linspace(min(edges[0], -3.5), max(edges[-1], 3.5), 400)
    ax.plot(grid, norm.pdf(grid), color=COLORS["none"], linewidth=1.4, label="N(0, 1)")
    if zero > grid[0]:
        ax.axvspan(grid[0], min(zero, grid[-1]), color=COLORS["top"], alpha=0.14, linewidth=0, label="negative pre-activations")
    if grid[0] < zero < grid[-1]:
        ax.axvline(zero, color=COLORS["top"], linewidth=1)
    ax.set(xlabel="standardised pre-activation (SD)", ylabel="density", xlim=(grid[0], grid[-1]))
    ax.legend()
    return ax


def trajectory(table: pd.DataFrame, ax: Axes) -> Axes:
    """Mean Wasserstein distance of the final cohort and of the rest over training, by layer."""
    for (layer, cohort), rows in table.groupby(["layer", "cohort"]):
        color, rest = layer_color(int(layer)), cohort == "rest"  # type: ignore[call-overload]
        style: dict[str, Any] = {
            "linestyle": "--" if rest else "-",
            "linewidth": 1.2 if rest else 1.8,
            "marker": "" if rest else "o",
            "markersize": 3.5,
        }
        ax.plot(rows["checkpoint"], rows["mean"], color=color, label=f"layer {layer}, {'rest' if rest else 'cohort'}", **style)
        ax.fill_between(rows["checkpoint"], rows["mean_lower"], rows["mean_upper"], color=color, alpha=0.15, linewidth=0)
    ax.set_xscale("symlog", linthresh=1)
    ax.set(xlabel="training step", ylabel="mean Wasserstein distance (SD)", xlim=(0, None), ylim=(0, None))
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return ax


def interval_plot(table: pd.DataFrame, category: str, value: str, label: str, reference: float, ax: Axes) -> Axes:
    """A value with its 95% interval per category, one row of dots a cohort.

    Parameters
    ----------
    table : DataFrame
        Has `category`, `cohort`, `rule`, `value`, `value_lower`, `value_upper`.
    category, value : str
        Column names.
    label : str
        Of the value's axis.
    reference : float
        Where "no effect" is.
    ax : Axes
    """
    table = table[table["cohort"] != BASELINE]
    categories = list(dict.fromkeys(table[category]))
    cohorts = list(dict.fromkeys(table["cohort"]))
    place = {name: index for index, name in enumerate(reversed(categories))}
    ax.axvline(reference, color="black", linewidth=0.8)
    for index, cohort in enumerate(cohorts):
        rows = table[table["cohort"] == cohort]
        y = rows[category].map(place) + (index - (len(cohorts) - 1) / 2) * -0.28
        middle = rows[value]
        spread = [middle - rows[f"{value}_lower"], rows[f"{value}_upper"] - middle]
        ax.errorbar(
            middle, y, xerr=np.clip(np.array(spread), 0, None), fmt="o", markersize=4, capsize=2, elinewidth=1.2,
            color=COLORS.get(rows["rule"].iloc[0], COLORS["none"]), label=cohort,
        )  # fmt: skip
    ax.ticklabel_format(axis="x", useOffset=False)
    ax.set_yticks(list(place.values()), list(place))
    ax.set(xlabel=label, ylim=(-0.6, len(categories) - 0.4))
    ax.grid(axis="y", visible=False)
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(cohorts), borderaxespad=0.2, reverse=True)
    return ax
