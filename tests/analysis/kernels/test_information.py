from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.kernels.information import clusters_on_a_line, information, information_of_counts


def test_separate_modes_are_clusters():
    rng = np.random.default_rng(0)
    modes = np.array([-5.0, -2.0, -0.5])
    truth = rng.integers(0, 3, size=900)
    labels, centres = clusters_on_a_line(modes[truth] + 0.05 * rng.normal(size=900), 3)
    np.testing.assert_array_equal(labels, truth)
    np.testing.assert_allclose(centres, modes, atol=0.02)


@given(st.lists(st.floats(-50, 50, width=16), min_size=1, max_size=60), st.integers(1, 6))
def test_every_value_is_in_the_cluster_of_the_nearest_centre(values, n_clusters):
    values = np.array(values)
    labels, centres = clusters_on_a_line(values, n_clusters)
    assert 1 <= len(centres) <= n_clusters
    assert (np.diff(centres) > 0).all()
    distance = np.abs(values[:, None] - centres)
    np.testing.assert_allclose(distance[np.arange(len(values)), labels], distance.min(axis=1))


def test_information_of_a_copy_is_its_entropy():
    labels = np.repeat([0, 1, 2], [500, 300, 200])
    result = information(labels, labels, 50, np.random.default_rng(0))
    p = np.array([0.5, 0.3, 0.2])
    assert result.mutual_information == pytest.approx(-(p * np.log(p)).sum(), abs=0.003)
    assert result.explained_frac == pytest.approx(1, abs=0.003)
    assert result.p_value < 1e-12


def test_information_by_hand():
    """Two binary labels that agree in 3 of 4 cases."""
    clusters, labels = np.repeat([0, 0, 1, 1], 1000), np.repeat([0, 1, 1, 1], 1000)
    by_hand = 0.25 * np.log(0.25 / (0.5 * 0.25)) + 0.25 * np.log(0.25 / (0.5 * 0.75)) + 0.5 * np.log(0.5 / (0.5 * 0.75))
    result = information(clusters, labels, 20, np.random.default_rng(0))
    assert result.mutual_information == pytest.approx(by_hand - 1 / 8000, abs=1e-12)


@pytest.mark.parametrize("n_values", [2, 17, 200])
def test_independent_labels(n_values):
    """Unbiased, and p-values that are uniform."""
    rng = np.random.default_rng(n_values)
    results = [information(rng.integers(0, 4, 1500), rng.integers(0, n_values, 1500), 60, rng) for _ in range(400)]
    informed = np.array([result.mutual_information for result in results])
    assert abs(informed.mean()) < (0.5 if n_values < 100 else 4) * 3 * (n_values - 1) / 3000
    p = np.array([result.p_value for result in results])
    assert 0.02 < (p < 0.05).mean() < 0.08
    assert 0.42 < np.median(p) < 0.58


def test_a_single_value_has_no_information():
    assert np.isnan(information(np.zeros(9, int), np.arange(9), 10, np.random.default_rng(0))).all()


def test_counts_give_the_same_information():
    rng = np.random.default_rng(3)
    clusters = rng.integers(0, 4, 500)
    labels = np.where(rng.random(500) < 0.3, clusters, rng.integers(0, 7, 500))
    counts = np.bincount(clusters * 7 + labels, minlength=28).reshape(4, 7)
    expected, result = information(clusters, labels, 50, rng), information_of_counts(counts)
    assert result.mutual_information == pytest.approx(expected.mutual_information)
    assert result.explained_frac == pytest.approx(expected.explained_frac)
    assert result.p_value < 1e-10
    assert np.isnan(information_of_counts(counts[:1])).all()
