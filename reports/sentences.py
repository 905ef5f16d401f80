"""Sentences made from numbers: none says more than its interval does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

_OF_ANSWERS = ("item", "minimal-pair cluster")
"""Clusters of right and wrong answers."""


def number(value: float, decimals: int = 3, signed: bool = False) -> str:
    """A number with so many decimals; with more where it would read as zero but is not."""
    if not np.isfinite(value):
        return "–"
    while decimals < 6 and value != 0 and abs(value) < 0.5 * 10**-decimals:
        decimals += 1
    text = f"{value:+.{decimals}f}" if signed else f"{value:.{decimals}f}"
    return text.replace("-", "−")


def interval(row: pd.Series, name: str, decimals: int = 3, bounds: Sequence[str] = (), signed: bool | None = None) -> str:
    """`estimate [lower, upper]`, with signs where it is a change; or that there is no interval."""
    lower, upper = _bounds(name, bounds)
    signed = name.startswith(("delta", "estimate", "interaction")) if signed is None else signed
    estimate = number(row[name], decimals, signed)
    if pd.isna(row[lower]) and pd.isna(row[upper]):
        return f"{estimate} (no interval)"
    if row[lower] == row[upper] == row[name]:
        return f"{estimate} ({_no_width(row)})"
    return f"{estimate} [{number(row[lower], decimals, signed)}, {number(row[upper], decimals, signed)}]"


def _no_width(row: pd.Series) -> str:
    """Why an interval has no width."""
    cluster = str(row.get("cluster", "cluster"))
    return "every answer the same" if cluster in _OF_ANSWERS else f"the same in every {cluster}"


def counted(n: int, thing: str) -> str:
    """`1 control`, `2 controls`."""
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def sentences(parts: Sequence[str]) -> str:
    """Each part as a sentence of its own."""
    return " ".join(sentence(part) for part in parts if part)


def excludes(row: pd.Series, name: str, reference: float, bounds: Sequence[str] = ()) -> bool:
    """Whether the interval of a row excludes the reference."""
    lower, upper = _bounds(name, bounds)
    return bool(row[lower] > reference or row[upper] < reference)


def excluding(rows: pd.DataFrame, name: str, reference: float, bounds: Sequence[str] = ()) -> pd.DataFrame:
    """Rows whose interval excludes the reference."""
    lower, upper = _bounds(name, bounds)
    excluded: pd.DataFrame = rows[(rows[lower] > reference) | (rows[upper] < reference)]
    return excluded


def largest_first(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Rows by the size of a value, whatever its sign."""
    return rows.sort_values(name, key=abs, ascending=False)


def has_intervals(rows: pd.DataFrame, name: str) -> bool:
    """Whether any row has an interval."""
    return bool(rows[list(_bounds(name))].notna().any(axis=None))


def effect(row: pd.Series, name: str, reference: float, measure: str, condition: str, decimals: int = 3) -> str:
    """Whether a measure changes under a condition, in one clause.

    Parameters
    ----------
    row : Series
        Has `name` and its bounds.
    name : str
    reference : float
        Where "no effect" is.
    measure, condition : str
        In words.
    decimals : int
    """
    estimate = interval(row, name, decimals)
    lower, upper = _bounds(name)
    if pd.isna(row[lower]):
        cluster = row.get("cluster", "cluster")
        return f"there is no telling whether {measure} changes under {condition}, from a single {cluster}: {estimate}"
    if row[lower] == row[upper] == reference:
        return f"nothing in {measure} changes under {condition}: {estimate}"
    if not excludes(row, name, reference):
        return f"there is no evidence that {measure} changes under {condition}: {estimate}"
    return f"{condition} {'raises' if row[name] > reference else 'lowers'} {measure}: {estimate}"


def are_disjoint(first: pd.Series, second: pd.Series, name: str) -> bool:
    """Whether two intervals do not overlap."""
    lower, upper = _bounds(name)
    return bool(first[lower] > second[upper] or first[upper] < second[lower])


def p_value(p: float) -> str:
    """A p-value in words; NaN is "no test"."""
    if np.isnan(p):
        return "no test"
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def listed(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    text = text.strip()
    return f"{text[0].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")


def _bounds(name: str, bounds: Sequence[str] = ()) -> tuple[str, str]:
    """Columns of the interval of an estimate."""
    lower, upper = bounds or (f"{name}_lower", f"{name}_upper")
    return lower, upper
