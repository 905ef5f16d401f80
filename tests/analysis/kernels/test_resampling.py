from __future__ import annotations

import numpy as np

from analysis.kernels.resampling import cluster_bootstrap


def test_estimate_is_the_ratio_of_sums():
    sums = np.array([[[2.0, 1.0], [4.0, 0.0]], [[6.0, 1.0], [0.0, 2.0]]])  # seed, cluster, group
    counts = np.array([[1.0, 1.0], [2.0, 1.0]])
    boot = cluster_bootstrap(sums, counts, 10, np.random.default_rng(0))
    np.testing.assert_allclose(boot.estimate, [2.0, 1.0])
    assert boot.replicates.shape == (10, 2)


def test_constant_values_have_no_spread():
    boot = cluster_bootstrap(np.full((3, 5, 1), 4.0), np.full((5, 1), 2.0), 50, np.random.default_rng(0))
    np.testing.assert_allclose(boot.replicates, 2.0)


def test_spread_is_that_of_cluster_means():
    """Equal clusters: the standard error is that of the mean of cluster means."""
    rng = np.random.default_rng(1)
    means = rng.normal(size=200)
    boot = cluster_bootstrap(means[None, :, None] * 10, np.full((200, 1), 10.0), 4000, rng)
    np.testing.assert_allclose(boot.replicates.std(), means.std() / np.sqrt(200), rtol=0.06)


def test_seeds_widen_the_interval():
    """Clusters alike, seeds apart: all spread comes from the draw of seeds."""
    values = np.array([0.0, 1.0, 2.0, 3.0])
    sums = np.repeat(values[:, None, None], 30, axis=1)
    boot = cluster_bootstrap(sums, np.ones((30, 1)), 4000, np.random.default_rng(2))
    np.testing.assert_allclose(boot.replicates.std(), values.std() / 2, rtol=0.06)


def test_intervals_cover():
    """95% percentile intervals of the mean of 60 clusters cover the truth in about 95% of samples."""
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(400):
        sample = rng.normal(size=60)
        lower, upper = cluster_bootstrap(sample[None, :, None], np.ones((60, 1)), 400, rng).interval()
        covered.append(lower[0] <= 0 <= upper[0])
    assert 0.91 < np.mean(covered) < 0.98
