"""When a statistic of a fixed cohort emerges over training.

Owns the steepest rise of a mean curve, and the step at which half of its rise is done, with their bounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from actstore.errors import SelectionError, StoreError
from actstore.selection.selection import Selection
from actstore.store.schema import CHECKPOINT, LAYER, NEURON
from analysis.kernels.resampling import mean_replicates
from analysis.training.cohorts import ALL_LAYERS, distinct_checkpoints, mean_with_bounds, over_neurons, selected_neurons

_LEAST_NEURONS = 5
"""With fewer neurons, the bounds of a step cover too seldom (of two neurons 84% at best)."""


def emergence(
    statistic: xr.DataArray, selection: Selection, *, least_gap: float = 0.5, n_replicates: int = 4000, seed: int = 0
) -> pd.DataFrame:
    r"""When the mean of a statistic over a cohort rises most steeply, and when half of its rise is done.

    Parameters
    ----------
    statistic : DataArray
        (checkpoint, layer, neuron), checkpoints ascending, with `duplicate_of` on `checkpoint`.
    selection : Selection
        The cohort, fixed over checkpoints. Neurons without a value at every distinct checkpoint are
        left out.
    least_gap : float
        Least distance, in doublings of 1 + step, of the checkpoints between which slopes are taken. Nearer
        checkpoints are skipped, such as late ones of an evenly spaced run: between these, noise looks like a rise.
    n_replicates : int
        Replicates of the mean curve over neurons.
    seed : int
        Seed of the replicates; a layer's bounds do not depend on the other layers.

    Returns
    -------
    DataFrame
        One row a layer with a neuron left, and one over the neurons of all layers (`layer` −1):

        - `step_from`, `step_to`: the neighbouring checkpoints with the steepest rise;
        - `rise`: the difference between their means, in units of the statistic;
        - `slope`: that rise per doubling of 1 + step; below 0 if the mean falls everywhere;
        - `half_rise_step`: the first checkpoint at which at least half of the way from the first mean to
          the last is done; NaN if the last is not above the first;
        - `…_lower`, `…_upper`: 95% bounds of `slope` (NaN for a single neuron), `step_to` and `half_rise_step` (NaN for fewer
          than five neurons, and where the bound is that the mean never rises, which counts as later than any step);
        - `n_neurons`, which are the `n_clusters` of the `cluster` neuron.

    Raises
    ------
    StoreError
        If there are fewer than two distinct checkpoints.
    SelectionError
        If the selection is for layers of another size, or no neuron of it is left.

    Notes
    -----
    With :math:`m_t` the cohort mean at step :math:`t`, the steepest rise is where

    .. math:: (m_{t'} - m_t) / (\log_2(1 + t') - \log_2(1 + t))

    is largest. Bounds of `slope` are Student's t over the neurons' slopes between these two steps. Noise raises a slope
    that is chosen as the largest. Bounds of a step are checkpoints: percentiles over replicates of the cohort's mean curve
    (`analysis.kernels.resampling`), which vary as much as Student's t for so few neurons. Noise that all neurons share is
    in none of the bounds. `half_rise_step` takes no differences of neighbours and uses every checkpoint. Memory is of the
    order of `n_replicates` · `n_neurons`.

    References
    ----------
    Kong et al. (2026), on training dynamics; Davison & Hinkley (1997), section 5.3.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from actstore import Selection
    >>> cohort = Selection({0: (0, 1)}, "top", "wasserstein_distance", 0.5, "m", "site", "", 7, 4)
    >>> statistic = xr.DataArray(
    ...     np.repeat([0.0, 0.1, 0.8, 1.0], 4).reshape(4, 1, 4),
    ...     {"checkpoint": [0, 1, 3, 7], "layer": [0], "duplicate_of": ("checkpoint", [-1] * 4)},
    ...     ("checkpoint", "layer", "neuron"),
    ... )
    >>> emergence(statistic, cohort)[["layer", "step_from", "step_to", "half_rise_step"]].values.tolist()
    [[0.0, 1.0, 3.0, 3.0], [-1.0, 1.0, 3.0, 3.0]]
    """
    statistic, selected = distinct_checkpoints(statistic), selected_neurons(statistic, selection)
    steps = statistic[CHECKPOINT].values
    if len(steps) < 2:
        raise StoreError("emergence needs at least two distinct checkpoints; extract with --checkpoints all or log")
    values = statistic.transpose(CHECKPOINT, LAYER, NEURON).values
    selected = selected & ~np.isnan(values).any(axis=0)
    if not selected.any():
        raise SelectionError("no selected neuron has a value at every checkpoint; select neurons on the same store")
    cohorts = {int(layer): values[:, index, selected[index]] for index, layer in enumerate(statistic[LAYER].values)}
    cohorts[ALL_LAYERS] = values[:, selected]
    rows = (
        {"layer": layer, **_emergence_of(cohort, steps, least_gap, n_replicates, seed)}
        for layer, cohort in cohorts.items()
        if cohort.size
    )
    return over_neurons(pd.DataFrame(rows))


def _emergence_of(
    values: NDArray[np.float64], steps: NDArray[np.int64], least_gap: float, n_replicates: int, seed: int
) -> dict[str, Any]:
    """Row of `emergence` for the neurons of a cohort (checkpoint, neuron)."""
    n_neurons = values.shape[1]
    curves = values.mean(axis=1)[None]
    if n_neurons >= _LEAST_NEURONS:
        curves = np.vstack([curves, mean_replicates(values.T, n_replicates, np.random.default_rng(seed))])
    rises = _rises(curves, steps, least_gap)
    row = {name: of_curves[0] for name, of_curves in rises.items()}
    n_outside = int(0.025 * n_replicates)
    for name in ("step_to", "half_rise_step"):
        ordered = np.sort(rises[name][1:])  # NaN, which means never, comes last
        bounds = (ordered[n_outside], ordered[-1 - n_outside]) if len(ordered) else (np.nan, np.nan)
        row |= dict(zip((f"{name}_lower", f"{name}_upper"), bounds, strict=True))
    first, last = (int(np.flatnonzero(steps == row[name])[0]) for name in ("step_from", "step_to"))
    slopes = (values[last] - values[first]) / np.log2((1 + steps[last]) / (1 + steps[first]))
    _, row["slope_lower"], row["slope_upper"] = mean_with_bounds(slopes)
    return row | {"n_neurons": n_neurons}


def _rises(means: NDArray[np.float64], steps: NDArray[np.int64], least_gap: float) -> dict[str, NDArray[Any]]:
    """The steepest rise of every curve (curve, checkpoint), and the step at which half of its rise is done."""
    spaced = _spaced(np.log2(1 + steps), least_gap)
    rises = np.diff(means[:, spaced], axis=1)
    slopes = rises / np.diff(np.log2(1 + steps[spaced]))
    steepest, curve = slopes.argmax(axis=1), np.arange(len(means))
    risen = means - means[:, :1]
    halfway = (risen >= risen[:, -1:] / 2).argmax(axis=1)
    return {
        "step_from": steps[spaced][steepest],
        "step_to": steps[spaced][steepest + 1],
        "rise": rises[curve, steepest],
        "slope": slopes[curve, steepest],
        "half_rise_step": np.where(risen[:, -1] > 0, steps[halfway], np.nan),
    }


def _spaced(doublings: NDArray[np.float64], least_gap: float) -> NDArray[np.int64]:
    """Indices of the first and the last checkpoint, and of those between them that are far enough from their neighbours.

    The early ones are taken first.
    """
    spaced = [0]
    for index in range(1, len(doublings) - 1):
        if min(doublings[index] - doublings[spaced[-1]], doublings[-1] - doublings[index]) >= least_gap:
            spaced.append(index)
    return np.array([*spaced, len(doublings) - 1])
