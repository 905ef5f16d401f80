"""How the damage of an ablation changes over depth and over training.

Owns the contrasts over groups of layers and over checkpoints. Damage is the rise of log perplexity, or the fall of the margin
of minimal pairs, beyond that of a random control, where every state of the model has one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from actstore.store.schema import CHECKPOINT
from analysis.ablation.minimal_pairs import macro_average
from analysis.ablation.registry import TableOptions, register_table
from analysis.conditions import MeasuredCohort, controls_of, measured_cohorts
from analysis.contrasts import contrast_columns
from analysis.kernels.clusters import Clusters
from analysis.kernels.cohort_effects import slope_weights

OVER_DEPTH, ACCUMULATED, OVER_TRAINING = "slope over depth", "all groups less the first", "slope over training"
PERPLEXITY, MARGIN = "log perplexity", "margin"
_OF_LAYERS = ("intervention", "statistic", "fraction", "scope", "chosen_at")
_OF_TRAINING = (*_OF_LAYERS, "first_layer", "last_layer")


class _Measure(NamedTuple):
    """What damage is measured by."""

    name: str
    damage: NDArray[np.float64]
    """(checkpoint, condition, item) More is worse."""
    clusters: Clusters
    unit: str


class _State(NamedTuple):
    """A top cohort in one group of layers at one checkpoint, with its random control, or the intact model."""

    top: MeasuredCohort
    control: MeasuredCohort | None


def damage_trends(store: xr.Dataset, score: str = "total") -> pd.DataFrame:
    r"""Contrasts of an ablation's damage over groups of layers, and over checkpoints.

    Parameters
    ----------
    store : Dataset
        An ablation store.
    score : str
        Score of minimal pairs, as in `pair_margins`.

    Returns
    -------
    DataFrame
        One row a (trend, outcome, intervention, top cohort):

        - `trend`: `slope over depth`, of groups of layers that were ablated one at a time: the least-squares change of
          damage from the first layer to the last; `all groups less the first`: how much more all groups together damage
          than the first alone; `slope over training`: the change of damage from the first to the last checkpoint, by least
          squares over :math:`\log_2(1 + step)`. Layers are at the last checkpoint.
        - `outcome`: `log perplexity`, or the loss of `margin` of minimal pairs, macro-averaged; in nats.
        - `against`: `random` where every state has a random control of equally many draws, else `intact`.
        - the columns of `contrast_columns`; `n_states`, groups or checkpoints; `n_clusters` and `cluster`.

        Empty for an ablation of all layers at one checkpoint.

    Notes
    -----
    A trend is a weighted sum of the same items' values in several states of the model, so its interval is that of a paired
    difference: Student's t over documents (or clusters of pairs) and the control's draws, `analysis.kernels.clusters`.
    """
    measures = list(_measures(store, score))
    cohorts = list(measured_cohorts(store))
    rows = []
    for trend, labels, states, weights in (*_over_layers(cohorts), *_over_training(cohorts)):
        for measure in measures:
            against = "random" if _has_controls(states) else "intact"
            estimate = measure.clusters.estimate(*_weighted(states, weights, measure.damage, against))
            counts = {"n_states": len(states), "n_clusters": int(measure.clusters.n_clusters[0]), "cluster": measure.unit}
            of_trend = {"trend": trend, "outcome": measure.name, **labels, "against": against}
            rows.append(of_trend | contrast_columns(estimate) | counts)
    return pd.DataFrame(rows)


def _measures(store: xr.Dataset, score: str) -> Iterator[_Measure]:
    is_scored = store["is_scored"].values
    documents = Clusters.of(np.unique(store["document"].values[is_scored], return_inverse=True)[1])
    yield _Measure(PERPLEXITY, store["ablated_surprisal"].values[:, :, is_scored].astype(float), documents, "document")
    if "log_probability_good" in store:
        margins, clusters = macro_average(store, score)
        yield _Measure(MARGIN, -margins, clusters, "minimal-pair cluster")


def _over_layers(cohorts: Sequence[MeasuredCohort]) -> Iterator[tuple[str, dict[str, Any], list[_State], NDArray[np.float64]]]:
    """The trends over groups of layers at the last checkpoint."""
    last = max(cohort.checkpoint_index for cohort in cohorts)
    for labels, states in _families(cohorts, _OF_LAYERS, last):
        ranges = [(int(state.top.labels["first_layer"]), int(state.top.labels["last_layer"])) for state in states]  # type: ignore[call-overload]
        cumulative = sorted((i for i, (start, _) in enumerate(ranges) if start == 0), key=lambda i: ranges[i][1])
        later = [i for i, (start, _) in enumerate(ranges) if start > 0]
        first = cumulative[:1] if later and ranges[cumulative[0]][1] < min(ranges[i][0] for i in later) else []
        single = first + later
        if len(single) > 1:
            middle = np.array([sum(ranges[i]) / 2 for i in single])
            yield OVER_DEPTH, labels, [states[i] for i in single], slope_weights(middle)
        if len(cumulative) > 1:
            yield ACCUMULATED, labels, [states[cumulative[0]], states[cumulative[-1]]], np.array([-1.0, 1.0])


def _over_training(
    cohorts: Sequence[MeasuredCohort],
) -> Iterator[tuple[str, dict[str, Any], list[_State], NDArray[np.float64]]]:
    """The trends over checkpoints."""
    for labels, states in _families(cohorts, _OF_TRAINING):
        steps = np.array([float(state.top.labels[CHECKPOINT]) for state in states])  # type: ignore[arg-type]
        if len(states) > 1:
            yield OVER_TRAINING, labels, states, slope_weights(np.log2(1 + steps))


def _families(
    cohorts: Sequence[MeasuredCohort], shared: Sequence[str], checkpoint_index: int | None = None
) -> Iterator[tuple[dict[str, Any], list[_State]]]:
    """Top cohorts that have these labels in common, each with its control; at one checkpoint or at all."""
    labels = pd.DataFrame([cohort.labels for cohort in cohorts])
    families: dict[tuple[Any, ...], list[_State]] = {}
    for cohort in cohorts:
        if cohort.labels["rule"] == "top" and checkpoint_index in (None, cohort.checkpoint_index):
            is_control = controls_of(labels, cohort.labels) & (labels["rule"] == "random")
            is_control &= labels[CHECKPOINT] == cohort.labels[CHECKPOINT]
            controls = [cohorts[int(index)] for index in np.flatnonzero(is_control)]
            key = tuple(cohort.labels[name] for name in shared)
            families.setdefault(key, []).append(_State(cohort, controls[0] if controls else None))
    for key, states in families.items():
        yield dict(zip(shared, key, strict=True)), states


def _has_controls(states: Sequence[_State]) -> bool:
    """Whether every state has a random control, all of as many draws."""
    sizes = {len(state.control.condition_indices) if state.control else 0 for state in states}
    return len(sizes) == 1 and 0 not in sizes


def _weighted(
    states: Sequence[_State], weights: NDArray[np.float64], damage: NDArray[np.float64], against: str
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Weighted sums (draw, item) of the top cohorts' damage, and of that of their controls."""
    if against == "random":
        top = np.sum([weight * state.top.of(damage) for weight, state in zip(weights, states, strict=True)], axis=0)
        controls = [weight * state.control.of(damage) for weight, state in zip(weights, states, strict=True) if state.control]
        return top, np.sum(controls, axis=0)
    rises = [state.top.of(damage) - state.top.intact(damage) for state in states]
    return np.sum([weight * rise for weight, rise in zip(weights, rises, strict=True)], axis=0), None


@register_table("damage_trends", needs="ablated_surprisal")
def _table(store: xr.Dataset, options: TableOptions) -> pd.DataFrame:
    return damage_trends(store, options.score)
