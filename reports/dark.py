"""Figures in the dark: for every colour of theirs one that stands out from a dark page, as rules of a style sheet."""

from __future__ import annotations

import re
from collections.abc import Iterable

from matplotlib.colors import to_hex, to_rgb

DARK_CARD, DARK_INK = "#222222", "#e8e6e3"
"""Behind figures, and text in them."""
_LEAST_CONTRAST = 3.5
"""WCAG asks for 3 between graphics and what is behind them."""
_COLORED = re.compile(r'(?:fill|stroke)="(#[0-9a-f]{6})"')


def dark_rules(figures: Iterable[str]) -> str:
    """Rules that give every colour in these figures its counterpart."""
    colors = sorted({color for figure in figures for color in _COLORED.findall(figure)})
    return "\n".join(
        f'.plot [{name}="{color}"] {{ {name}: {dark(color)}; }}' for color in colors for name in ("fill", "stroke")
    )


def dark(color: str) -> str:
    """The counterpart of a colour: what is behind figures for white, ink for black, of any other one light enough to be seen."""
    if color == "#ffffff":
        return DARK_CARD
    red, green, blue = to_rgb(color)
    if max(red, green, blue) < 0.2:
        return DARK_INK
    for step in range(20):
        share = step / 20
        lighter = to_hex((_mixed(red, share), _mixed(green, share), _mixed(blue, share)))
        if contrast(lighter, DARK_CARD) >= _LEAST_CONTRAST:
            return lighter
    return DARK_INK


def _mixed(value: float, share: float) -> float:
    """A channel with a share of white."""
    return value + (1 - value) * share


def contrast(first: str, second: str) -> float:
    """How much two colours stand out from each other, from 1 to 21 (the ratio of WCAG 2)."""
    darker, lighter = sorted(map(_luminance, (first, second)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    red, green, blue = (_linear(value) for value in to_rgb(color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: float) -> float:
    """Light of a channel of sRGB."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
