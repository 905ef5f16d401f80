"""How entanglement grows over training.

Owns the summary of fixed cohorts over checkpoints; checkpoints whose weights repeat an earlier
one are left out.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from actstore.schema import CHECKPOINT, LAYER, NOT_A_DUPLICATE, Selection


def cohort_trajectory(statistic: xr.DataArray, selection: Selection) -> pd.DataFrame:
    """Mean of a statistic in the selected neurons and in the rest, per checkpoint and layer.

    Parameters
    ----------
    statistic : DataArray
        (checkpoint, layer, neuron), with `duplicate_of` on `checkpoint`.
    selection : Selection
        The cohort, fixed over checkpoints.

    Returns
    -------
    DataFrame
        One row a (checkpoint, layer, cohort): `mean`, its 95% normal bounds over neurons
        (NaN for one neuron), `n_neurons`. Neurons without a value are left out.
    """
    kept = statistic.isel({CHECKPOINT: statistic["duplicate_of"].values == NOT_A_DUPLICATE})
    mask = selection.mask(kept.sizes[LAYER])
    rows = []
    for checkpoint, by_layer in zip(kept[CHECKPOINT].values, kept.values, strict=True):
        for layer, values in zip(kept[LAYER].values, by_layer, strict=True):
            for cohort, chosen in ((selection.rule, mask[layer]), ("rest", ~mask[layer])):
                inside = values[chosen]
                inside = inside[~np.isnan(inside)]
                mean = inside.mean()
                error = 1.96 * inside.std(ddof=1) / np.sqrt(len(inside)) if len(inside) > 1 else np.nan
                rows.append((int(checkpoint), int(layer), cohort, mean, mean - error, mean + error, len(inside)))
    columns = ["checkpoint", "layer", "cohort", "mean", "mean_lower", "mean_upper", "n_neurons"]
    return pd.DataFrame(rows, columns=columns)
