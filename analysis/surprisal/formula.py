"""From a formula and a table to the matrices of a model.

Owns the reading of formulas (by formulaic) and the checks of a table's columns.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from formulaic import Formula, ModelSpec
from formulaic.errors import DataMismatchWarning, FormulaicError
from formulaic.parser.types import Factor as Part
from formulaic.transforms import TRANSFORMS
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack

from actstore.errors import FitError, UnknownNameError, first_line

_COLLINEAR = 1e-10
"""A column is collinear if less than this share of its squared norm is outside the span of the other columns."""
_FUNCTIONS = ("C", "I", "bs", "center", "cr", "exp", "lag", "log", "log10", "log2", "poly", "scale")


@dataclass(frozen=True)
class Design:
    """The matrices of a formula over a table."""

    response_name: str
    response: NDArray[np.float64]
    """(row,)"""
    matrix: sparse.csc_array
    """(row, column)"""
    names: list[str]
    terms: dict[str, list[int]]
    """Columns of every term, by its name; the intercept is `1`."""
    rows: NDArray[np.intp]
    """Indices of the table's rows that have a value in every variable."""
    levels: dict[str, list[Any]]
    """Levels of every factor; the first is the reference."""
    means: dict[str, float]
    """Mean of every numeric variable."""
    spec: ModelSpec

    def columns(self, table: pd.DataFrame) -> NDArray[np.float64]:
        """(row, column) The same columns for other rows.

        Raises
        ------
        FitError
            If a variable is missing or empty, or a factor has a level that was not in the fit.
        """
        for name in (*self.levels, *self.means):
            if name not in table:
                raise FitError(f"the table has no column {name!r}, which the formula needs")
            if table[name].isna().any():
                raise FitError(f"column {name!r} is empty in {int(table[name].isna().sum())} rows to predict")
        for name, levels in self.levels.items():
            unseen = sorted(set(table[name].unique()) - set(levels), key=str)
            if unseen:
                raise FitError(f"{name} {unseen[0]!r} was not in the fit; it knows {', '.join(map(str, levels))}")
        return np.asarray(self.spec.get_model_matrix(table, output="numpy"), dtype=np.float64)

    def grid(self, by: Sequence[str]) -> tuple[pd.DataFrame, NDArray[np.float64]]:
        """Every combination of the levels of `by`, and its columns, averaged over the levels of all other factors.

        Returns
        -------
        cells : DataFrame
            One row a combination.
        columns : array (combination, column)
            Numeric variables are at their means; the levels of other factors have equal weights.

        Raises
        ------
        UnknownNameError
            If a name is no factor of the formula.
        """
        for name in by:
            if name not in self.levels:
                raise UnknownNameError("factor of the formula", name, self.levels)
        factors = [*by, *(name for name in self.levels if name not in by)]
        table = pd.DataFrame(list(product(*(self.levels[name] for name in factors))), columns=factors).assign(**self.means)
        cells = pd.DataFrame(list(product(*(self.levels[name] for name in by))), columns=list(by))
        return cells, self.columns(table).reshape(len(cells), -1, len(self.names)).mean(axis=1)


def read_design(table: pd.DataFrame, formula: str, also: Sequence[str] = ()) -> Design:
    """Evaluate a formula over a table.

    Parameters
    ----------
    table : DataFrame
    formula : str
        In Wilkinson's notation: `delta ~ condition * upos + log_frequency`. Columns that are not numbers are
        factors, in treatment coding.
    also : sequence of str
        Further columns whose empty rows are dropped.

    Returns
    -------
    Design

    Raises
    ------
    FitError
        If the formula cannot be read, a factor has a single level, a cell has no rows, the columns are
        collinear, or the response does not vary.
    UnknownNameError
        If the table lacks a column.
    """
    parsed = _parsed(formula)
    of_response, variables = _variables(parsed.lhs), _variables(parsed.rhs)
    columns = sorted(of_response | variables)
    rows = _complete_rows(table, columns, also)
    used = table.iloc[rows][columns].reset_index(drop=True)
    is_number = {name: pd.api.types.is_numeric_dtype(used[name]) and used[name].dtype.kind != "b" for name in columns}
    levels = {name: _levels(table[name], used[name]) for name in columns if name in variables and not is_number[name]}
    for name, of_factor in levels.items():
        if len(of_factor) < 2:
            raise FitError(f"factor {name} has one level only, {of_factor[0]!r}: there is nothing to compare")
        used[name] = pd.Categorical(used[name], categories=of_factor)
    for name in columns:
        if is_number[name] and not np.isfinite(used[name].to_numpy(dtype=float)).all():
            raise FitError(f"column {name!r} holds infinite values")
    matrices = _matrices(parsed, used, formula)
    spec = matrices.rhs.model_spec
    matrix = sparse.csc_array(matrices.rhs, dtype=np.float64)
    names = list(spec.column_names)
    response = _response(matrices.lhs, str(parsed.lhs))
    if len(names) >= len(response):
        raise FitError(f"{len(names)} fixed effects need more than {len(response)} rows")
    _check_rank(matrix, names)
    means = {name: float(used[name].mean()) for name in columns if name in variables and is_number[name]}
    terms = {str(term): list(indices) for term, indices in spec.term_indices.items()}
    return Design(str(parsed.lhs), response, matrix, names, terms, rows, levels, means, spec)


