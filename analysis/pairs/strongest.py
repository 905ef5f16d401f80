"""The similar pairs that every neuron of a layer drives furthest apart.

Owns which pairs a profile shows: those on the negative side, and those of any signs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.kernels.pairs import furthest_disjoint
from analysis.kernels.parallel import blocks, workers
from analysis.pairs.samples import Sample
from analysis.pairs.similarity import NO_PAIR

KINDS = ("negative", "any")
"""Pairs of two negative values; pairs of any signs."""
_BLOCK_ROWS = 32


def strongest_pairs(sample: Sample, n_top: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The similar pairs that each neuron drives furthest apart, no two of which share a token.

    Parameters
    ----------
    sample : Sample
        A layer's values at the tokens of its pairs.
    n_top : int
        Pairs a neuron and kind.

    Returns
    -------
    tokens : int array (neuron, kind, pair, 2)
        Indices of the sample's tokens, the furthest pair first; `NO_PAIR` where there are fewer.
    preactivation : array (neuron, kind, pair, 2)
        NaN where there are fewer.

    Notes
    -----
    The negative pairs are those of `most_differentiated`.
    """
    a, b = np.ascontiguousarray(sample.similar.T)
    shape = (len(KINDS), n_top, 2)

    def of_block(block: slice) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        values = sample.values[block]
        tokens, ends = np.full((len(values), *shape), NO_PAIR, np.int32), np.full((len(values), *shape), np.nan, np.float32)
        for row, x in enumerate(values):
            x_a, x_b = x[a], x[b]
            gap = np.abs(x_a - x_b)
            for kind, gaps in enumerate((np.where((x_a < 0) & (x_b < 0), gap, np.float32(0)), gap)):
                chosen = sample.similar[furthest_disjoint(gaps, sample.similar, n_top)]
                tokens[row, kind, : len(chosen)], ends[row, kind, : len(chosen)] = chosen, x[chosen]
        return tokens, ends

    parts = workers().map(of_block, blocks(len(sample.values), _BLOCK_ROWS))
    tokens, ends = zip(*parts, strict=True)
    return np.concatenate(tokens), np.concatenate(ends)
