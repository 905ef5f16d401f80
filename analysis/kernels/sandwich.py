"""Intervals for a mixed model's coefficients that do not trust its distribution, on plain arrays.

Owns the cluster-robust covariance and the cluster bootstrap. Both keep the weights `V⁻¹` of the fit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from analysis.kernels.crossproducts import Array, Factor

_CHUNK_ELEMENTS = 2**22


class Robust(NamedTuple):
    """What clusters say of the coefficients."""

    covariance: Array
    """(fixed, fixed)"""
    freedom: int
    """Clusters of the factor that has fewest, less one."""
    replicates: Array
    """(replicate, fixed) Coefficients of the bootstrap."""


def cluster_robust(
    x: sparse.csr_array,
    residual: Array,
    factors: tuple[Factor, ...],
    whitening: tuple[Array, ...],
    bread: Array,
    clusters: tuple[NDArray[np.intp], ...],
    n_replicates: int,
    rng: np.random.Generator,
) -> Robust:
    """Cluster-robust covariance and cluster bootstrap of generalised least squares.

    Parameters
    ----------
    x : sparse array (row, fixed)
    residual : array (row,)
        `y − X β`.
    factors, whitening
        As fitted: `x̃ = V⁻¹X` (with σ² = 1) is X less every factor's Z times its whitening.
    bread : array (fixed, fixed)
        `(X' V⁻¹ X)⁻¹`, with σ² = 1.
    clusters : one or two arrays (row,)
        Rows of a cluster may depend on each other in any way; with two, rows that share either. The
        first is the one resampled.
    n_replicates : int
    rng : numpy Generator

    Notes
    -----
    A row moves the coefficients by `bread x̃ r`, so the covariance is `bread (Σ s s') bread` with s the
    sums of `x̃ r` over clusters: times `G/(G − 1) · (n − 1)/(n − p)`; with two sets of clusters, both less
    that of their intersections, eigenvalues below zero set to zero (Cameron, Gelbach and Miller,
    2011). The bootstrap draws whole clusters ω and solves `Σ ω x̃ x' β = Σ ω x̃ y`. Memory is that of
    a few clusters' rows and of n_replicates × fixed².
    """
    n, p = x.shape
    order = np.argsort(clusters[0], kind="stable")
    counts = np.bincount(clusters[0])
    ends = np.cumsum(counts)
    draws = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=n_replicates).astype(float)
    left, right = np.zeros((n_replicates, p * p)), np.zeros((n_replicates, p))
    meat, cell_meat, n_cells = np.zeros((p, p)), np.zeros((p, p)), 0
    second = np.zeros((int(clusters[1].max()) + 1, p)) if len(clusters) > 1 else None

    first = 0
    while first < len(counts):
        start = ends[first] - counts[first]
        last = max(first + 1, int(np.searchsorted(ends, start + _CHUNK_ELEMENTS // p, side="right")))
        rows = order[start : ends[last - 1]]
        plain = x[rows]
        tilted = plain.toarray()
        for factor, part in zip(factors, whitening, strict=True):
            tilted -= factor.indicator[rows] @ part
        score = tilted * residual[rows, None]
        sizes = counts[first:last]
        sums = np.add.reduceat(score, np.cumsum(sizes) - sizes)
        meat += sums.T @ sums
        right += draws[:, first:last] @ sums
        products = np.empty((last - first, p * p))
        dense, at = plain.toarray(), 0
        for index, size in enumerate(sizes):
            products[index] = (tilted[at : at + size].T @ dense[at : at + size]).ravel()
            at += size
        left += draws[:, first:last] @ products
        if second is not None:
            cell = clusters[0][rows] * len(second) + clusters[1][rows]
            _, index = np.unique(cell, return_inverse=True)
            by_cell = _summed(index, score)
            cell_meat += by_cell.T @ by_cell
            n_cells += len(by_cell)
            second += _summed(clusters[1][rows], score, len(second))
        first = last

    def covariance(meat: Array, n_clusters: int) -> Array:
        found: Array = bread @ meat @ bread.T * (n_clusters / (n_clusters - 1) * (n - 1) / (n - p))
        return found

    total, fewest = covariance(meat, len(counts)), len(counts)
    if second is not None:
        total += covariance(second.T @ second, len(second)) - covariance(cell_meat, n_cells)
        values, vectors = np.linalg.eigh((total + total.T) / 2)
        total = (vectors * np.maximum(values, 0)) @ vectors.T
        fewest = min(fewest, len(second))
    return Robust(total, fewest - 1, _solved(left.reshape(-1, p, p), right))


def _summed(index: NDArray[np.intp], values: Array, n: int | None = None) -> Array:
    """Sum of the rows of `values` with the same index."""
    shape = (n or int(index.max()) + 1, len(index))
    found: Array = sparse.csr_array((np.ones(len(index)), (index, np.arange(len(index)))), shape=shape) @ values
    return found


def _solved(left: Array, right: Array) -> Array:
    """Every replicate's shift of the coefficients; NaN where it lacks a column's rows."""
    found = np.full(right.shape, np.nan)
    diagonal = np.abs(np.diagonal(left, axis1=1, axis2=2))
    whole = (diagonal > 1e-9 * diagonal.mean(axis=0)).all(axis=1)
    found[whole] = np.linalg.solve(left[whole], right[whole, :, None])[:, :, 0]
    return found