def _complete_rows(table: pd.DataFrame, columns: Sequence[str], also: Sequence[str]) -> NDArray[np.intp]:
    """Indices of the rows that have a value in all columns."""
    for name in (*columns, *also):
        if name not in table:
            raise UnknownNameError("column", name, table.columns)
    rows = np.flatnonzero(table[list(dict.fromkeys([*columns, *also]))].notna().all(axis=1).to_numpy())
    if not len(rows) or not columns:
        raise FitError(f"no row has a value in all of {', '.join(columns)}")
    return rows


def _matrices(parsed: Any, used: pd.DataFrame, formula: str) -> Any:
    """The matrices of the response and of the effects."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataMismatchWarning)
            return parsed.get_model_matrix(used, output="sparse", na_action="raise")
    except Exception as error:  # each function of a formula has errors of its own
        raise FitError(f"cannot evaluate the formula {formula!r}: {first_line(error)}") from None


def _response(matrix: Any, name: str) -> NDArray[np.float64]:
    """(row,) The response, if it is one column that varies."""
    columns = sparse.csc_array(matrix)
    if columns.shape[1] != 1:
        raise FitError(f"the response {name} has {columns.shape[1]} columns; a model has one")
    values: NDArray[np.float64] = columns.toarray()[:, 0].astype(np.float64)
    if np.ptp(values) == 0:
        raise FitError(f"{name} is {values[0]:g} in all {len(values)} rows: there is no variance to explain")
    return values


def _parsed(formula: str) -> Any:
    """The response and the effects of a formula."""
    if "|" in formula:
        bar = re.search(r"\(?\s*([\w.]+)\s*\|+\s*([\w.]+)", formula)
        factor, slope = (bar[2], bar[1]) if bar else ("document", "1")
        slopes = "" if slope in ("0", "1") else f" --slopes {slope}"
        raise FitError(
            f"random effects are no part of the formula {formula!r}: leave out what has |, and name --random {factor}{slopes}"
        )
    try:
        parsed = Formula(formula)
    except SyntaxError:
        raise FitError(f"cannot read a function in the formula {formula!r}; there are {', '.join(_FUNCTIONS)}") from None
    except (FormulaicError, ValueError, RecursionError) as error:
        raise FitError(f"cannot read the formula {formula!r}: {first_line(error)}") from None
    if not hasattr(parsed, "lhs"):
        raise FitError(f"the formula {formula!r} has no response; write it as 'delta ~ condition * upos'")
    if not len(parsed.rhs):
        raise FitError(f"the formula {formula!r} has no effects; write 'delta ~ 1' for the mean alone")
    return parsed


def _variables(part: Any) -> set[str]:
    """Names of the columns that one side of a formula needs, also within its functions.

    Raises
    ------
    UnknownNameError
        If it calls a function that formulas do not have.

    Notes
    -----
    formulaic itself does not name the columns within `scale`, `center`, `poly` and `bs`, which have a state.
    """
    names: set[str] = set()
    for factor in (factor for term in part for factor in term.factors):
        if factor.eval_method is not Part.EvalMethod.PYTHON:
            names |= {factor.expr} if factor.eval_method is Part.EvalMethod.LOOKUP else set()
            continue
        nodes = list(ast.walk(ast.parse(factor.expr, mode="eval")))
        called = [node.func for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
        for function in called:
            if function.id not in TRANSFORMS:
                raise UnknownNameError("function of the formula", function.id, _FUNCTIONS)
        names |= {node.id for node in nodes if isinstance(node, ast.Name) and node not in called}
    return names - set(TRANSFORMS)


def _levels(whole: pd.Series, used: pd.Series) -> list[Any]:
    """The levels that occur, in the order of the categories, or else sorted."""
    occurring = set(used.unique())
    if isinstance(whole.dtype, pd.CategoricalDtype):
        return [level for level in whole.cat.categories if level in occurring]
    return sorted(occurring)


def _check_rank(matrix: sparse.csc_array, names: list[str]) -> None:
    """Refuse empty and collinear columns, by name."""
    gram = (matrix.T @ matrix).toarray()
    scale = np.sqrt(np.diag(gram))
    empty = [name for name, size in zip(names, scale, strict=True) if size == 0]
    if empty:
        raise FitError(f"no rows for {_few(empty)}: leave these levels out, or join them with others")
    gram /= np.outer(scale, scale)
    _, pivot, rank, _ = lapack.dpstrf(gram, tol=_COLLINEAR, lower=1)
    if rank == len(names):
        return
    basis, dependent = pivot[:rank] - 1, pivot[rank] - 1
    weights = np.linalg.solve(gram[np.ix_(basis, basis)], gram[basis, [dependent]])
    sources = [names[k] for k, weight in zip(basis, weights, strict=True) if abs(weight) > 1e-6]
    raise FitError(
        f"the effects are collinear: {names[dependent]} follows from {_few(sorted(sources, key=names.index))}; "
        "leave one of them out"
    )


def _few(names: list[str]) -> str:
    """The first five names, and how many there are beside them."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
