"""How figures look, and how text of corpora is drawn in them.

Owns colours that colour-blind readers can tell apart, sizes, and what stands for characters that the font lacks.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import matplotlib as mpl
from matplotlib import colormaps, font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Okabe & Ito (2008), a palette that the common colour-blindnesses keep apart.
COLORS = {
    "top": "#d55e00",
    "random": "#0072b2",
    "bottom": "#009e73",
    "matched": "#e69f00",
    "perplexity-matched": "#cc79a7",
    "file": "#56b4e9",
    "rest": "#8c8c8c",
    "none": "#000000",
}
CYCLE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6d00", "#555555")
POOLS = {
    "similar": ("similar inputs", "#d55e00", "o"),
    "matched": ("matched, dissimilar inputs", "#0072b2", "s"),
    "sign_frequencies": ("from the signs alone", "#8c8c8c", "^"),
}
NARROW = 4.3
"""Width of a figure for narrow screens, in inches."""
_LETTER, _HANDLE = 4.7, 42.0
"""About how wide a letter of a legend is, and the rest of its entry; in points."""
_RC: dict[str, Any] = {
    "figure.dpi": 100,
    "savefig.dpi": 160,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.hashsalt": "actstore",
}


@contextmanager
def styled() -> Iterator[None]:
    """The house style, for the figures drawn inside."""
    with mpl.rc_context(_RC):  # type: ignore[arg-type]
        yield
        is_interactive = mpl.is_interactive()
    mpl.interactive(is_interactive)  # a notebook turns it on with its first figure; else no later one would be shown


def layer_color(index: int, n_layers: int = 1) -> str:
    """The colour of a layer, the same in every figure of a model."""
    return CYCLE[index] if n_layers <= len(CYCLE) else to_hex(colormaps["viridis"](index / (n_layers - 1) * 0.9))


def is_narrow(ax: Axes) -> bool:
    """Whether axes are part of a figure for narrow screens."""
    return bool(ax.get_figure(root=True).get_figwidth() <= NARROW)  # type: ignore[union-attr]


def legend_columns(labels: Sequence[str], ax: Axes, most: int = 3, share: float = 1.0) -> int:
    """How many columns of a legend fit beside each other, in a share of the figure's width."""
    width = ax.get_figure(root=True).get_figwidth() * 72 * 0.95 * share  # type: ignore[union-attr]
    for n in range(min(most, len(labels)), 1, -1):
        rows = -(-len(labels) // n)
        columns = [max(map(len, labels[first : first + rows])) for first in range(0, len(labels), rows)]
        if sum(_LETTER * longest + _HANDLE for longest in columns) <= width:
            return n
    return 1


def legend_above(ax: Axes, *, most: int = 3) -> None:
    """A legend above axes, in as many columns as fit."""
    handles, labels = ax.get_legend_handles_labels()
    place = ax.get_subplotspec()
    n_beside = place.get_gridspec().ncols if place is not None else 1
    if labels:
        corner: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "borderaxespad": 0.2}
        ax.legend(handles, labels, ncols=legend_columns(labels, ax, most, 1 / n_beside), **corner)


def shared_legend(axes: Iterable[Axes], *, most: int = 3) -> None:
    """One legend above a figure, of all that any of its axes have, in place of one for each."""
    axes = list(axes)
    entries: dict[str, Any] = {}
    for ax in axes:
        entries = dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True)) | entries
        if ax.get_legend():
            ax.get_legend().remove()  # type: ignore[union-attr]
    figure = axes[0].get_figure(root=True)
    if entries and figure is not None:
        n_columns = legend_columns(list(entries), axes[0], most)
        figure.legend(entries.values(), entries.keys(), loc="outside upper left", ncols=n_columns)


def value_ticks(ax: Axes) -> None:
    """Ticks of a horizontal axis of values: so few that their numbers do not run into each other."""
    place = ax.get_subplotspec()
    n_beside = place.get_gridspec().ncols if place is not None else 1
    ax.xaxis.set_major_locator(MaxNLocator(nbins=3 if n_beside > 1 else 4 if is_narrow(ax) else 7))
    ax.ticklabel_format(axis="x", useOffset=False)


def only_left_labels(axes: Iterable[Axes]) -> None:
    """Take the names of the vertical axis from axes that have others on their left with the same ones."""
    for ax in axes:
        place = ax.get_subplotspec()
        if place is not None and not place.is_first_col():
            ax.set_ylabel("")
            ax.tick_params(labelleft=False)


def saved(figure: Figure, kind: str) -> bytes:
    """The figure as svg, pdf or png; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    date = {"svg": "Date", "pdf": "CreationDate"}.get(kind)
    with styled():
        figure.savefig(buffer, format=kind, bbox_inches="tight", metadata={date: None} if date else {})
    return buffer.getvalue()


@cache
def _drawable() -> frozenset[int]:
    """Characters of the default font."""
    return frozenset(font_manager.get_font(font_manager.findfont(font_manager.FontProperties())).get_charmap())


def printable(text: str) -> str:
    """Text as figures can draw it: codes for control characters and marks of direction, □ for what the font lacks."""
    return "".join(map(_printable, text))


def _printable(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return " " if character in "\t\n\r" else f"<{ord(character):04X}>"
    return character if ord(character) in _drawable() else "□"


def shortened(text: str, length: int, *, from_end: bool = False) -> str:
    """At most `length` characters, with an ellipsis for those that were cut."""
    if len(text) <= length:
        return text
    return f"…{text[-length:].lstrip()}" if from_end else f"{text[:length].rstrip()}…"
