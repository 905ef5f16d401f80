"""Mapping difficulty: how far outputs are apart for their inputs' distance, on plain arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.kernels.neighbours import identical_below
from analysis.kernels.parallel import one_thread_a_product, workers

_BLOCK_NEURONS, _BLOCK_PAIRS = 64, 512


class MappingDifficulty(NamedTuple):
    """Difficulty of every neuron, and what it was normalised by."""

    difficulty: NDArray[np.float64]
    """(neuron,)"""
    output_scale: NDArray[np.float64]
    """Median output distance N_y, (neuron,)."""
    input_scale: float
    """Largest input distance N_x."""
    n_identical: int
    """Pairs left out because their inputs are the same."""


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
    work = np.dtype(np.float64 if outputs.dtype == np.float64 else np.float32)
    distance = _distances(inputs, pairs)
    apart = distance > identical_below(inputs)
    first, second = np.ascontiguousarray(pairs[apart].T)
    distance = distance[apart]
    if not len(distance):
        nothing = np.full(outputs.shape[1], np.nan)
        return MappingDifficulty(nothing, nothing, np.nan, len(pairs))
    largest = float(distance.max())
    weight: NDArray[np.floating] = (largest / distance / len(distance)).astype(work)

    def block(start: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        columns = slice(start, start + _BLOCK_NEURONS)
        gap: NDArray[np.floating] = outputs[first, columns].astype(work, copy=False)
        gap -= outputs[second, columns]
        np.abs(gap, out=gap)
        return weight @ gap, _medians(np.ascontiguousarray(gap.T))

    with one_thread_a_product():
        parts = list(workers().map(block, range(0, outputs.shape[1], _BLOCK_NEURONS)))
    total, median = (np.concatenate(column).astype(np.float64) for column in zip(*parts, strict=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        difficulty = np.where(median > 0, total / median, np.nan)
    return MappingDifficulty(difficulty, median, largest, int(len(pairs) - len(distance)))


def _distances(points: NDArray[np.floating], pairs: NDArray[np.integer]) -> NDArray[np.float64]:
    """Euclidean distance of every pair, some at a time."""
    found = np.empty(len(pairs))
    for start in range(0, len(pairs), _BLOCK_PAIRS):
        part = slice(start, start + _BLOCK_PAIRS)
        gap = points[pairs[part, 0]].astype(np.float32)
        gap -= points[pairs[part, 1]]
        found[part] = np.sqrt(np.einsum("ij,ij->i", gap, gap))
    return found


def _medians(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Median of every row, which is reordered: one selection, where numpy's median takes three."""
    middle = values.shape[1] // 2
    values.partition(middle, axis=1)
    above = values[:, middle]
    return above if values.shape[1] % 2 else (values[:, :middle].max(axis=1) + above) / 2
