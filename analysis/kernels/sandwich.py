"""Intervals for a mixed model's effects that do not assume its distribution, on plain arrays.

Owns the cluster-robust variance and the cluster bootstrap. Both use the weights `V⁻¹` of the fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.stats import norm
from scipy.stats import t as student

from analysis.kernels.clusters import LEAST_CLUSTERS, Estimate, small_sample
from analysis.kernels.crossproducts import Array, Factor
from analysis.kernels.parallel import blocks

_CHUNK_ELEMENTS = 2**22
_LEAST_SINGULAR = 1e-9
_LEAST_SHARE = 0.05
"""A cluster counts for an effect if its share is a twentieth of the largest."""


class Draws(NamedTuple):
    """Rows whose response is the mean of several draws of the neurons."""

    rows: NDArray[np.intp]
    deviation: Array
    """(row, draw) Response under each draw less the mean."""


class RobustIntervals(NamedTuple):
    """Cluster-robust estimates of some effects."""

    estimate: Estimate
    """Its sources of variance: each set of clusters, and draws."""
    n_clusters: NDArray[np.int64]
    """(effect,) Clusters of the first set that inform the effect."""
    widening: Array
    """(effect,) Factor by which percentiles of the bootstrap are too near to the estimate, for so few clusters."""


@dataclass(frozen=True)
class Robust:
    """A fit of generalised least squares, by clusters of its rows.

    Attributes
    ----------
    x : sparse array (row, fixed)
    residual : array (row,)
        `y − X β`.
    factors, whitening
        As fitted: `x̃ = V⁻¹X` (with σ² = 1) is X less every factor's Z times its whitening.
    bread : array (fixed, fixed)
        `(X' V⁻¹ X)⁻¹`, with σ² = 1.
    clusters : one or two arrays (row,)
        Rows of one cluster may depend on each other in any way; with two sets, rows that share a cluster of either. The
        bootstrap draws clusters of the first set.
    draws : tuple of Draws
        One for each number of draws; all rows with this number have the same draws.
    """

    x: sparse.csr_array
    residual: Array
    factors: tuple[Factor, ...]
    whitening: tuple[Array, ...]
    bread: Array
    clusters: tuple[NDArray[np.intp], ...]
    draws: tuple[Draws, ...] = ()

    def intervals(self, value: Array, weights: Array) -> RobustIntervals:
        """Cluster-robust variance of effects: linear combinations (effect, fixed) of the coefficients, with their values.

        Notes
        -----
        Row i moves an effect by :math:`l_i r_i` with :math:`l = w \\cdot bread\\, \\tilde x`; a cluster moves it by the sum
        over its rows. The variance over the first set of clusters is that of few and unequal clusters
        (`analysis.kernels.clusters.small_sample`). The share of a cluster in an effect is its share of
        :math:`\\sum l_i^2`, so that an effect which few clusters inform has the interval of these few. A second set adds
        its own sum of squares, times G / (G − 1), less that of the intersections, where this is positive (Cameron,
        Gelbach and Miller, 2011). Draws add the variance of the effects over draws, divided by their number; the part that
        depends on draw and cluster at once is subtracted from the first variance.
        """
        n_effects = max(1, _CHUNK_ELEMENTS // len(self.residual))
        parts = [self._of_effects(weights[block]) for block in blocks(len(weights), n_effects)]
        variance, freedom, n_clusters, inflation = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
        estimate = Estimate(value, variance, freedom)
        widening = student.ppf(0.975, freedom[0]) / norm.ppf(0.975) * np.sqrt(inflation)
        return RobustIntervals(estimate, n_clusters, widening)

    def _of_effects(self, weights: Array) -> tuple[Array, Array, NDArray[np.int64], Array]:
        """Variance and freedom (source, effect), clusters and inflation of their variance (effect,)."""
        slopes = self.bread.T @ weights.T
        leverage = self.x @ slopes
        for factor, whitening in zip(self.factors, self.whitening, strict=True):
            leverage -= factor.indicator @ (whitening @ slopes)
        first, *second = self._indicators
        moves = np.square(first.T @ (leverage * self.residual[:, None]))
        share = first.T @ leverage**2
        share /= share.sum(axis=0)
        n_clusters = (share >= _LEAST_SHARE * share.max(axis=0)).sum(axis=0)
        n_effects = len(weights)
        effect = np.tile(np.arange(n_effects), len(share))
        correction = small_sample(share.ravel(), effect, n_effects)
        cluster_factor = correction.factor.reshape(share.shape)
        variance = (cluster_factor * moves).sum(axis=0)
        inflation = variance / np.maximum(moves.sum(axis=0), np.finfo(float).tiny)
        sources = []
        for draws in self.draws:
            over_draws, of_both = self._over_draws(draws, leverage, cluster_factor)
            sources.append((over_draws, np.full(n_effects, draws.deviation.shape[1] - 1.0)))
            variance = np.maximum(variance - of_both, 0)
        if second:
            of_second, of_both = (np.square(part.T @ (leverage * self.residual[:, None])).sum(axis=0) for part in second)
            n_second = second[0].shape[1]
            added = np.maximum(of_second * n_second / (n_second - 1) - of_both, 0)
            sources.insert(0, (added, np.full(n_effects, n_second - 1.0)))
        sources.insert(0, (np.where(n_clusters < LEAST_CLUSTERS, np.nan, variance), correction.freedom))
        variances, freedom = (np.stack(parts) for parts in zip(*sources, strict=True))
        return variances, freedom, n_clusters, inflation

    def _over_draws(self, draws: Draws, leverage: Array, factor: Array) -> tuple[Array, Array]:
        """Variance over draws (effect,), and the part of the variance that depends on draw and cluster at once."""
        moved, n = leverage[draws.rows], draws.deviation.shape[1]
        of_cluster = self._indicators[0][draws.rows].T
        of_both = np.sum([factor * np.square(of_cluster @ (moved * draws.deviation[:, [k]])) for k in range(n)], axis=(0, 1))
        return np.square(draws.deviation.T @ moved).sum(axis=0) / (n * (n - 1)), of_both / (n * (n - 1))

    @cached_property
    def _indicators(self) -> list[sparse.csr_array]:
        """(row, cluster) Membership in every set of clusters and, for two sets, in their intersections."""
        sets = list(self.clusters)
        if len(sets) > 1:
            sets.append(sets[0] * (int(sets[1].max()) + 1) + sets[1])
        indicators = []
        for clusters in sets:
            levels, codes = np.unique(clusters, return_inverse=True)
            rows = np.arange(len(codes))
            indicators.append(sparse.csr_array((np.ones(len(codes)), (rows, codes)), shape=(len(codes), len(levels))))
        return indicators

    def bootstrap(self, n_replicates: int, rng: np.random.Generator) -> Array:
        """Shifts of the coefficients (replicate, fixed) when whole clusters of the first set are drawn.

        Notes
        -----
        A replicate draws each cluster ω times and solves `Σ ω x̃ x' β = Σ ω x̃ r`; NaN where a level has no row in the
        replicate. Memory is that of a few clusters' rows and of n_replicates × fixed².
        """
        p = self.x.shape[1]
        order = np.argsort(self.clusters[0], kind="stable")
        counts = np.bincount(self.clusters[0])
        ends = np.cumsum(counts)
        draws = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=n_replicates).astype(float)
        left, right = np.zeros((n_replicates, p * p)), np.zeros((n_replicates, p))
        first = 0
        while first < len(counts):
            start = ends[first] - counts[first]
            last = max(first + 1, int(np.searchsorted(ends, start + _CHUNK_ELEMENTS // p, side="right")))
            products, sums = self._products(order[start : ends[last - 1]], counts[first:last])
            left += draws[:, first:last] @ products
            right += draws[:, first:last] @ sums
            first = last
        return _solved(left.reshape(-1, p, p), right)

    def _products(self, rows: NDArray[np.intp], sizes: NDArray[np.intp]) -> tuple[Array, Array]:
        """`x̃ x'` (cluster, fixed²) and `x̃ r` (cluster, fixed) of neighbouring clusters."""
        plain = self.x[rows].toarray()
        whitened = plain.copy()
        for factor, whitening in zip(self.factors, self.whitening, strict=True):
            whitened -= factor.indicator[rows] @ whitening
        starts = np.cumsum(sizes) - sizes
        sums = np.add.reduceat(whitened * self.residual[rows, None], starts)
        products = np.empty((len(sizes), plain.shape[1] ** 2))
        for index, (start, size) in enumerate(zip(starts, sizes, strict=True)):
            cluster = slice(start, start + size)
            products[index] = (whitened[cluster].T @ plain[cluster]).ravel()
        return products, sums


def _solved(left: Array, right: Array) -> Array:
    """Every replicate's shift of the coefficients; NaN where its rows do not determine them."""
    shifts = np.full(right.shape, np.nan)
    diagonal = np.abs(np.diagonal(left, axis1=1, axis2=2))
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1))
    values = np.linalg.svd(left / (scale[:, :, None] * scale[:, None, :]), compute_uv=False)
    has_full_rank = values[:, -1] > _LEAST_SINGULAR * values[:, 0]
    shifts[has_full_rank] = np.linalg.solve(left[has_full_rank], right[has_full_rank, :, None])[:, :, 0]
    return shifts
