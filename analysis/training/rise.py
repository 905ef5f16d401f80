"""Whether a cohort that is chosen early goes on to rise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from actstore.selection.selection import Selection
from actstore.store.schema import CHECKPOINT, LAYER, NEURON
from analysis.contrasts import contrast_columns
from analysis.kernels.cohort_effects import CohortEffect, cohort_effect, mean_weights, weighted_effect
from analysis.training.cohorts import REST, distinct_checkpoints, selected_neurons

ITSELF = "itself"
"""The rise of a cohort alone, not less that of the rest."""


def rise(statistic: xr.DataArray, early: Selection) -> pd.DataFrame:
    """The rise of a cohort from the checkpoint it was chosen at to the last, alone and less that of the rest of its layers.

    Parameters
    ----------
    statistic : DataArray
        (checkpoint, layer, neuron), with `duplicate_of` on `checkpoint`.
    early : Selection
        Chosen at a checkpoint before the last.

    Returns
    -------
    DataFrame
        One row an `against`, `itself` and `rest`: `step_from`, `step_to`; the columns of `contrast_columns`, in units of the
        statistic, of the mean over layers; `n_layers`, `n_neurons` of the cohort, which are the `n_clusters` of the
        `cluster` neuron. Empty if the cohort was chosen at the last checkpoint.

    Notes
    -----
    A cohort that is chosen for a high value falls back towards the mean on the next text, so a rise is no effect of the
    choice. Intervals are over neurons; there is none where a layer has a single neuron of the cohort.
    """
    distinct, is_early = distinct_checkpoints(statistic), selected_neurons(statistic, early)
    last = int(distinct[CHECKPOINT][-1])
    if early.checkpoint >= last or early.checkpoint not in distinct[CHECKPOINT].values:
        return pd.DataFrame()
    change = (distinct.sel({CHECKPOINT: last}) - distinct.sel({CHECKPOINT: early.checkpoint})).transpose(LAYER, NEURON)
    rows = []
    for against, effect_of in ((ITSELF, _mean), (REST, cohort_effect)):
        effects = [effect_of(values, members) for values, members in zip(change.values, is_early, strict=True)]
        effects = [effect for effect in effects if np.isfinite(effect.value)]
        columns = contrast_columns(weighted_effect(effects, mean_weights(len(effects))))
        rows.append({"against": against, "step_from": early.checkpoint, "step_to": last, **columns, "n_layers": len(effects)})
    return pd.DataFrame(rows).assign(n_neurons=early.n_neurons, n_clusters=early.n_neurons, cluster="neuron")


def _mean(values: NDArray[np.float64], is_member: NDArray[np.bool_]) -> CohortEffect:
    """The mean of the cohort alone, and its variance over neurons: NaN of a single one."""
    members = values[is_member & np.isfinite(values)]
    n = len(members)
    mean, variance = (float(members.mean()) if n else np.nan, float(members.var(ddof=1)) / n if n > 1 else np.nan)
    return CohortEffect(mean, np.empty(0), 0.0, variance, float(max(n - 1, 1)))
