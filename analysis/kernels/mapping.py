"""Mapping difficulty: how far outputs are apart for their inputs' distance, on plain arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.kernels.neighbours import identical_below
from analysis.kernels.parallel import map_rows


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
    x = inputs.astype(np.float32)
    distance = np.linalg.norm(x[pairs[:, 0]] - x[pairs[:, 1]], axis=1).astype(np.float64)
    apart = distance > identical_below(x)
    first, second = np.ascontiguousarray(pairs[apart].T)
    distance = distance[apart]
    if not len(distance):
        nothing = np.full(outputs.shape[1], np.nan)
        return MappingDifficulty(nothing, nothing, np.nan, len(pairs))
    largest = float(distance.max())
    weight = (largest / distance / len(distance)).astype(np.float32)

    def block(y: NDArray[np.floating]) -> NDArray[np.float64]:
        gap = np.abs(y.take(first, axis=1) - y.take(second, axis=1))
        total = gap @ weight.astype(gap.dtype)
        median = np.median(gap, axis=1, overwrite_input=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.stack([np.where(median > 0, total / median, np.nan), median], axis=1).astype(np.float64)

    _, found = map_rows(block, outputs, 0)
    return MappingDifficulty(found[:, 0], found[:, 1], largest, int(len(pairs) - len(distance)))
