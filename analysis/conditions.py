"""The cohorts of an ablation store, what each is compared with, and intervals over their draws and items.

Conditions that differ only in the seed are one cohort, of so many draws. Owns what the columns of an interval are called.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from actstore.errors import StoreError
from actstore.selection.matching import allowed_difference
from actstore.store.schema import BASELINE, CHECKPOINT, LAYER, NEURON
from analysis.kernels.clusters import Clusters, Estimate

_LABELS = ["intervention", "cohort", "rule", "fraction", "cohort_layers", "chosen_at", "controls"]


class Cell(NamedTuple):
    """One cohort under one intervention at one checkpoint."""

    labels: dict[str, object]
    conditions: NDArray[np.intp]
    """Positions on `condition`, one a seed."""
    step: int
    """Position on `checkpoint`."""
    baseline: int
    target_perplexity: float
    """Measured perplexity of the cohort that a perplexity-matched control controls for; NaN of all others."""
    tolerance: float
    """Of a perplexity-matched control; NaN of all others."""

    @property
    def is_intact(self) -> bool:
        """Whether nothing is edited."""
        return self.labels["intervention"] == BASELINE


def cells(store: xr.Dataset) -> Iterator[Cell]:
    """Every cohort under every intervention at every checkpoint, in the store's order.

    The label `is_matched` is found anew from the measured perplexities: 1 where that of a perplexity-matched
    control is within the allowed difference of its cohort's, 0 where it is not or its cohort is not there,
    -1 of all others.
    """
    frame = pd.DataFrame({name: store[name].values for name in (*_LABELS, "tolerance")})
    intact = np.flatnonzero(frame["intervention"] == BASELINE)
    if not intact.size:
        raise StoreError(f"the store has no intact model to compare with: no condition {BASELINE!r}")
    baseline = int(intact[0])
    n_edited = store["is_edited"].sum([LAYER, NEURON]).values
    perplexity = store["perplexity"].transpose(CHECKPOINT, ...).values
    for step, checkpoint in enumerate(store[CHECKPOINT].values):
        for key, group in frame.groupby(_LABELS, sort=False):
            first = int(group.index[0])
            target, tolerance = _target_perplexity(frame, perplexity[step], first), float(frame["tolerance"][first])
            labels = {
                "checkpoint": int(checkpoint), **dict(zip(_LABELS, key, strict=True)),
                "is_matched": _is_matched(perplexity[step, first], target, perplexity[step, baseline], tolerance),
                "n_neurons": int(n_edited[step, first]), "n_seeds": len(group),
            }  # fmt: skip
            yield Cell(labels, group.index.to_numpy(), step, baseline, target, tolerance)


def _target_perplexity(frame: pd.DataFrame, perplexity: NDArray[np.float64], control: int) -> float:
    """Perplexity of the cohort that a perplexity-matched condition controls for, under the same intervention."""
    row = frame.loc[control]
    is_target = (frame["cohort"] == row["controls"]) & (frame["intervention"] == row["intervention"])
    return float(perplexity[is_target.to_numpy()][0]) if is_target.any() and not np.isnan(row["tolerance"]) else np.nan


def _is_matched(perplexity: float, target: float, intact: float, tolerance: float) -> int:
    if np.isnan(tolerance):
        return -1
    return int(abs(perplexity - target) <= allowed_difference(target, intact, tolerance))


def contrasts(store: xr.Dataset) -> Iterator[tuple[Cell, Cell]]:
    """Every ablated cohort against the intact model, and every top cohort against the cohorts that control for it."""
    every = list(cells(store))
    for cell, reference in product(every, every):
        if cell.step != reference.step or cell.is_intact:
            continue
        is_own_control = (
            reference.labels["controls"] == cell.labels["cohort"]
            and reference.labels["intervention"] == cell.labels["intervention"]
        )
        if reference.is_intact or is_own_control:
            yield cell, reference


def comparison(cell: Cell, reference: Cell) -> dict[str, object]:
    """Labels of a comparison: those of the cohort, and `against`, the name of what it is compared with.

    `is_matched` is that of the control compared with; against the intact model that of the cohort itself.
    """
    if reference.is_intact:
        return {**cell.labels, "against": "intact"}
    return {**cell.labels, "is_matched": reference.labels["is_matched"], "against": reference.labels["cohort"]}


def bounds(name: str, estimate: Estimate, least: float = -np.inf, most: float = np.inf) -> dict[str, NDArray[np.float64]]:
    """Columns of an estimate and its 95% bounds, which end where the values do."""
    lower, upper = estimate.interval()
    return {name: estimate.value, f"{name}_lower": np.maximum(lower, least), f"{name}_upper": np.minimum(upper, most)}


def counted(clusters: Clusters, unit: str) -> dict[str, object]:
    """Columns of what an interval or test rests on: how many clusters, and of what."""
    return {"n_clusters": clusters.n_clusters, "cluster": unit}
