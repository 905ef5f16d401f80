"""Answers to multiple-choice items: by what margin the right option is the most likely one."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from actstore.store.schema import CHECKPOINT, CONDITION, ITEM, OPTION


def choice_margins(store: xr.Dataset) -> NDArray[np.float64]:
    """Log-probability of the right option of every probe item less that of the best wrong one.

    Parameters
    ----------
    store : Dataset
        An ablation store with probes.

    Returns
    -------
    array (checkpoint, condition, item)
        In nats; positive is right, 0 a tie, which counts as wrong.
    """
    scores = store["log_probability_option"].transpose(CHECKPOINT, CONDITION, ITEM, OPTION).values.astype(np.float64)
    is_right = np.arange(scores.shape[-1]) == store["answer"].values[:, None]
    right = np.where(is_right, scores, -np.inf).max(axis=-1)
    margins: NDArray[np.float64] = right - np.where(is_right, -np.inf, scores).max(axis=-1)
    return margins
