"""The cohorts of an ablation store, what each is compared with, and intervals over their draws and items.

Conditions that differ only in the seed are draws of one cohort. Owns the names of the columns of an interval.
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
"""Columns of a cohort: its label for display, and what distinguishes it from the others."""
_LABELS = ["intervention", *COHORT]


class MeasuredCohort(NamedTuple):
    """A cohort under an intervention at a checkpoint, with all its draws; the intact model is a cohort too."""

    labels: dict[str, object]
    condition_indices: NDArray[np.intp]
    """On `condition`, one for each draw."""
    checkpoint_index: int
    baseline_index: int
    """The intact model, on `condition`."""
    target_perplexity: float
    """Measured perplexity of the cohort that a perplexity-matched control is for; NaN of all others."""
    tolerance: float
    """Of a perplexity-matched control; NaN of all others."""

    @property
    def is_intact(self) -> bool:
        """Whether nothing is edited."""
        return self.labels["intervention"] == BASELINE

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        """The part (draw, …) that the cohort has of values (checkpoint, condition, …)."""
        part: NDArray[Any] = values[self.checkpoint_index, self.condition_indices]
        return part

    def intact(self, values: NDArray[Any]) -> NDArray[Any]:
        """The part (…) that the intact model has of values (checkpoint, condition, …)."""
        part: NDArray[Any] = values[self.checkpoint_index, self.baseline_index]
        return part


def measured_cohorts(store: xr.Dataset) -> Iterator[MeasuredCohort]:
    """Every cohort under every intervention at every checkpoint, in the store's order.

    Two labels are computed here. `controls` is the label, for display, of the top cohort that the cohort controls for.
    `is_matched` compares measured perplexities: of a perplexity-matched control it is 1 if the perplexity is within the
    allowed difference of its target's, and 0 if it is not or if the store lacks the target; of all others it is -1.

    Raises
    ------
    StoreError
        If the store has no intact model.
    """
    frame = pd.DataFrame({name: store[name].values for name in (*_LABELS, "tolerance")})
    targets = _targets(frame)
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
            tolerance, target_index = float(frame["tolerance"][first]), targets.get(first)
            target = np.nan if np.isnan(tolerance) or target_index is None else float(of_step[target_index])
            labels = {
                "checkpoint": int(step),
                **dict(zip(_LABELS, key, strict=True)),
                "cohort": _with_draws(str(frame["cohort"][first]), len(group)),
                "controls": "" if target_index is None else str(frame["cohort"][target_index]),
                "is_matched": _is_matched(of_step[first], target, of_step[baseline], tolerance),
                "n_neurons": int(n_edited[checkpoint_index, first]),
                "n_seeds": len(group),
            }
            yield MeasuredCohort(labels, group.index.to_numpy(), checkpoint_index, baseline, target, tolerance)


def controls_of(rows: pd.DataFrame, target: pd.Series | dict[str, Any]) -> pd.Series:
    """Whether each row is a control for a top cohort, under its intervention.

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


def _with_draws(label: str, n_draws: int) -> str:
    """The label of a cohort, with the number of its draws where there are several."""
    return f"{label} ({n_draws} draws)" if n_draws > 1 else label


def _targets(frame: pd.DataFrame) -> dict[int, int]:
    """Index of each condition that is a control → index of the condition of the first top cohort that it controls for."""
    targets: dict[int, int] = {}
    for top in np.flatnonzero(frame["rule"] == "top"):
        for control in np.flatnonzero(controls_of(frame, frame.iloc[top])):
            targets.setdefault(int(control), int(top))
    return targets


def _is_matched(perplexity: float, target: float, intact: float, tolerance: float) -> int:
    if np.isnan(tolerance):
        return -1
    return int(abs(perplexity - target) <= allowed_difference(target, intact, tolerance))


def contrasts(store: xr.Dataset) -> Iterator[tuple[MeasuredCohort, MeasuredCohort]]:
    """Pairs of cohorts to compare: every ablated cohort with the intact model, and every top cohort with its controls."""
    cohorts = list(measured_cohorts(store))
    labels = pd.DataFrame([cohort.labels for cohort in cohorts])
    for cohort in cohorts:
        if cohort.is_intact:
            continue
        is_reference = controls_of(labels, cohort.labels) & (cohort.labels["rule"] == "top")
        is_reference |= labels["intervention"] == BASELINE
        is_reference &= labels["checkpoint"] == cohort.labels["checkpoint"]
        for index in np.flatnonzero(is_reference):
            yield cohort, cohorts[index]


def comparison(cohort: MeasuredCohort, reference: MeasuredCohort) -> dict[str, object]:
    """Labels of a comparison: those of the cohort, and `against` and `against_rule`, the label and rule of the reference.

    `is_matched` is that of the reference if it is a control, and that of the cohort if the reference is the intact model.
    """
    if reference.is_intact:
        return {**cohort.labels, "against": "intact", "against_rule": BASELINE}
    of_reference = {"against": reference.labels["cohort"], "against_rule": reference.labels["rule"]}
    return {**cohort.labels, "is_matched": reference.labels["is_matched"], **of_reference}


def bounds(name: str, estimate: Estimate, least: float = -np.inf, most: float = np.inf) -> dict[str, NDArray[np.float64]]:
    """Columns of an estimate and its 95% bounds, cut off at the least and the most possible value."""
    lower, upper = estimate.interval()
    return {name: estimate.value, f"{name}_lower": np.maximum(lower, least), f"{name}_upper": np.minimum(upper, most)}


def counted(clusters: Clusters, unit: str) -> dict[str, object]:
    """Columns of the clusters that an interval or test rests on: their number, and their unit."""
    return {"n_clusters": clusters.n_clusters, "cluster": unit}
