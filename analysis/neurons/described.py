"""What one sort of its values says of every neuron of a layer: histogram, sides, example tokens, features, classes.

Owns the arrays of a layer. Which of them a profile holds, and under what names, is in `every_neuron.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from actstore.store.schema import NEURON, TOKEN
from analysis.kernels.information import clusters_on_a_line, information_of_counts
from analysis.kernels.parallel import blocks, workers
from analysis.kernels.ties import drawn_order
from analysis.neurons.features import LEAST_NEGATIVE, Feature

BIN_EDGES = np.linspace(-6, 6, 61)
"""In standard deviations; values beyond are in the outermost bins."""
QUANTILES = np.arange(1, 10) / 10
SIDES = ("negative", "positive")
"""Below 0, and from 0 on."""
LEAST_OF_A_CLASS = 10
"""Tokens that a class needs for a mean."""
_BLOCK_ROWS = 32


class Described(NamedTuple):
    """Arrays over the neurons of a layer, or of a part of it."""

    zero: NDArray[np.float32]
    """(neuron,) Where a pre-activation of 0 lies, in standard deviations from the mean; NaN for zero variance."""
    n_in_bin: NDArray[np.int32]
    """(neuron, bin) Zero for a neuron of zero variance."""
    side_frac: NDArray[np.float32]
    """(neuron, side)"""
    side_mean: NDArray[np.float32]
    """(neuron, side) NaN where the side is empty."""
    example_token: NDArray[np.int32]
    """(neuron, example) Indices of the layer's tokens: the lowest, those at the quantiles, the highest, in ascending order."""
    example_preactivation: NDArray[np.float32]
    """(neuron, example)"""
    explained_frac: NDArray[np.float32]
    """(neuron, feature)"""
    p_value: NDArray[np.float64]
    """(neuron, feature)"""
    class_mean: NDArray[np.float32]
    """(neuron, class) In standard deviations from the neuron's mean; NaN for zero variance or too few tokens."""


def example_ranks(n_tokens: int, n_extremes: int) -> NDArray[np.int64]:
    """Ranks, from 0, of the lowest values, of those at the quantiles, and of the highest (example,)."""
    n = min(n_extremes, n_tokens)
    between = np.round(QUANTILES * (n_tokens - 1)).astype(int)
    return np.concatenate([np.arange(n), between, np.arange(n_tokens - n, n_tokens)])


def described(layer: xr.Dataset, features: dict[str, Feature], classes: Feature, n_extremes: int, n_clusters: int) -> Described:
    """Every neuron of a layer.

    Parameters
    ----------
    layer : Dataset
        `preactivation` (token, neuron), in memory.
    features : dict of str to Feature
        What the clusters of negative values may follow.
    classes : Feature
        Parts of speech.
    n_extremes : int
        Lowest and highest tokens of a neuron.
    n_clusters : int
        Clusters of a neuron's negative values.

    Returns
    -------
    Described

    Notes
    -----
    Equal values are in a random order of their tokens, the same for all neurons: where a layer's input depends on the
    token alone, the first documents would take all places otherwise. Clusters are `clusters_on_a_line`'s of the negative
    values, as in `neuron_atlas`. Time: about 3 ms a neuron at 16,000 tokens on one processor. Memory: 32 neurons in
    float32, and the order of their values, a processor.
    """
    stored = layer["preactivation"].transpose(TOKEN, NEURON).values
    drawn = drawn_order(len(stored))
    ranks = example_ranks(len(stored), n_extremes)
    members = _memberships(classes, len(stored))

    def of_block(block: slice) -> Described:
        values = np.ascontiguousarray(stored[:, block].T, np.float32)
        order = drawn[np.argsort(values[:, drawn], axis=1, kind="stable")]
        ascending = np.take_along_axis(values, order, axis=1)
        rows = [_followed(x, tokens, features, n_clusters) for x, tokens in zip(ascending, order, strict=True)]
        explained = np.array(rows, np.float64).reshape(len(values), len(features), 2)
        mean, std = (np.asarray(f(values, axis=1, dtype=np.float64))[:, None] for f in (np.mean, np.std))
        std = np.where(np.ptp(ascending[:, [0, -1]], axis=1, keepdims=True) > 0, std, np.nan)
        return Described(
            (-mean / std)[:, 0].astype(np.float32),
            _counts(ascending, mean, std),
            *_sides(ascending),
            order[:, ranks].astype(np.int32),
            ascending[:, ranks],
            explained[..., 0].astype(np.float32),
            explained[..., 1],
            ((values @ members - mean) / std).astype(np.float32),
        )

    parts = list(workers().map(of_block, blocks(stored.shape[1], _BLOCK_ROWS)))
    return Described(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _memberships(classes: Feature, n_tokens: int) -> NDArray[np.float32]:
    """Weights (token, class) that average over a class's tokens; NaN for a class of too few."""
    members = np.zeros((n_tokens, len(classes.names)), np.float32)
    known = np.flatnonzero(classes.codes >= 0)
    members[known, classes.codes[known]] = 1
    n = members.sum(axis=0)
    return np.asarray(members / np.where(n >= LEAST_OF_A_CLASS, n, np.nan))


def _counts(ascending: NDArray[np.float32], mean: NDArray[np.float64], std: NDArray[np.float64]) -> NDArray[np.int32]:
    """Values in each bin (neuron, bin)."""
    n = ascending.shape[1]
    counts = np.zeros((len(ascending), len(BIN_EDGES) - 1), np.int32)
    for row, (x, centre, scale) in enumerate(zip(ascending, mean[:, 0], std[:, 0], strict=True)):
        if np.isfinite(scale):
            below = np.searchsorted(x, centre + scale * BIN_EDGES[1:-1])
            counts[row] = np.diff(np.concatenate([[0], below, [n]]))
    return counts


def _sides(ascending: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Share of the values on each side, and their mean there (neuron, side)."""
    frac, mean = np.full((2, len(ascending), len(SIDES)), np.nan, np.float32)
    for row, x in enumerate(ascending):
        n_below = np.searchsorted(x, 0)
        for side, part in enumerate((x[:n_below], x[n_below:])):
            frac[row, side] = len(part) / len(x)
            if len(part):
                mean[row, side] = part.mean(dtype=np.float64)
    return frac, mean


def _followed(
    ascending: NDArray[np.float32], tokens: NDArray[np.int64], features: dict[str, Feature], n_clusters: int
) -> list[tuple[float, float]]:
    """Share of the clusters' entropy that each feature explains, and its p-value."""
    n_below = int(np.searchsorted(ascending, 0))
    if n_below < LEAST_NEGATIVE:
        return [(np.nan, np.nan)] * len(features)
    clusters, centres = clusters_on_a_line(ascending[:n_below], n_clusters)
    negative = tokens[:n_below]
    followed = []
    for feature in features.values():
        n_codes = len(feature.names) + 1  # the last one for tokens without a label
        counts = np.bincount(clusters * n_codes + feature.codes[negative] % n_codes, minlength=len(centres) * n_codes)
        counts = counts.reshape(-1, n_codes)[:, :-1]
        result = information_of_counts(counts) if counts.sum() >= LEAST_NEGATIVE else None
        followed.append((result.explained_frac, result.p_value) if result else (np.nan, np.nan))
    return followed
