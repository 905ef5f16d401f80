"""The likelihood against the dense formula, its gradient, and what must not matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from analysis.kernels.crossproducts import Factor
from analysis.kernels.reml import _Problem, fit_mixed


def made(seed: int, n: int, shapes: list[tuple[int, int]], p: int = 3):
    """Rows with a factor of (levels, effects) each."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(n), rng.normal(5, 3, size=(n, p - 1))])
    y, factors = x @ np.arange(1.0, p + 1), []
    for levels, effects in shapes:
        # Some levels have many rows and meet many others, some few.
        share = rng.dirichlet(np.full(levels, 0.5))
        codes = np.concatenate([np.arange(levels), rng.choice(levels, p=share, size=n - levels)])
        design = np.column_stack([np.ones(n), rng.normal(size=(n, effects - 1))])
        y = y + 0.6 * (rng.normal(size=(levels, effects))[codes] * design).sum(axis=1)
        factors.append(Factor(codes, levels, design))
    return sparse.csc_array(x), y + rng.normal(size=n), tuple(factors)


def dense_deviance(x, y, factors, slots, theta):
    """log|V| + log|X'V⁻¹X| and the residual sum of squares, from V itself."""
    z = np.hstack([
        factor.indicator.toarray() @ np.kron(np.eye(factor.n_levels), slot.triangle(theta))
        for factor, slot in zip(factors, slots, strict=True)
    ])  # fmt: skip
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
    x, y, factors = made(0, 300, shapes)
    problem = _Problem(x, y, factors)
    theta = np.where(problem.is_diagonal, 0.7, -0.2)
    found = problem.evaluate(theta)
    log_determinant, residual, beta = dense_deviance(x, y, factors, problem.slots, theta)
    assert found.log_determinant + 2 * np.log(problem.scale).sum() == pytest.approx(log_determinant, rel=1e-10)
    assert found.residual == pytest.approx(residual, rel=1e-10)
    kept = problem.products.n_kept
    np.testing.assert_allclose((problem.start + found.effects[kept:]) / problem.scale, beta, rtol=1e-8)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(SHAPES), st.integers(0, 1000), st.floats(0.05, 3))
def test_gradient_equals_differences(shapes, seed, size):
    problem = _Problem(*made(seed, 250, shapes))
    theta = np.where(problem.is_diagonal, size, 0.3 * size)
    found = problem.evaluate(theta)
    for index in range(len(theta)):
        step = np.zeros_like(theta)
        step[index] = 1e-5 * size
        up, down = problem.evaluate(theta + step), problem.evaluate(theta - step)
        for name in ("log_determinant", "residual"):
            slope = (getattr(up, name) - getattr(down, name)) / (2 * step[index])
            assert getattr(found, f"{name}_gradient")[index] == pytest.approx(slope, rel=1e-5, abs=1e-5)


def test_fit_is_at_the_maximum_of_the_dense_likelihood():
    x, y, factors = made(1, 300, [(50, 1), (12, 2)])
    fit = fit_mixed(x, y, factors)
    problem = _Problem(x, y, factors)
    triangles = [np.linalg.cholesky(covariance / fit.residual_variance) for covariance in fit.covariances]
    theta = np.concatenate([triangle[np.tril_indices(len(triangle))] for triangle in triangles])

    def deviance(theta):
        log_determinant, residual, _ = dense_deviance(x, y, factors, problem.slots, theta)
        return log_determinant + problem.freedom * np.log(residual)

    best = deviance(theta)
    for index in range(len(theta)):
        for step in (-0.01, 0.01):
            moved = theta.copy()
            moved[index] += step
            assert deviance(moved) > best
    constant = problem.freedom * (1 + np.log(2 * np.pi / problem.freedom))
    assert fit.log_likelihood == pytest.approx(-(best + constant) / 2, rel=1e-10)


def test_effects_and_whitening_are_those_of_the_dense_model():
    x, y, factors = made(2, 250, [(40, 1), (10, 2)])
    fit = fit_mixed(x, y, factors)
    z = [factor.indicator.toarray() for factor in factors]
    spread = [np.kron(np.eye(f.n_levels), c / fit.residual_variance) for f, c in zip(factors, fit.covariances, strict=True)]
    v = np.eye(len(y)) + sum(a @ b @ a.T for a, b in zip(z, spread, strict=True))
    residual = np.linalg.solve(v, y - x @ fit.coefficients)
    for a, b, effects in zip(z, spread, fit.random_effects, strict=True):
        np.testing.assert_allclose(effects.ravel(), b @ a.T @ residual, atol=1e-8)
    whitened = x.toarray() - sum(a @ part for a, part in zip(z, fit.whitening, strict=True))
    np.testing.assert_allclose(whitened, np.linalg.solve(v, x.toarray()), atol=1e-8)
    np.testing.assert_allclose(fit.covariance, fit.residual_variance * np.linalg.inv(x.T @ whitened), rtol=1e-8)


def test_order_of_rows_levels_and_factors_does_not_matter():
    x, y, factors = made(3, 400, [(60, 1), (15, 1)])
    plain = fit_mixed(x, y, factors)
    rng = np.random.default_rng(0)
    order, names = rng.permutation(400), rng.permutation(60)
    moved = tuple(Factor(f.codes[order], f.n_levels, f.design[order]) for f in factors)
    moved = (moved[1], Factor(names[moved[0].codes], 60, moved[0].design))
    other = fit_mixed(x.tocsr()[order].tocsc(), y[order], moved)
    np.testing.assert_allclose(other.coefficients, plain.coefficients, rtol=1e-6)
    np.testing.assert_allclose(other.covariances[1], plain.covariances[0], rtol=1e-3)
    np.testing.assert_allclose(other.random_effects[1][names], plain.random_effects[0], atol=1e-4)


def test_units_of_a_column_and_of_the_response_only_rescale():
    x, y, factors = made(4, 300, [(40, 1), (10, 1)])
    plain = fit_mixed(x, y, factors)
    scale = np.array([1, 1e4, 1e-3])
    other = fit_mixed((x @ sparse.diags_array(1 / scale)).tocsc(), 100 * y, factors)
    np.testing.assert_allclose(other.coefficients, 100 * plain.coefficients * scale, rtol=1e-5)
    assert other.residual_variance == pytest.approx(1e4 * plain.residual_variance, rel=1e-5)


def test_no_variance_between_levels_is_zero_and_said():
    rng = np.random.default_rng(5)
    codes = np.repeat(np.arange(10), 30)
    y = rng.normal(size=300)
    y -= (np.bincount(codes, y) / 30)[codes]
    fit = fit_mixed(sparse.csc_array(np.ones((300, 1))), y, (Factor(codes, 10, np.ones((300, 1))),))
    assert fit.singular == (True,)
    assert fit.covariances[0].item() == 0
    assert fit.is_converged


def test_levels_that_meet_many_and_few_are_added_up_alike():
    """The dense, the sparse and the block route give one Gram matrix."""
    x, y, factors = made(6, 8000, [(300, 1), (150, 1)])
    products = _Problem(x, y, factors).products
    assert products.sparse_rows.size
    assert products.dense_rows.size
    weights = np.random.default_rng(0).uniform(size=(300, 1, 1))
    rest = np.column_stack(
        [factors[1].indicator.toarray(), (x @ sparse.diags_array(1 / _Problem(x, y, factors).scale)).toarray()]
    )
    m = factors[0].indicator.T @ rest
    found = products.gram(weights)[:-1, :-1]
    np.testing.assert_allclose(found, m.T @ (weights[:, :, 0] * m), atol=1e-8)
