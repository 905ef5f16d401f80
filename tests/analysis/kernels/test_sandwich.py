"""Robust covariances against statsmodels, the bootstrap against refitting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import sparse

from analysis.kernels.sandwich import Draws, Robust


@pytest.fixture
def data():
    """Clusters of one size in the first set, so that its correction is G / (G − 1)."""
    rng = np.random.default_rng(0)
    n = 600
    clusters = (np.arange(n) % 25, rng.integers(40, size=n))
    x = np.column_stack([np.ones(n), rng.normal(size=n), rng.normal(size=25)[clusters[0]]])
    y = x @ [1, 2, 3] + rng.normal(size=25)[clusters[0]] + rng.normal(size=40)[clusters[1]] + rng.normal(size=n)
    return x, y, clusters


def least_squares(x, y, clusters):
    """With no random effects the weights are equal: ordinary least squares."""
    bread = np.linalg.inv(x.T @ x)
    return Robust(sparse.csr_array(x), y - x @ (bread @ x.T @ y), (), (), bread, clusters)


def replicates(x, y, clusters, n):
    return least_squares(x, y, clusters).bootstrap(n, np.random.default_rng(1))


def variances(fitted, weights=None):
    weights = np.eye(fitted.x.shape[1]) if weights is None else weights
    return fitted.intervals(np.zeros(len(weights)), weights)


def test_equal_clusters_are_those_of_statsmodels(data):
    """In a fit of the intercept alone, every cluster has the same share."""
    _, y, clusters = data
    ones = np.ones((600, 1))
    expected = sm.OLS(y, ones).fit(cov_type="cluster", cov_kwds={"groups": clusters[0], "use_correction": False}).cov_params()
    result = variances(least_squares(ones, y, clusters[:1]))
    np.testing.assert_allclose(result.estimate.variance[0], expected[0] * 25 / 24, rtol=1e-10)
    np.testing.assert_allclose(result.estimate.freedom[0], 24)
    assert result.n_clusters.tolist() == [25]


def test_two_sets_of_clusters_are_those_of_statsmodels(data):
    x, y, clusters = data
    fitted = least_squares(x, y, clusters)
    plain = {"use_correction": False}
    by_set = [
        sm.OLS(y, x).fit(cov_type="cluster", cov_kwds={"groups": groups} | plain).cov_params().diagonal()
        for groups in (clusters[1], clusters[0] * 40 + clusters[1])
    ]
    result = variances(fitted).estimate
    np.testing.assert_allclose(result.variance[1], np.maximum(by_set[0] * 40 / 39 - by_set[1], 0), rtol=1e-8)
    np.testing.assert_allclose(result.freedom[1], 39)
    alone = variances(least_squares(x, y, clusters[:1])).estimate
    np.testing.assert_allclose(result.variance[0], alone.variance[0])


def test_an_effect_that_few_clusters_inform_has_the_interval_of_these_few():
    """Of fifty clusters two have the level: its mean has one degree of freedom and the t-test's variance."""
    rng = np.random.default_rng(2)
    cluster = np.repeat(np.arange(50), 8)
    level = (cluster < 2).astype(float)
    x = np.column_stack([1 - level, level])
    y = rng.normal(size=50)[cluster] + rng.normal(size=400)
    result = variances(least_squares(x, y, (cluster,)))
    means = y[:16].reshape(2, 8).mean(axis=1)
    np.testing.assert_allclose(result.estimate.variance[0, 1], means.var(ddof=1) / 2)
    np.testing.assert_allclose(result.estimate.freedom[0], [47, 1])
    assert result.n_clusters.tolist() == [48, 2]
    single = (cluster < 1).astype(float)
    lone = variances(least_squares(np.column_stack([1 - single, single]), y, (cluster,)))
    assert np.isnan(lone.estimate.variance[0]).tolist() == [False, True]


def test_draws_add_the_variance_of_a_fit_to_each(data):
    x, y, clusters = data
    rng = np.random.default_rng(4)
    rows = np.flatnonzero(rng.random(600) < 0.3)
    deviation = rng.normal(size=(len(rows), 4)) + rng.normal(size=4)
    deviation -= deviation.mean(axis=1, keepdims=True)
    fitted = least_squares(x, y, clusters)
    result = variances(replace(fitted, draws=(Draws(rows, deviation),))).estimate
    of_draws = []
    for of_draw in deviation.T:
        shifted = y.copy()
        shifted[rows] += of_draw
        of_draws.append(np.linalg.lstsq(x, shifted)[0])
    np.testing.assert_allclose(result.variance[2], np.var(of_draws, axis=0, ddof=1) / 4)
    np.testing.assert_allclose(result.freedom[2], 3)
    assert (result.variance[0] < variances(fitted).estimate.variance[0]).all(), (
        "the interaction of draw and cluster counts once"
    )


def test_blocks_of_effects_do_not_matter(data, monkeypatch):
    x, y, clusters = data
    weights = np.random.default_rng(3).normal(size=(7, 3))
    whole = variances(least_squares(x, y, clusters), weights)
    monkeypatch.setattr("analysis.kernels.sandwich._CHUNK_ELEMENTS", 100)
    parts = variances(least_squares(x, y, clusters), weights)
    np.testing.assert_allclose(parts.estimate.variance, whole.estimate.variance, rtol=1e-10)


def test_bootstrap_refits_the_drawn_clusters(data):
    x, y, clusters = data
    result = replicates(x, y, clusters[:1], 20)
    draws = np.random.default_rng(1).multinomial(25, np.full(25, 1 / 25), size=20)
    full = np.linalg.lstsq(x, y)[0]
    for weights, shift in zip(draws, result, strict=True):
        w = np.sqrt(weights[clusters[0]])
        np.testing.assert_allclose(full + shift, np.linalg.lstsq(w[:, None] * x, w * y)[0], atol=1e-8)


def test_chunks_do_not_matter(data, monkeypatch):
    x, y, clusters = data
    whole = replicates(x, y, clusters, 50)
    monkeypatch.setattr("analysis.kernels.sandwich._CHUNK_ELEMENTS", 100)
    np.testing.assert_allclose(replicates(x, y, clusters, 50), whole, rtol=1e-8, atol=1e-12)


def test_a_replicate_without_the_rows_of_a_column_has_no_estimate():
    cluster = np.repeat(np.arange(10), 20)
    x = np.column_stack([np.ones(200), cluster == 3]).astype(float)
    y = np.random.default_rng(0).normal(size=200)
    draws = np.random.default_rng(1).multinomial(10, np.full(10, 0.1), size=100)
    for columns in (x, np.column_stack([np.ones(200), 1 - x[:, 1]])):  # the level, or all the others
        lost = np.isnan(replicates(columns, y, (cluster,), 100)).any(axis=1)
        np.testing.assert_array_equal(lost, draws[:, 3] == 0)
