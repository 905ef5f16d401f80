"""Robust covariances against statsmodels, the bootstrap against refitting."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import sparse

from analysis.kernels.sandwich import cluster_robust


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    n = 600
    clusters = (rng.integers(25, size=n), rng.integers(40, size=n))
    x = np.column_stack([np.ones(n), rng.normal(size=n), rng.normal(size=25)[clusters[0]]])
    y = x @ [1, 2, 3] + rng.normal(size=25)[clusters[0]] + rng.normal(size=40)[clusters[1]] + rng.normal(size=n)
    return x, y, clusters


def least_squares(x, y, clusters, n_replicates=50):
    """With no random effects the weights are equal: ordinary least squares."""
    bread = np.linalg.inv(x.T @ x)
    residual = y - x @ (bread @ x.T @ y)
    rng = np.random.default_rng(1)
    return cluster_robust(sparse.csr_array(x), residual, (), (), bread, clusters, n_replicates, rng)


def test_one_set_of_clusters_is_that_of_statsmodels(data):
    x, y, clusters = data
    wanted = sm.OLS(y, x).fit(cov_type="cluster", cov_kwds={"groups": clusters[0]})
    found = least_squares(x, y, clusters[:1])
    np.testing.assert_allclose(found.covariance, wanted.cov_params(), rtol=1e-8)
    assert found.freedom == 24


def test_two_sets_of_clusters_are_those_of_statsmodels(data):
    x, y, clusters = data
    wanted = sm.OLS(y, x).fit(cov_type="cluster", cov_kwds={"groups": np.column_stack(clusters)})
    found = least_squares(x, y, clusters)
    np.testing.assert_allclose(found.covariance, wanted.cov_params(), rtol=1e-6)
    assert found.freedom == 24


def test_bootstrap_refits_the_drawn_clusters(data):
    x, y, clusters = data
    found = least_squares(x, y, clusters[:1], n_replicates=20)
    draws = np.random.default_rng(1).multinomial(25, np.full(25, 1 / 25), size=20)
    full = np.linalg.lstsq(x, y)[0]
    for weights, shift in zip(draws, found.replicates, strict=True):
        w = np.sqrt(weights[clusters[0]])
        np.testing.assert_allclose(full + shift, np.linalg.lstsq(w[:, None] * x, w * y)[0], atol=1e-8)


def test_chunks_do_not_matter(data, monkeypatch):
    x, y, clusters = data
    whole = least_squares(x, y, clusters)
    monkeypatch.setattr("analysis.kernels.sandwich._CHUNK_ELEMENTS", 100)
    parts = least_squares(x, y, clusters)
    np.testing.assert_allclose(parts.covariance, whole.covariance, rtol=1e-10)
    np.testing.assert_allclose(parts.replicates, whole.replicates, rtol=1e-8, atol=1e-12)


def test_a_draw_without_a_columns_rows_has_no_estimate():
    cluster = np.repeat(np.arange(10), 20)
    x = np.column_stack([np.ones(200), cluster == 3]).astype(float)
    y = np.random.default_rng(0).normal(size=200)
    found = least_squares(x, y, (cluster,), n_replicates=100)
    lost = np.isnan(found.replicates).any(axis=1)
    draws = np.random.default_rng(1).multinomial(10, np.full(10, 0.1), size=100)
    np.testing.assert_array_equal(lost, draws[:, 3] == 0)
