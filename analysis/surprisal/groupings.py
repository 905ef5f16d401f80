"""The random factors of a model, and the clusters of its robust intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from actstore.errors import FitError, UnknownNameError
from analysis.kernels.crossproducts import Array, Factor
from analysis.surprisal.formula import Design

INTERCEPT = "Intercept"


@dataclass(frozen=True)
class Grouping:
    """One random factor as fitted."""

    name: str
    levels: pd.Index
    effects: list[str]
    factor: Factor


def make_grouping(column: pd.Series, slopes: Sequence[str], design: Design) -> Grouping:
    """The random factor of a column, with an intercept and the effects of some terms of the formula as slopes.

    Raises
    ------
    UnknownNameError
        If the formula has no such term.
    """
    codes, levels = pd.factorize(column, sort=False)
    effects = [INTERCEPT]
    for term in slopes:
        if term not in design.terms:
            terms = [name for name in design.terms if name != "1"]
            raise UnknownNameError(f"term of the formula for slopes by {column.name}", term, terms)
        effects += [design.names[k] for k in design.terms[term]]
    indices = [design.names.index(name) for name in effects[1:]]
    columns = effect_columns(effects, effects[1:], design.matrix[:, indices].toarray())
    return Grouping(str(column.name), pd.Index(levels), effects, Factor(codes.astype(np.intp), len(levels), columns))


def effect_columns(effects: Sequence[str], names: Sequence[str], matrix: Array) -> Array:
    """(row, effect) Values that a factor's random effects multiply: ones, or the fixed effect's column of the same name."""
    ones = np.ones(len(matrix))
    return np.column_stack([ones if name == INTERCEPT else matrix[:, names.index(name)] for name in effects])


def check_groupings(groupings: Sequence[Grouping], n_rows: int) -> None:
    """Refuse random factors whose variance cannot be estimated.

    Raises
    ------
    FitError
        If a factor has a single level or as many effects as there are rows, or two factors group the rows alike.
    """
    for grouping in groupings:
        n_effects = len(grouping.levels) * len(grouping.effects)
        if len(grouping.levels) < 2:
            raise FitError(f"random factor {grouping.name} has one level only: it cannot vary")
        if n_effects >= n_rows:
            raise FitError(
                f"random factor {grouping.name} has {n_effects} effects for {n_rows} rows: "
                "they cannot be told from the residual"
            )
    for a, b in combinations(groupings, 2):
        cells = np.unique(a.factor.codes * np.int64(len(b.levels)) + b.factor.codes)
        if len(cells) == len(a.levels) == len(b.levels):
            raise FitError(f"random factors {a.name} and {b.name} group the rows alike: leave one of them out")


def cluster_groupings(groupings: Sequence[Grouping]) -> list[Grouping]:
    """The factors whose levels are the clusters: documents or else that of fewest levels, and that of most of the others."""
    by_size = sorted(groupings, key=lambda grouping: (grouping.name != "document", len(grouping.levels)))
    return [by_size[0], max(by_size[1:], key=lambda grouping: len(grouping.levels))] if len(by_size) > 1 else by_size
