"""Sentences made from numbers: each says no more than its interval does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd


def number(value: float, decimals: int = 3, signed: bool = False) -> str:
    """A number to so many decimals; more where it would read as zero and is not."""
    if not np.isfinite(value):
        return "–"
    while decimals < 6 and value != 0 and abs(value) < 0.5 * 10**-decimals:
        decimals += 1
    shown = f"{value:+.{decimals}f}" if signed else f"{value:.{decimals}f}"
    return shown.replace("-", "−")


def interval(row: pd.Series, name: str, decimals: int = 3, bounds: Sequence[str] = (), signed: bool | None = None) -> str:
    """`estimate [lower, upper]`; with signs where it is a change; says so where there is no interval."""
    lower, upper = bounds or (f"{name}_lower", f"{name}_upper")
    signed = name.startswith(("delta", "estimate", "interaction")) if signed is None else signed
    if pd.isna(row[lower]) and pd.isna(row[upper]):
        return f"{number(row[name], decimals, signed)} (no interval)"
    return f"{number(row[name], decimals, signed)} [{number(row[lower], decimals, signed)}, {number(row[upper], decimals, signed)}]"


def excludes(row: pd.Series, name: str, reference: float, bounds: Sequence[str] = ()) -> bool:
    """Whether the interval leaves out the reference."""
    lower, upper = bounds or (f"{name}_lower", f"{name}_upper")
    return bool(row[lower] > reference or row[upper] < reference)


def has_intervals(rows: pd.DataFrame, name: str) -> bool:
    """Whether any row has an interval."""
    return bool(rows[[f"{name}_lower", f"{name}_upper"]].notna().any(axis=None))


def effect(row: pd.Series, name: str, reference: float, what: str, who: str, decimals: int = 3) -> str:
    """Whether something changes, in one clause."""
    shown = interval(row, name, decimals)
    if pd.isna(row[f"{name}_lower"]):
        return f"there is no telling whether {what} changes under {who}, from a single {row.get('cluster', 'cluster')}: {shown}"
    if row[f"{name}_lower"] == row[f"{name}_upper"] == reference:
        return f"nothing in {what} changes under {who}: {shown}"
    if not excludes(row, name, reference):
        return f"there is no evidence that {what} changes under {who}: {shown}"
    return f"{who} {'raises' if row[name] > reference else 'lowers'} {what}: {shown}"


def apart(row: pd.Series, other: pd.Series, name: str) -> bool:
    """Whether two intervals do not overlap."""
    return bool(row[f"{name}_lower"] > other[f"{name}_upper"] or row[f"{name}_upper"] < other[f"{name}_lower"])


def p_value(p: float) -> str:
    """A p-value as it is printed; says so where there is no test."""
    if np.isnan(p):
        return "no test"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def listed(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    text = text.strip()
    return f"{text[0].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")
