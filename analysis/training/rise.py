"""Whether a cohort that is chosen early goes on to rise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from actstore.selection.selection import Selection
from actstore.store.schema import CHECKPOINT, LAYER, NEURON
from analysis.contrasts import contrast_columns
from analysis.kernels.cohort_effects import cohort_effect, mean_weights, weighted_effect
from analysis.training.cohorts import distinct_checkpoints, selected_neurons


def rise(statistic: xr.DataArray, early: Selection) -> pd.DataFrame:
    """The rise of a cohort, from the checkpoint it was chosen at to the last, less that of the rest of its layers.

    Parameters
    ----------
    statistic : DataArray
        (checkpoint, layer, neuron), with `duplicate_of` on `checkpoint`.
    early : Selection
        Chosen at a checkpoint before the last.

    Returns
    -------
    DataFrame
        One row: `step_from`, `step_to`; the columns of `contrast_columns`, in units of the statistic, of the mean over
        layers; `n_layers`, `n_neurons` of the cohort, which are the `n_clusters` of the `cluster` neuron. Empty if the
        cohort was chosen at the last checkpoint.

    Notes
    -----
    A cohort that is chosen for a high value falls back towards the mean on the next, so a rise is not an effect of the
    choice.
    """
    distinct, is_early = distinct_checkpoints(statistic), selected_neurons(statistic, early)
    last = int(distinct[CHECKPOINT][-1])
    if early.checkpoint >= last or early.checkpoint not in distinct[CHECKPOINT].values:
        return pd.DataFrame()
    change = (distinct.sel({CHECKPOINT: last}) - distinct.sel({CHECKPOINT: early.checkpoint})).transpose(LAYER, NEURON)
    effects = [cohort_effect(values, members) for values, members in zip(change.values, is_early, strict=True)]
    effects = [effect for effect in effects if np.isfinite(effect.value)]
    columns = contrast_columns(weighted_effect(effects, mean_weights(len(effects))))
    counts = {"n_layers": len(effects), "n_neurons": early.n_neurons, "n_clusters": early.n_neurons, "cluster": "neuron"}
    return pd.DataFrame([{"step_from": early.checkpoint, "step_to": last, **columns, **counts}])
