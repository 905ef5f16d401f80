"""The cohorts of an ablation store, what each is compared with, and intervals over their draws and items.

Conditions that differ only in the seed are one cohort, of so many draws. Owns what the columns of an interval are called.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from actstore.errors import StoreError
from actstore.selection.matching import allowed_difference
from actstore.store.schema import BASELINE, CHECKPOINT, LAYER, NEURON
from analysis.kernels.clusters import Clusters, Estimate

SHARED = ("statistic", "fraction", "first_layer", "last_layer", "chosen_at")
"""Columns that a control has in common with the top cohort that it controls for; `target_scope` is that cohort's scope."""
COHORT = ("cohort", "rule", "statistic", "fraction", "scope", "first_layer", "last_layer", "chosen_at", "target_scope")
"""Columns of a cohort: its label for display, and what tells it from others."""
_LABELS = ["intervention", *COHORT]


class MeasuredCohort(NamedTuple):
    """One cohort under one intervention at one checkpoint, with all its draws; the intact model is one too."""

    labels: dict[str, object]
    condition_indices: NDArray[np.intp]
    """On `condition`, one a draw."""
    checkpoint_index: int
    baseline_index: int
    """On `condition`, of the intact model."""
    target_perplexity: float
    """Measured perplexity of the cohort that a perplexity-matched control is for; NaN of all others."""
    tolerance: float
    """Of a perplexity-matched control; NaN of all others."""

    @property
    def is_intact(self) -> bool:
        """Whether nothing is edited."""
        return self.labels["intervention"] == BASELINE

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        """Its part (draw, …) of values (checkpoint, condition, …)."""
        part: NDArray[Any] = values[self.checkpoint_index, self.condition_indices]
        return part

    def intact(self, values: NDArray[Any]) -> NDArray[Any]:
        """The intact model's part (…) of values (checkpoint, condition, …)."""
        part: NDArray[Any] = values[self.checkpoint_index, self.baseline_index]
        return part


def measured_cohorts(store: xr.Dataset) -> Iterator[MeasuredCohort]:
    """Every cohort under every intervention at every checkpoint, in the store's order.

    The label `controls` names the top cohort that it controls for, for display. `is_matched` is computed from the measured perplexities: 1 where that of a perplexity-matched
    control is within the allowed difference of its target's, 0 where it is not or its target is not there,
    -1 of all others.
    """
    frame = pd.DataFrame({name: store[name].values for name in (*_LABELS, "tolerance")})
    targets = [_target_index(frame, index) for index in range(len(frame))]
    intact = np.flatnonzero(frame["intervention"] == BASELINE)
    if not intact.size:
        raise StoreError(f"the store has no intact model to compare with: no condition {BASELINE!r}")
    baseline = int(intact[0])
    n_edited = store["is_edited"].sum([LAYER, NEURON]).values
    perplexity = store["perplexity"].transpose(CHECKPOINT, ...).values
    for checkpoint_index, step in enumerate(store[CHECKPOINT].values):
        of_step = perplexity[checkpoint_index]
        for key, group in frame.groupby(_LABELS, sort=False):
            first = int(group.index[0])
            tolerance, target_index = float(frame["tolerance"][first]), targets[first]
            target = np.nan if np.isnan(tolerance) or target_index is None else float(of_step[target_index])
            labels = {
                "checkpoint": int(step),
                **dict(zip(_LABELS, key, strict=True)),
                "controls": "" if target_index is None else str(frame["cohort"][target_index]),
                "is_matched": _is_matched(of_step[first], target, of_step[baseline], tolerance),
                "n_neurons": int(n_edited[checkpoint_index, first]),
                "n_seeds": len(group),
            }
            yield MeasuredCohort(labels, group.index.to_numpy(), checkpoint_index, baseline, target, tolerance)


def controls_of(rows: pd.DataFrame, target: pd.Series | dict[str, Any]) -> pd.Series:
    """Which rows are controls for a top cohort, under its intervention.

    Parameters
    ----------
    rows : DataFrame
        With `intervention` and the columns `COHORT`.
    target : Series or dict
        The row of the top cohort.
    """
    is_control: pd.Series = (rows["target_scope"] == target["scope"]) & (rows["intervention"] == target["intervention"])
    for name in SHARED:
        is_control &= rows[name] == target[name]
    return is_control


def _target_index(frame: pd.DataFrame, control: int) -> int | None:
    """The condition of the top cohort that a condition controls for; None if there is none."""
    row = frame.iloc[control]
    is_target = (frame["rule"] == "top") & (frame["scope"] == row["target_scope"])
    for name in ("intervention", *SHARED):
        is_target &= frame[name] == row[name]
    indices = np.flatnonzero(is_target & (row["target_scope"] != ""))
    return int(indices[0]) if indices.size else None


def _is_matched(perplexity: float, target: float, intact: float, tolerance: float) -> int:
    if np.isnan(tolerance):
        return -1
    return int(abs(perplexity - target) <= allowed_difference(target, intact, tolerance))


def contrasts(store: xr.Dataset) -> Iterator[tuple[MeasuredCohort, MeasuredCohort]]:
    """Every ablated cohort against the intact model, and every top cohort against the cohorts that control for it."""
    every = list(measured_cohorts(store))
    labels = pd.DataFrame([cohort.labels for cohort in every])
    for cohort in every:
        if cohort.is_intact:
            continue
        is_reference = controls_of(labels, cohort.labels) & (cohort.labels["rule"] == "top")
        is_reference |= labels["intervention"] == BASELINE
        is_reference &= labels["checkpoint"] == cohort.labels["checkpoint"]
        for index in np.flatnonzero(is_reference):
            yield cohort, every[index]


def comparison(cohort: MeasuredCohort, reference: MeasuredCohort) -> dict[str, object]:
    """Labels of a comparison: those of the cohort, and `against`, the label of what it is compared with.

    `is_matched` is that of the control compared with; against the intact model that of the cohort itself.
    """
    if reference.is_intact:
        return {**cohort.labels, "against": "intact"}
    return {**cohort.labels, "is_matched": reference.labels["is_matched"], "against": reference.labels["cohort"]}


def bounds(name: str, estimate: Estimate, least: float = -np.inf, most: float = np.inf) -> dict[str, NDArray[np.float64]]:
    """Columns of an estimate and its 95% bounds, which end where the values do."""
    lower, upper = estimate.interval()
    return {name: estimate.value, f"{name}_lower": np.maximum(lower, least), f"{name}_upper": np.minimum(upper, most)}


def counted(clusters: Clusters, unit: str) -> dict[str, object]:
    """Columns of what an interval or test rests on: how many clusters, and of what."""
    return {"n_clusters": clusters.n_clusters, "cluster": unit}
