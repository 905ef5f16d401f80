"""The pairs that a neuron drives furthest apart, and the signs of their values, on plain arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from analysis.kernels.parallel import blocks, workers
from analysis.kernels.ties import drawn_order, keyed, rank_of

_BLOCK_ROWS = 16
_N_FIRST = 64
"""Pairs that are looked at first for some without common tokens."""
SIGNS = ("NN", "PN", "PP")
"""Both values of a pair are negative, one is, none is."""


def furthest_pairs(values: NDArray[np.float32], pairs: NDArray[np.int64], n_top: int) -> NDArray[np.int64]:
    """The pairs with the largest absolute difference, for every neuron.

    Parameters
    ----------
    values : array (neuron, token), C-contiguous
    pairs : int array (pair, 2)
    n_top : int
        At most the number of pairs.

    Returns
    -------
    int array (neuron, n_top)
        Indices in `pairs`, ascending.

    Notes
    -----
    Differences that agree to 11 significant bits tie, and are taken in a fixed random order: where a layer's input
    depends on the token alone, hundreds of pairs of the same two words tie.
    """
    order, rank = drawn_order(len(pairs)), np.arange(len(pairs))
    first, second = np.ascontiguousarray(pairs[order].T)
    n_below = len(pairs) - n_top

    def of_neurons(neurons: slice) -> NDArray[np.int64]:
        part = values[neurons]
        gap = part.take(first, axis=1)
        gap -= part.take(second, axis=1)
        keys = keyed(np.abs(gap, out=gap), rank)
        keys.partition(n_below, axis=1)
        return np.sort(order[rank_of(keys[:, n_below:])], axis=1)

    return np.concatenate(list(workers().map(of_neurons, blocks(len(values), _BLOCK_ROWS))))


def n_negative(values: NDArray[np.float32], pairs: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of the two values are negative (neuron, chosen), for every neuron's chosen pairs."""
    below = values < 0
    rows = np.arange(len(values))[:, None]
    counts: NDArray[np.int64] = below[rows, pairs[chosen, 0]].astype(np.int64) + below[rows, pairs[chosen, 1]]
    return counts


def sign_fractions(n_below: NDArray[np.int64]) -> NDArray[np.float64]:
    """Fractions NN, PN, PP (neuron, 3) of counts from `n_negative`."""
    return np.stack([(n_below == count).mean(axis=1) for count in (2, 1, 0)], axis=1)


def predicted_fractions(negative_frac: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fractions NN, PN, PP (…, 3) of two independent values, each negative with the probability `negative_frac` (…)."""
    p = np.asarray(negative_frac)
    return np.stack([p**2, 2 * p * (1 - p), (1 - p) ** 2], axis=-1)


def fraction_moves(n_below: NDArray[np.int64], ends: NDArray[np.intp], n_clusters: int) -> NDArray[np.float64]:
    """How far each cluster of tokens moves every neuron's fractions NN, PN, PP: their derivatives by the cluster's weight.

    Parameters
    ----------
    n_below : int array (neuron, chosen)
    ends : int array (neuron, chosen, 2)
        Clusters of both tokens of the chosen pairs; a pair's weight is the product of both clusters' weights.
    n_clusters : int

    Returns
    -------
    array (neuron, 3, cluster)
    """
    n_neurons, n_chosen = n_below.shape
    cell = (np.arange(n_neurons)[:, None, None] * n_clusters + ends).ravel()

    def moves(count: int) -> NDArray[np.float64]:
        is_count = n_below == count
        residual = (is_count - is_count.mean(axis=1, keepdims=True)) / n_chosen
        of_ends = np.broadcast_to(residual[:, :, None], ends.shape).ravel()
        moved = np.bincount(cell, weights=of_ends, minlength=n_neurons * n_clusters)
        return moved.astype(np.float64).reshape(n_neurons, n_clusters)

    return np.stack([moves(count) for count in (2, 1, 0)], axis=1)


def predicted_moves(below: NDArray[np.bool], cluster: NDArray[np.intp], n_clusters: int) -> NDArray[np.float64]:
    """As `fraction_moves` (neuron, 3, cluster), for `predicted_fractions`; `below` (neuron, token) marks negative values."""
    n_tokens = below.shape[1]
    membership = csr_array((np.ones(n_tokens), (np.arange(n_tokens), cluster)), shape=(n_tokens, n_clusters))
    p = below.mean(axis=1)[:, None]
    moved = (np.asarray(below @ membership) - p * np.bincount(cluster, minlength=n_clusters)) / n_tokens
    return np.stack([2 * p * moved, 2 * (1 - 2 * p) * moved, -2 * (1 - p) * moved], axis=1)


def furthest_disjoint(gap: NDArray[np.float32], pairs: NDArray[np.int64], n_top: int) -> list[int]:
    """The pairs with the largest gaps, of which no two have a token in common.

    Parameters
    ----------
    gap : float32 array (pair,)
        At least 0; a pair of gap 0 is never taken. Overwritten.
    pairs : int array (pair, 2)
    n_top : int

    Returns
    -------
    list of int
        At most `n_top` indices in `pairs`, the largest gap first. Gaps that agree to 11 significant bits are in the
        order of the pairs.
    """
    n_apart = int((gap > 0).sum())
    keys = keyed(gap, np.arange(len(gap))[::-1])
    n_sorted = min(_N_FIRST, n_apart)  # most often enough, and much faster than to sort all
    while True:
        furthest = np.argpartition(keys, len(keys) - n_sorted)[len(keys) - n_sorted :] if n_sorted else np.arange(0)
        disjoint: list[int] = []
        used: set[int] = set()
        for index in furthest[np.argsort(-keys[furthest])].tolist():
            ends = {int(token) for token in pairs[index]}
            if len(disjoint) < n_top and not ends & used:
                disjoint.append(index)
                used |= ends
        if len(disjoint) == n_top or n_sorted == n_apart:
            return disjoint
        n_sorted = n_apart
