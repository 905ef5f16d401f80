"""Mapping difficulty: the distance of two outputs over the distance of their inputs, on plain arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.kernels.neighbours import identical_below
from analysis.kernels.parallel import blocks, one_thread_a_product, workers

_BLOCK_NEURONS, _BLOCK_PAIRS = 64, 512


class MappingDifficulty(NamedTuple):
    """Difficulty of every neuron, and the scales that normalise it."""

    difficulty: NDArray[np.float64]
    """(neuron,)"""
    output_scale: NDArray[np.float64]
    """Median output distance N_y, (neuron,)."""
    input_scale: float
    """Largest input distance N_x."""
    n_identical: int
    """Pairs that are left out because their inputs are the same."""


def mapping_difficulty(
    inputs: NDArray[np.floating], outputs: NDArray[np.floating], pairs: NDArray[np.integer]
) -> MappingDifficulty:
    r"""Mean ratio of normalised output distance to normalised input distance.

    Parameters
    ----------
    inputs : array (token, hidden)
    outputs : array (token, neuron)
    pairs : int array (pair, 2)
        Tokens to compare.

    Returns
    -------
    MappingDifficulty
        NaN for a neuron whose median output distance is 0.

    Notes
    -----
    :math:`\mathrm{MD} = \operatorname{mean}_{ij} \frac{|y_i - y_j| / N_y}{\|x_i - x_j\| / N_x}`, over pairs
    whose inputs differ (see `identical_below`). Cost: two gathers and one selection a neuron.
    """
    dtype = np.dtype(np.float64 if outputs.dtype == np.float64 else np.float32)
    distance = _distances(inputs, pairs)
    differs = distance > identical_below(inputs)
    first, second = np.ascontiguousarray(pairs[differs].T)
    distance = distance[differs]
    if not len(distance):
        undefined = np.full(outputs.shape[1], np.nan)
        return MappingDifficulty(undefined, undefined, np.nan, len(pairs))
    largest = float(distance.max())
    weight: NDArray[np.floating] = (largest / distance / len(distance)).astype(dtype)

    def of_neurons(neurons: slice) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        gap: NDArray[np.floating] = outputs[first, neurons].astype(dtype, copy=False)
        gap -= outputs[second, neurons]
        np.abs(gap, out=gap)
        return weight @ gap, _medians(np.ascontiguousarray(gap.T))

    with one_thread_a_product():
        parts = list(workers().map(of_neurons, blocks(outputs.shape[1], _BLOCK_NEURONS)))
    total, median = (np.concatenate(column).astype(np.float64) for column in zip(*parts, strict=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        difficulty = np.where(median > 0, total / median, np.nan)
    return MappingDifficulty(difficulty, median, largest, int(len(pairs) - len(distance)))


def _distances(points: NDArray[np.floating], pairs: NDArray[np.integer]) -> NDArray[np.float64]:
    """Euclidean distance of every pair, a block of pairs at a time."""
    distance = np.empty(len(pairs))
    for block in blocks(len(pairs), _BLOCK_PAIRS):
        gap = points[pairs[block, 0]].astype(np.float32)
        gap -= points[pairs[block, 1]]
        distance[block] = np.sqrt(np.einsum("ij,ij->i", gap, gap))
    return distance


def _medians(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Median of every row, by one selection (numpy's median takes three); the rows are reordered."""
    middle = values.shape[1] // 2
    values.partition(middle, axis=1)
    above = values[:, middle]
    return above if values.shape[1] % 2 else (values[:, :middle].max(axis=1) + above) / 2
