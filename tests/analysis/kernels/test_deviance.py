"""The deviance against the dense formula, and its gradient against differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from analysis.kernels.crossproducts import Factor
from analysis.kernels.deviance import Likelihood


def mixed_data(seed: int, n: int, shapes: list[tuple[int, int]], p: int = 3):
    """Rows with a factor of (levels, effects) each."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(n), rng.normal(5, 3, size=(n, p - 1))])
    y, factors = x @ np.arange(1.0, p + 1), []
    for levels, effects in shapes:
        # Some levels have many rows and meet many levels of the next factor, some few.
        share = rng.dirichlet(np.full(levels, 0.5))
        codes = np.concatenate([np.arange(levels), rng.choice(levels, p=share, size=n - levels)])
        design = np.column_stack([np.ones(n), rng.normal(size=(n, effects - 1))])
        y = y + 0.6 * (rng.normal(size=(levels, effects))[codes] * design).sum(axis=1)
        factors.append(Factor(codes, levels, design))
    return sparse.csc_array(x), y + rng.normal(size=n), tuple(factors)


def dense_deviance(x, y, factors, triangles, theta):
    """log|V| + log|X'V⁻¹X| and the residual sum of squares, from V itself."""
    z = np.hstack(
        [
            factor.indicator.toarray() @ np.kron(np.eye(factor.n_levels), triangle.matrix(theta))
            for factor, triangle in zip(factors, triangles, strict=True)
        ]
    )
    v, fixed = np.eye(len(y)) + z @ z.T, x.toarray()
    weighted = np.linalg.solve(v, fixed)
    beta = np.linalg.solve(fixed.T @ weighted, weighted.T @ y)
    residual = y - fixed @ beta
    log_determinant = np.linalg.slogdet(v)[1] + np.linalg.slogdet(fixed.T @ weighted)[1]
    return log_determinant, residual @ np.linalg.solve(v, residual), beta


SHAPES = [
    [(40, 1), (12, 1)],
    [(12, 1), (40, 1)],
    [(60, 1), (10, 2)],
    [(10, 1), (40, 2)],
    [(30, 1)],
    [(15, 3)],
    [(45, 1), (9, 1), (5, 1)],
]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_likelihood_equals_the_dense_formula(shapes):
    x, y, factors = mixed_data(0, 300, shapes)
    likelihood = Likelihood(x, y, factors)
    theta = np.where(likelihood.is_diagonal, 0.7, -0.2)
    deviance = likelihood.evaluate(theta)
    log_determinant, residual, beta = dense_deviance(x, y, factors, likelihood.triangles, theta)
    assert deviance.log_determinant + 2 * np.log(likelihood.scale).sum() == pytest.approx(log_determinant, rel=1e-10)
    assert deviance.residual == pytest.approx(residual, rel=1e-10)
    n_remaining = likelihood.products.n_remaining
    np.testing.assert_allclose((likelihood.start + deviance.effects[n_remaining:]) / likelihood.scale, beta, rtol=1e-8)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(SHAPES), st.integers(0, 1000), st.floats(0.05, 3))
def test_gradient_equals_differences(shapes, seed, size):
    likelihood = Likelihood(*mixed_data(seed, 250, shapes))
    theta = np.where(likelihood.is_diagonal, size, 0.3 * size)
    deviance = likelihood.evaluate(theta)
    for index in range(len(theta)):
        shift = np.zeros_like(theta)
        shift[index] = 1e-5 * size
        up, down = likelihood.evaluate(theta + shift), likelihood.evaluate(theta - shift)
        for name in ("log_determinant", "residual"):
            slope = (getattr(up, name) - getattr(down, name)) / (2 * shift[index])
            assert getattr(deviance, f"{name}_gradient")[index] == pytest.approx(slope, rel=1e-5, abs=1e-5)
