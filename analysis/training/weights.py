"""How far the weights of neurons are from those of another checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from actstore.errors import UnknownNameError
from actstore.selection.selection import Selection
from actstore.store.schema import CHECKPOINT, HIDDEN, LAYER, NEURON
from analysis.training.cohorts import cohort_means, distinct_checkpoints, selected_neurons

REFERENCES = ("last", "previous")


def weight_dissimilarity(neuron_weight: xr.DataArray, selection: Selection, *, reference: str = "last") -> pd.DataFrame:
    r"""Cosine dissimilarity of neurons' weights between checkpoints, in the selected neurons and in the rest.

    Parameters
    ----------
    neuron_weight : DataArray
        (checkpoint, layer, hidden, neuron), checkpoints ascending, with `duplicate_of` on `checkpoint`;
        any float dtype. May be lazy and larger than memory.
    selection : Selection
        The cohort, fixed over checkpoints.
    reference : str
        The checkpoint with which each distinct checkpoint is compared: the `last` one or the `previous` one. The first
        checkpoint has no previous one, and then no row.

    Returns
    -------
    DataFrame
        One row a (checkpoint, layer, cohort): `mean` of 1 − cosine, 0 (same direction) to 2, 1 for
        orthogonal weights, and its 95% bounds over neurons `mean_lower` and `mean_upper` (Student's t);
        `n_neurons`, which are the `n_clusters` of the `cluster` neuron. Neurons whose weights are all zero have no direction
        and are left out. The mean of no neuron is NaN, as are the bounds of fewer than two.

    Raises
    ------
    UnknownNameError
        If there is no such reference.
    SelectionError
        If the selection is for layers of another size.

    Notes
    -----
    :math:`1 - w_t \cdot w_r / \sqrt{(w_t \cdot w_t)(w_r \cdot w_r)}` for the weights w of a neuron at
    steps t and r, summed in float64; bounds as in `cohort_trajectory`. Holds the weights of one layer
    at two checkpoints.

    References
    ----------
    Kong et al. (2026), on training dynamics.

    Examples
    --------
    >>> import xarray as xr
    >>> from actstore import Selection
    >>> cohort = Selection({0: (0,)}, "top", "wasserstein_distance", 0.5, "m", "site", "", 8, 2)
    >>> weight = xr.DataArray(
    ...     [[[[1.0, 1.0], [0.0, 1.0]]], [[[0.0, 2.0], [1.0, 2.0]]]],
    ...     {"checkpoint": [0, 8], "layer": [0], "duplicate_of": ("checkpoint", [-1, -1])},
    ...     ("checkpoint", "layer", "hidden", "neuron"),
    ... )
    >>> weight_dissimilarity(weight, cohort)[["checkpoint", "cohort", "mean"]].values.tolist()
    [[0, 'top', 1.0], [0, 'rest', 0.0], [8, 'top', 0.0], [8, 'rest', 0.0]]
    """
    if reference not in REFERENCES:
        raise UnknownNameError("reference", reference, REFERENCES)
    neuron_weight, selected = distinct_checkpoints(neuron_weight), selected_neurons(neuron_weight, selection)
    samples = (
        (step, int(layer), dissimilarity, selected[index])
        for index, layer in enumerate(neuron_weight[LAYER].values)
        for step, dissimilarity in _dissimilarities(neuron_weight.isel({LAYER: index}), reference)
    )
    return cohort_means(samples, selection.rule).sort_values([CHECKPOINT, LAYER], kind="stable", ignore_index=True)


def _dissimilarities(weight: xr.DataArray, reference: str) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Step, and 1 − cosine of every neuron to the reference, for the weights (checkpoint, hidden, neuron) of a layer."""

    def read(index: int) -> NDArray[Any]:
        # Transposed only when it is in memory.
        return weight.isel({CHECKPOINT: index}).compute().transpose(HIDDEN, NEURON).values

    of_reference = read(-1) if reference == "last" else None
    for index, step in enumerate(weight[CHECKPOINT].values):
        weights = read(index)
        if of_reference is not None:
            yield int(step), _dissimilarity(weights, of_reference)
        if reference == "previous":
            of_reference = weights


def _dissimilarity(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """1 − cosine of columns (hidden, neuron); NaN where a column is zero."""
    ab, aa, bb = (np.einsum("hn,hn->n", *pair, dtype=np.float64) for pair in ((a, b), (a, a), (b, b)))
    with np.errstate(invalid="ignore"):
        return np.asarray(1 - ab / np.sqrt(aa * bb))
