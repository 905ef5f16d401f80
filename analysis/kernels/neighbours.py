"""Pairs of similar inputs, and comparable pairs of dissimilar ones, on plain arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.kernels.parallel import blocks, one_thread_a_product, workers
from analysis.kernels.ties import drawn_order, keyed, rank_of

_IDENTICAL = 5e-3
_BLOCK_ROWS = 128


class SimilarPairs(NamedTuple):
    """Nearest neighbours."""

    pairs: NDArray[np.int64]
    """(pair, 2), the lower index first, each pair once."""
    distance: NDArray[np.float64]
    """(pair,), Euclidean."""
    n_identical: int
    """Pairs of points that count as the same; they are left out."""


def identical_below(points: NDArray[np.floating]) -> float:
    """Distance up to which two inputs (point, dim) count as the same: 0.5% of their root-mean-square norm.

    Equal inputs differ by rounding: batches of another size sum in another order, and half precision has 11 bits.
    """
    x = points.astype(np.float32, copy=False)
    return float(_IDENTICAL * np.sqrt(np.mean(np.einsum("ij,ij->i", x, x))))


def similar_pairs(points: NDArray[np.floating], n_neighbours: int) -> SimilarPairs:
    """The nearest neighbours of every point, without those that count as the same point.

    Parameters
    ----------
    points : array (point, dim)
    n_neighbours : int
        Neighbours of each point; fewer where fewer differ from it.

    Returns
    -------
    SimilarPairs

    Notes
    -----
    Neighbours are found by distances from blocks of the Gram matrix in float32; the returned distances are recomputed
    from differences. Squared distances that agree to 11 significant bits tie. Of those that tie, a point's nearest
    are the next ones after it in a fixed random order: where inputs depend on the token alone, all occurrences of a
    word are equally near. Cost: n² · dim operations; memory: n · 128 numbers a processor.
    """
    order = drawn_order(len(points))
    x = points[order].astype(np.float32)
    x -= x.mean(axis=0)
    squares = np.einsum("ij,ij->i", x, x)
    threshold = identical_below(points) ** 2
    k = min(n_neighbours, len(x) - 1)

    def of_points(block: slice) -> tuple[NDArray[np.int64], int]:
        rows = np.arange(block.start, block.stop)[:, None]
        square = squares[rows] + squares - 2 * (x[rows[:, 0]] @ x.T)
        np.put_along_axis(square, rows, np.inf, axis=1)
        same = square <= threshold
        square[same] = np.inf
        keys = keyed(square.copy(), (np.arange(len(x)) - rows) % len(x))
        keys.partition(k - 1, axis=1)
        nearest = (rank_of(keys[:, :k]) + rows) % len(x)
        differs = np.isfinite(np.take_along_axis(square, nearest, axis=1))
        return np.stack([np.repeat(rows, k)[differs.ravel()], nearest[differs]], axis=1), int(same.sum())

    with one_thread_a_product():
        neighbours, n_same = zip(*workers().map(of_points, blocks(len(x), _BLOCK_ROWS)), strict=True)
    pairs = np.unique(np.sort(order[np.concatenate(neighbours)], axis=1), axis=0)
    gap = points[pairs[:, 0]].astype(np.float64) - points[pairs[:, 1]]
    return SimilarPairs(pairs, np.sqrt(np.einsum("ij,ij->i", gap, gap)), sum(n_same) // 2)


def matched_pairs(
    pairs: NDArray[np.int64],
    strata: NDArray[np.int64],
    candidates: NDArray[np.int64],
    candidate_strata: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """A random candidate of the same stratum for each pair; each candidate is used at most once.

    Parameters
    ----------
    pairs : int array (pair, 2)
    strata : int array (pair,)
    candidates : int array (candidate, 2)
    candidate_strata : int array (candidate,)
    rng : numpy Generator
        Draws the order of a stratum's candidates.

    Returns
    -------
    int array (pair, 2)
        -1 where the stratum has no candidate left.
    """
    matched = np.full_like(pairs, -1)
    shuffled = rng.permutation(len(candidates))
    ordered = shuffled[np.argsort(candidate_strata[shuffled], kind="stable")]
    starts = np.searchsorted(candidate_strata[ordered], strata)
    stops = np.searchsorted(candidate_strata[ordered], strata, side="right")
    by_stratum = np.argsort(strata, kind="stable")
    first_of = np.searchsorted(strata[by_stratum], strata[by_stratum])
    rank = np.empty(len(pairs), np.int64)  # 0, 1, 2, … among the pairs of a stratum
    rank[by_stratum] = np.arange(len(pairs)) - first_of
    has_match = starts + rank < stops
    matched[has_match] = candidates[ordered[(starts + rank)[has_match]]]
    return matched
