"""How figures look, and how text of corpora is drawn in them.

Owns colours that colour-blind readers can tell apart, sizes, and what stands for characters that the font lacks.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import matplotlib as mpl
from matplotlib import colormaps, font_manager
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

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


def layer_color(index: int, n_layers: int = 1) -> str:
    """The colour of a layer, the same in every figure of a model."""
    return CYCLE[index] if n_layers <= len(CYCLE) else to_hex(colormaps["viridis"](index / (n_layers - 1) * 0.9))


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
