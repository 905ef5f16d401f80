"""Cluster bootstrap of ratios of sums, on plain arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Bootstrap(NamedTuple):
    """A mean per group and its bootstrap replicates."""

    estimate: NDArray[np.float64]
    """(group,)"""
    replicates: NDArray[np.float64]
    """(replicate, group)"""

    def interval(self, level: float = 0.95) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Percentile interval, lower and upper, (group,) each."""
        tail = (1 - level) / 2
        lower, upper = np.nanquantile(self.replicates, [tail, 1 - tail], axis=0)
        return lower, upper


def cluster_bootstrap(
    sums: NDArray[np.float64],
    counts: NDArray[np.float64],
    n_replicates: int,
    rng: np.random.Generator,
    seed_rng: np.random.Generator | None = None,
) -> Bootstrap:
    """Mean per group, resampling whole clusters and, independently, seeds.

    Parameters
    ----------
    sums : array (seed, cluster, group)
        Sum of the values of each cluster in each group; one seed where nothing was drawn.
    counts : array (cluster, group)
        Number of values in each.
    n_replicates : int
    rng : numpy Generator
        The same state gives the same clusters, so intervals of several calls are paired.
    seed_rng : numpy Generator, optional
        Draws the seeds instead of `rng`: its state gives the same seeds beside other clusters.

    Returns
    -------
    Bootstrap
        The mean over seeds of sum over count; NaN for a group that a replicate leaves empty.

    Notes
    -----
    Davison & Hinkley (1997), section 3.8: clusters are drawn with replacement. With several
    seeds both factors are drawn, so the interval covers the choice of neurons as well.
    """
    n_seeds, n_clusters, _ = sums.shape
    clusters = rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=n_replicates).astype(float)
    seeds = (seed_rng or rng).multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=n_replicates) / n_seeds
    with np.errstate(invalid="ignore", divide="ignore"):
        estimate = sums.mean(axis=0).sum(axis=0) / counts.sum(axis=0)
        per_seed = np.einsum("rc,scg->rsg", clusters, sums, optimize=True)
        replicates = np.einsum("rs,rsg->rg", seeds, per_seed) / (clusters @ counts)
    return Bootstrap(estimate, replicates)
