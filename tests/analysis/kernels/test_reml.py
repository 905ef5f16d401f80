"""Fits against the dense likelihood, and changes of the data that must not matter."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from analysis.kernels.crossproducts import Factor
from analysis.kernels.deviance import Likelihood
from analysis.kernels.reml import fit_mixed
from tests.analysis.kernels.test_deviance import dense_deviance, mixed_data


def test_fit_is_at_the_maximum_of_the_dense_likelihood():
    x, y, factors = mixed_data(1, 300, [(50, 1), (12, 2)])
    fit = fit_mixed(x, y, factors)
    likelihood = Likelihood(x, y, factors)
    triangles = [np.linalg.cholesky(covariance / fit.residual_variance) for covariance in fit.covariances]
    theta = np.concatenate([triangle[np.tril_indices(len(triangle))] for triangle in triangles])

    def deviance(theta):
        log_determinant, residual, _ = dense_deviance(x, y, factors, likelihood.triangles, theta)
        return log_determinant + likelihood.freedom * np.log(residual)

    best = deviance(theta)
    for index in range(len(theta)):
        for shift in (-0.01, 0.01):
            moved = theta.copy()
            moved[index] += shift
            assert deviance(moved) > best
    constant = likelihood.freedom * (1 + np.log(2 * np.pi / likelihood.freedom))
    assert fit.log_likelihood == pytest.approx(-(best + constant) / 2, rel=1e-10)


def test_effects_and_whitening_are_those_of_the_dense_model():
    x, y, factors = mixed_data(2, 250, [(40, 1), (10, 2)])
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
    x, y, factors = mixed_data(3, 400, [(60, 1), (15, 1)])
    plain = fit_mixed(x, y, factors)
    rng = np.random.default_rng(0)
    order, names = rng.permutation(400), rng.permutation(60)
    first, second = (Factor(f.codes[order], f.n_levels, f.design[order]) for f in factors)
    reordered = (second, Factor(names[first.codes], 60, first.design))
    again = fit_mixed(x.tocsr()[order].tocsc(), y[order], reordered)
    np.testing.assert_allclose(again.coefficients, plain.coefficients, rtol=1e-6)
    np.testing.assert_allclose(again.covariances[1], plain.covariances[0], rtol=1e-3)
    np.testing.assert_allclose(again.random_effects[1][names], plain.random_effects[0], atol=1e-4)


def test_units_of_a_column_and_of_the_response_only_rescale():
    x, y, factors = mixed_data(4, 300, [(40, 1), (10, 1)])
    plain = fit_mixed(x, y, factors)
    scale = np.array([1, 1e4, 1e-3])
    rescaled = fit_mixed((x @ sparse.diags_array(1 / scale)).tocsc(), 100 * y, factors)
    np.testing.assert_allclose(rescaled.coefficients, 100 * plain.coefficients * scale, rtol=1e-5)
    assert rescaled.residual_variance == pytest.approx(1e4 * plain.residual_variance, rel=1e-5)


def test_no_variance_between_levels_is_zero_and_reported():
    rng = np.random.default_rng(5)
    codes = np.repeat(np.arange(10), 30)
    y = rng.normal(size=300)
    y -= (np.bincount(codes, y) / 30)[codes]
    fit = fit_mixed(sparse.csc_array(np.ones((300, 1))), y, (Factor(codes, 10, np.ones((300, 1))),))
    assert fit.singular == (True,)
    assert fit.covariances[0].item() == 0
    assert fit.is_converged
