"""Fixed cohorts of neurons over checkpoints: their means, and how cohorts of different checkpoints overlap.

Owns the table of cohort means. Checkpoints whose weights repeat an earlier one are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import t as student

from actstore.errors import SelectionError
from actstore.selection.selection import Selection
from actstore.store.schema import CHECKPOINT, LAYER, NEURON, NOT_A_DUPLICATE
from analysis.kernels.clusters import LEAST_CLUSTERS
from analysis.kernels.ranks import ranked

ALL_LAYERS = -1
"""`layer` of a row over all layers."""
REST = "rest"
"""`cohort` of the neurons that are not selected."""
OTHER_CHECKPOINT = "other_checkpoint"


def cohort_trajectory(statistic: xr.DataArray, selection: Selection) -> pd.DataFrame:
    """Mean of a statistic in the selected neurons and in the rest, per checkpoint, by layer and over all layers.

    Parameters
    ----------
    statistic : DataArray
        (checkpoint, layer, neuron), with `duplicate_of` on `checkpoint`.
    selection : Selection
        The cohort, fixed over checkpoints.

    Returns
    -------
    DataFrame
        One row a (checkpoint, layer, cohort), and one over the neurons of all layers (`layer` −1):
        `mean`, in units of the statistic, and its 95% bounds over neurons `mean_lower` and
        `mean_upper` (Student's t); `n_neurons`, which are the `n_clusters` of the `cluster` neuron.
        Neurons without a value are left out. The mean of no neuron is NaN, as are the bounds of fewer than two.

    Raises
    ------
    SelectionError
        If the selection is for layers of another size.

    Notes
    -----
    The bounds are mean ± t s / √n, with s the sample standard deviation over n neurons and t the 97.5% quantile of
    Student's t with n − 1 degrees of freedom. All values come from one text, and the bounds are about this text.
    """
    statistic, selected = distinct_checkpoints(statistic), selected_neurons(statistic, selection)
    layers = (*map(int, statistic[LAYER].values), ALL_LAYERS)
    by_checkpoint = zip(statistic[CHECKPOINT].values, statistic.transpose(CHECKPOINT, LAYER, NEURON).values, strict=True)
    samples = (
        (int(step), layer, values, is_selected)
        for step, by_layer in by_checkpoint
        for layer, values, is_selected in zip(layers, (*by_layer, by_layer.ravel()), (*selected, selected.ravel()), strict=True)
    )
    return cohort_means(samples, selection.rule)


def cohort_overlap(statistic: xr.DataArray, fraction: float = 0.01) -> xr.Dataset:
    r"""Share of a layer's top neurons that two checkpoints have in common.

    Parameters
    ----------
    statistic : DataArray
        (checkpoint, layer, neuron), with `duplicate_of` on `checkpoint`.
    fraction : float
        Share of each layer that is its top, in (0, 1]: exactly `round(fraction * n_neurons)` neurons,
        ties by neuron, lowest first.

    Returns
    -------
    Dataset
        `overlap_frac` over (checkpoint, other_checkpoint, layer), 0 to 1, 1 of a checkpoint with
        itself; NaN where a checkpoint has fewer neurons with a value than its top needs. Attributes:
        `fraction`, and `chance`, the expected share for independent choices.

    Raises
    ------
    SelectionError
        If the fraction chooses no neuron, or more than all.

    Notes
    -----
    :math:`|A \cap B| / k` for the tops A and B of k of n neurons; independent ones share k / n on
    average.

    Examples
    --------
    >>> import xarray as xr
    >>> statistic = xr.DataArray(
    ...     [[[4.0, 3.0, 2.0, 1.0]], [[1.0, 4.0, 2.0, 3.0]]],
    ...     {"checkpoint": [0, 8], "layer": [0], "duplicate_of": ("checkpoint", [-1, -1])},
    ...     ("checkpoint", "layer", "neuron"),
    ... )
    >>> overlap = cohort_overlap(statistic, 0.5)
    >>> overlap["overlap_frac"].sel(checkpoint=0, layer=0).values.tolist(), overlap.chance
    ([1.0, 0.5], 0.5)
    """
    statistic = distinct_checkpoints(statistic).transpose(LAYER, CHECKPOINT, NEURON)
    n_neurons = statistic.sizes[NEURON]
    n_top = round(fraction * n_neurons)
    if not 0 < n_top <= n_neurons:
        raise SelectionError(f"{fraction:g} of {n_neurons} neurons rounds to {n_top}; give a larger fraction, up to 1")
    tops = (_is_top(of_layer, n_top) for of_layer in statistic.values)
    shared = np.stack([top @ top.T for top in tops], axis=-1) / n_top
    steps = statistic[CHECKPOINT].values
    attrs = {"long_name": "share of the top neurons that are top at both checkpoints", "units": "1"}
    return xr.Dataset(
        {"overlap_frac": ((CHECKPOINT, OTHER_CHECKPOINT, LAYER), shared, attrs)},
        coords={CHECKPOINT: steps, OTHER_CHECKPOINT: steps, LAYER: statistic[LAYER].values},
        attrs={"chance": n_top / n_neurons, "fraction": fraction},
    )


def distinct_checkpoints(array: xr.DataArray) -> xr.DataArray:
    """Without the checkpoints whose weights repeat an earlier one."""
    return array.isel({CHECKPOINT: np.flatnonzero(array["duplicate_of"].values == NOT_A_DUPLICATE)})


def selected_neurons(array: xr.DataArray, selection: Selection) -> NDArray[np.bool]:
    """Which neurons of an array's layers are selected (layer, neuron).

    Raises
    ------
    SelectionError
        If the selection is for layers of another size.
    """
    if selection.n_neurons_per_layer != array.sizes[NEURON]:
        raise SelectionError(
            f"the selection is for layers of {selection.n_neurons_per_layer} neurons, these have {array.sizes[NEURON]}; "
            "select neurons on the same store"
        )
    return selection.mask(array[LAYER].values)


def cohort_means(samples: Iterable[tuple[int, int, NDArray[Any], NDArray[np.bool]]], rule: str) -> pd.DataFrame:
    """Means and their bounds over the selected neurons and over the rest, from (step, layer, values, is_selected)."""
    rows = []
    for step, layer, values, is_selected in samples:
        for cohort, members in ((rule, is_selected), (REST, ~is_selected)):
            defined = values[members]
            defined = defined[~np.isnan(defined)]
            rows.append((step, layer, cohort, *mean_with_bounds(defined), len(defined)))
    columns = [CHECKPOINT, LAYER, "cohort", "mean", "mean_lower", "mean_upper", "n_neurons"]
    return over_neurons(pd.DataFrame(rows, columns=columns))


def mean_with_bounds(values: NDArray[Any]) -> tuple[float, float, float]:
    """Mean and its 95% bounds by Student's t."""
    n = len(values)
    mean = float(values.mean()) if n else np.nan
    reach = student.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n) if n >= LEAST_CLUSTERS else np.nan
    return mean, mean - reach, mean + reach


def over_neurons(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the columns that name the clusters of its intervals: neurons."""
    return table.assign(n_clusters=table["n_neurons"], cluster="neuron")


def _is_top(values: NDArray[np.float64], n_top: int) -> NDArray[np.float64]:
    """1 for the highest values of every row and 0 for the rest; NaN for a row with too few values."""
    is_top = np.zeros(values.shape)
    for of_row, row in zip(is_top, values, strict=True):
        chosen = ranked(row)[:n_top]
        of_row[chosen] = 1
        if len(chosen) < n_top:
            of_row[:] = np.nan
    return is_top
