"""Every stored value of a readout that has no table of its own, such as a user's: its mean over items, and its change."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from actstore.store.schema import CHECKPOINT, CONDITION
from analysis.ablation.registry import TABLES, register_table
from analysis.conditions import bounds, counted, measured_cohorts
from analysis.kernels.clusters import Clusters


def readout_table(store: xr.Dataset) -> pd.DataFrame:
    """Mean of every stored value of the readouts of plugins, and its change against the intact model.

    Parameters
    ----------
    store : Dataset
        An ablation store.

    Returns
    -------
    DataFrame
        One row a (checkpoint, intervention, cohort, readout, field): `mean` over the items and `delta`, with their 95%
        bounds, in the field's units; `long_name` and `units` of the field; `n_items`, `n_clusters` and `cluster` (items). An
        item without a value under some condition is left out of all; a dim beside that of the items is averaged over. NaN
        bounds: of a single value. Empty where there is no such readout.

    Notes
    -----
    Intervals are Student's t over items and, where neurons were drawn at random, over the draws: `analysis.kernels.clusters`.
    """
    frames = []
    for array in _arrays(store):
        values, unit = _by_item(array)
        clusters = Clusters.of(np.arange(values.shape[-1]))
        field = {name: array.attrs.get(name, "") for name in ("readout", "long_name", "units")} | {"field": str(array.name)}
        counts = {"n_items": values.shape[-1], **counted(clusters, unit)}
        for cohort in measured_cohorts(store):
            of_cohort, intact = cohort.of(values), cohort.intact(values)
            columns = bounds("mean", clusters.estimate(of_cohort)) | bounds("delta", clusters.estimate(of_cohort - intact))
            frames.append(pd.DataFrame({**cohort.labels, **field, **columns, **counts}))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _arrays(store: xr.Dataset) -> Iterator[xr.DataArray]:
    """The arrays over (checkpoint, condition, …) of readouts that have no table of their own."""
    with_own_tables = {table.readout for table in TABLES.entries.values()}
    for array in store.data_vars.values():
        if array.attrs.get("readout", "") not in {"", *with_own_tables} and {CHECKPOINT, CONDITION} <= set(array.dims):
            yield array


def _by_item(array: xr.DataArray) -> tuple[NDArray[np.float64], str]:
    """(checkpoint, condition, item) The values of items that have one everywhere, and the name of the items' dim."""
    array = array.transpose(CHECKPOINT, CONDITION, ...).astype(np.float64)
    items = [str(dim) for dim in array.dims[2:]]
    if not items:
        return array.values[..., None], "value"
    values = array.mean(items[1:]).values
    is_known = ~np.isnan(values).any(axis=(0, 1))
    return values[..., is_known], items[0]


register_table("readouts")(lambda store, _: readout_table(store))
