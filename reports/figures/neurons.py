"""Figures of neurons: their distances, their distributions and the inputs they drive apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from scipy.stats import norm

from reports.style import COLORS, POOLS, is_narrow, legend_above, printable, shortened

_MANY = 1000
"""More dots than this are drawn as an image inside the vector graphics."""
_BAR_STYLE: dict[str, Any] = {"markersize": 4.5, "capsize": 2}
_BEHIND_TEXT = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
_SIGNS = {"NN": "negative–negative", "PN": "mixed", "PP": "positive–positive"}


def wasserstein_by_layer(neurons: pd.DataFrame, ax: Axes) -> Axes:
    """Wasserstein distance of every neuron by layer, the selected ones marked.

    The table has `layer`, `neuron`, `wasserstein_distance` and `selected`.
    """
    # A golden-ratio sequence spreads the dots evenly and the same way every time.
    offset = (neurons["neuron"].to_numpy() * 0.6180339887) % 1 - 0.5
    table = neurons.assign(x=neurons["layer"].to_numpy() + 0.7 * offset)
    ax = _dots(table, "x", "wasserstein_distance", ax, size=22)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=16))
    ax.set(xlabel="layer", ylabel="Wasserstein distance to N(0, 1) (SD)", ylim=(0, None))
    ax.grid(axis="x", visible=False)
    legend_above(ax)
    return ax


def statistic_scatter(neurons: pd.DataFrame, x: str, y: str, labels: tuple[str, str], ax: Axes) -> Axes:
    """Two statistics of every neuron against each other, the selected ones marked."""
    ax = _dots(neurons, x, y, ax, size=16)
    ax.set(xlabel=labels[0], ylabel=labels[1])
    return ax


def _dots(neurons: pd.DataFrame, x: str, y: str, ax: Axes, size: float) -> Axes:
    is_selected = neurons["selected"].to_numpy(dtype=bool)
    is_image = len(neurons) > _MANY
    selected, others = neurons[is_selected], neurons[~is_selected]
    rest: dict[str, Any] = {"color": COLORS["rest"], "linewidths": 0, "alpha": 0.5}
    ax.scatter([], [], s=16, label="other neurons", **rest)
    ax.scatter(others[x], others[y], s=3 if is_image else 5, rasterized=is_image, **rest)
    style: dict[str, Any] = {"color": COLORS["top"], "linewidths": 0, "marker": "D", "label": "selected: top of each layer"}
    ax.scatter(selected[x], selected[y], s=size, **style)
    return ax


def neuron_histogram(histogram: pd.DataFrame, ax: Axes) -> Axes:
    """One neuron's standardised pre-activations against the Gaussian, the negative region shaded.

    The table has a row for each bin: `left`, `right`, `density`, and `zero`, where raw zero lies.
    """
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
    legend_above(ax)
    return ax


def separated_pairs(pairs: pd.DataFrame, ax: Axes) -> Axes:
    """Pairs of similar inputs (of `pairs_in_context`) at their pre-activations, each with its words on a line of its own."""
    heights = list(reversed(range(len(pairs))))
    values = pairs[["preactivation_a", "preactivation_b"]]
    lower, upper = values.min(axis=1), values.max(axis=1)
    ax.hlines(heights, lower, upper, color=COLORS["rest"], linewidth=1.2, label="a pair of similar inputs")
    for side, label in (("a", "one of the two"), ("b", None)):
        ax.plot(pairs[f"preactivation_{side}"], heights, "o", color=COLORS["random"], markersize=6, label=label)
    for height, (_, row) in zip(heights, pairs.iterrows(), strict=True):
        for side in "ab":
            _annotate(row, side, height, ax)
    span = (float(upper.max() - lower.min()) or 1.0) * (0.1 if is_narrow(ax) else 1.3)
    ax.axvline(0, color=COLORS["top"], linewidth=1, label="zero")
    ax.set(xlim=(lower.min() - span, max(float(upper.max()), 0.0) + span), ylim=(-0.6, len(pairs) - 0.3))
    ax.set(xlabel="pre-activation", yticks=[])
    ax.grid(axis="y", visible=False)
    ax.spines["left"].set_visible(False)
    legend_above(ax)
    return ax


def _annotate(row: pd.Series, side: str, height: float, ax: Axes) -> None:
    """The words of one end of a pair, beside its dot; above it where there is no room beside it."""
    value = row[f"preactivation_{side}"]
    other = row[f"preactivation_{'b' if side == 'a' else 'a'}"]
    is_left = value < other or (value == other and side == "a")
    if is_narrow(ax):
        place, where = (0.0 if is_left else 1.0, height + 0.3), ax.get_yaxis_transform()
        style: dict[str, Any] = {"ha": "left" if is_left else "right", "va": "center", "fontsize": 8, "parse_math": False}
        ax.text(*place, _context(row, side, (8, 14, 5)), transform=where, bbox=_BEHIND_TEXT, **style)
        return
    ax.annotate(
        _context(row, side, (18, 20, 14)),
        (value, height),
        (-9 if is_left else 9, 0),
        textcoords="offset points",
        ha="right" if is_left else "left",
        va="center",
        fontsize=8.5,
        parse_math=False,
        bbox=_BEHIND_TEXT,
    )


def _context(row: pd.Series, side: str, lengths: tuple[int, int, int]) -> str:
    """A word in brackets with what stands before and after it."""
    before, text, after = (printable(str(row[f"{part}_{side}"])) for part in ("before", "text", "after"))
    n_before, n_text, n_after = lengths
    return f"{shortened(before, n_before, from_end=True)}[{shortened(text.strip(), n_text)}]{shortened(after, n_after)}"


def share_by_layer(table: pd.DataFrame, ax: Axes) -> Axes:
    """A share of the selected neurons and of the rest (`layer`, `cohort`, `mean`, bounds), by layer."""
    for index, (cohort, label) in enumerate((("top", "Wasserstein neurons"), ("rest", "other neurons"))):
        rows = table[table["cohort"] == cohort]
        reach = np.array([rows["mean"] - rows["mean_lower"], rows["mean_upper"] - rows["mean"]])
        style = {"color": COLORS[cohort], "label": label, "elinewidth": 1.2, **_BAR_STYLE}
        ax.errorbar(rows["layer"] + 0.16 * (index - 0.5), rows["mean"], yerr=np.clip(reach, 0, None), fmt="o", **style)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=16))
    ax.set(xlabel="layer", ylim=(0, 1))
    ax.grid(axis="x", visible=False)
    return ax


def pair_signs(table: pd.DataFrame, signs: str, ax: Axes) -> Axes:
    """Share of one kind of pairs by layer: similar pairs and the baselines.

    The table has `layer`, `pool`, `signs`, `pair_frac` and its bounds.
    """
    table = table[table["signs"] == signs]
    pools = [pool for pool in POOLS if (table["pool"] == pool).any()]
    for index, pool in enumerate(pools):
        rows = table[table["pool"] == pool].dropna(subset=["pair_frac"])
        y = rows["pair_frac"]
        reach = np.clip(np.array([y - rows["pair_frac_lower"], rows["pair_frac_upper"] - y]), 0, None)
        label, color, marker = POOLS[pool]
        style = {"color": color, "label": label, "elinewidth": 1.1, **_BAR_STYLE}
        x = rows["layer"] + 0.2 * (index - (len(pools) - 1) / 2)
        ax.errorbar(x, y, yerr=np.nan_to_num(reach), fmt=marker, **style)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    ax.set(xlabel="layer", ylim=(-0.03, 1.03), title=_SIGNS[signs])
    ax.grid(axis="x", visible=False)
    return ax
