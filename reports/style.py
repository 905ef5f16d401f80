"""How figures look: colours that colour-blind readers tell apart, sizes, and SVG output."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

# Okabe & Ito (2008), a palette that the common colour-blindnesses keep apart.
COLORS = {
    "top": "#d55e00",
    "random": "#0072b2",
    "bottom": "#009e73",
    "matched": "#e69f00",
    "perplexity-matched": "#cc79a7",
    "rest": "#8c8c8c",
    "none": "#000000",
}
LAYER_CYCLE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6d00", "#555555")
_RC: dict[str, Any] = {
    "figure.dpi": 100,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.hashsalt": "actstore",
}


@contextmanager
def styled() -> Iterator[None]:
    """The house style, for the figures drawn inside."""
    with mpl.rc_context(_RC):  # type: ignore[arg-type]
        yield


def layer_color(layer: int) -> str:
    """The colour of a layer, the same in every figure."""
    return LAYER_CYCLE[layer % len(LAYER_CYCLE)]


def to_data_uri(figure: Figure) -> str:
    """The figure as an SVG data URI, byte for byte the same for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
