"""Formulas: functions with a state agree with R, and a wrong formula gives an error of one line."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from actstore.errors import ActstoreError
from analysis.surprisal.formula import read_design

X = np.arange(12.0) ** 1.5
TABLE = pd.DataFrame({"delta": np.sin(X), "x": X, "y": np.cos(X), "condition": list("abc") * 4, "document": range(12)})


@pytest.mark.parametrize(("function", "spread"), [("scale", X.std(ddof=1)), ("center", 1.0)])
def test_scale_and_center_are_those_of_r(function, spread):
    design = read_design(TABLE, f"delta ~ {function}(x) + condition")
    column = design.matrix.toarray()[:, design.names.index(f"{function}(x)")]
    np.testing.assert_allclose(column, (X - X.mean()) / spread, atol=1e-12)
    assert design.means == {"x": X.mean()}


def test_poly_and_bs_span_what_they_should():
    poly = read_design(TABLE, "delta ~ poly(x, 2)").matrix.toarray()[:, 1:]
    np.testing.assert_allclose(poly.T @ poly, np.eye(2), atol=1e-10)
    residual = np.linalg.lstsq(np.column_stack([np.ones(12), poly]), X**2, rcond=None)[1]
    assert residual[0] < 1e-12 * (X**4).sum()
    assert read_design(TABLE, "delta ~ bs(x, df=4)").matrix.shape == (12, 5)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("delta ~ condition + (1|document)", "name --random document$"),
        ("delta ~ condition + (x | document)", "name --random document --slopes x$"),
        ("delta ~ condition | document", "name --random document"),
        ("delta ~ as.factor(condition)", "cannot read a function in the formula"),
        ("delta ~ factor(condition)", "unknown function of the formula 'factor'"),
        ("delta ~ scale(z)", "unknown column 'z'"),
        ("delta ~ 0", "has no effects"),
        ("delta ~ lag(x)", "cannot evaluate the formula"),
        ("delta ~ y + y.max()", "cannot evaluate the formula"),
        ("delta ~ poly(condition, 2)", "cannot evaluate the formula"),
        ("", "has no response"),
    ],
)
def test_a_wrong_formula_gives_one_line(formula, message):
    with pytest.raises(ActstoreError, match=message) as caught:
        read_design(TABLE, formula)
    assert "\n" not in str(caught.value)
