"""Does an ablation hurt grammar more than anything else, and its control the other way round?

Owns the double dissociation, as an interaction of readout type and ablation, tested.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from actstore.store.schema import CHECKPOINT, CONDITION, ITEM, OPTION, SAMPLE
from analysis.ablation.minimal_pairs import MARGIN, pair_clusters, pair_margins
from analysis.conditions import MeasuredCohort, comparison, contrasts
from analysis.kernels.clusters import Clusters, Estimate, rare_changes
from analysis.kernels.multiplicity import adjusted

GRAMMAR, OTHER = "grammar", "non-grammar"


@dataclass(frozen=True)
class _Items:
    """Items of both readout types, side by side."""

    right: NDArray[np.float64]
    """(checkpoint, condition, item)"""
    is_grammar: NDArray[np.bool_]
    group: NDArray[np.intp]
    """Paradigm, probe or task of every item."""
    cluster: NDArray[np.intp]
    """Items that hang together."""

    @cached_property
    def sides(self) -> NDArray[np.float64]:
        """(grammar or not, group) Weights of the groups: each paradigm, probe and task of a readout type counts alike."""
        of_grammar = np.bincount(self.group, weights=self.is_grammar) > 0
        kinds = np.stack([of_grammar, ~of_grammar]).astype(np.float64)
        return np.asarray(kinds / np.maximum(kinds.sum(axis=1, keepdims=True), 1))

    @cached_property
    def clusters(self) -> Clusters:
        """Clusters of items, for the cost of grammar, that of the rest, and their difference."""
        return Clusters.of(self.cluster, self.group, np.stack([*self.sides, self.sides[0] - self.sides[1]]))


def dissociation(store: xr.Dataset, score: str = "total", correction: str = "holm", margin: float = MARGIN) -> pd.DataFrame:
    r"""The interaction of readout type with ablation, against the intact model and, of top cohorts, their controls.

    Parameters
    ----------
    store : Dataset
        An ablation store with minimal pairs, and with probes or tasks.
    score : str
        Of minimal pairs, as in `pair_margins`.
    correction : str
        `holm` or `bh`, over all rows of a checkpoint.
    margin : float
        Interaction that counts as none.

    Returns
    -------
    DataFrame
        One row a (checkpoint, intervention, cohort, against):

        - `grammar_cost`, `other_cost`: accuracy under `against` less that under the ablation, on
          minimal pairs and on non-grammatical items; each paradigm, probe and task counts alike.
        - `interaction`: their difference, with 95% bounds and `p`. Positive: the ablation costs
          grammar more than the rest, against the control. `p_adjusted` with the `correction`.
        - `equivalence_bound`: the least margin within which two one-sided tests at 5% call it none;
          `is_equivalent`: whether it is within `margin`.
        - `log_odds_interaction`, with bounds and p: the same in a logistic model
          right ~ ablated × grammar; NaN where it does not exist, as every item of one kind is right
          or wrong (`is_separated`).
        - `is_double`: whether the ablation costs grammar (the 95% interval above 0), the control
          costs the rest, each more than the other does, and the interaction holds after correction.
          Never so where `is_matched` is 0.
        - `is_matched`: 0 where perplexity is not that of the control compared with, though it was to
          be. 1 where it is, -1 where it was not to be.
        - `n_pairs`, `n_others`; `n_clusters` and `cluster`: pairs that share a sentence and other items, of the readout
          type that has fewer of them; `n_draws` as in `paired_tests`.

    Notes
    -----
    :math:`D = \bar d_{grammar} - \bar d_{other}` where :math:`d` is an item's difference between the two
    conditions, averaged over draws. Intervals and tests are Student's t over clusters (pairs that share a sentence, and
    all answers to one item, count once) and over the draws of either side, on both scales:
    `analysis.kernels.clusters`. The log-odds are those of the four mean accuracies, their variance by the delta method:
    the logistic model is saturated.

    References
    ----------
    Liang and Zeger (1986); Schuirmann (1987).
    """
    items = _items(store, score)
    rows = [_tested(items, cohort, reference, margin) for cohort, reference in contrasts(store)]
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    table["p_adjusted"] = table.groupby("checkpoint")["p"].transform(lambda p: adjusted(p, correction))
    double = (table["interaction"] > 0) & (table["p_adjusted"] < 0.05) & (table["is_matched"] != 0)
    table["is_double"] = double & (table["grammar_cost_lower"] > 0) & (table["other_cost_upper"] < 0)
    return table.assign(correction=correction)


def _items(store: xr.Dataset, score: str) -> _Items:
    margins = pair_margins(store, score).values
    known = ~np.isnan(margins).any(axis=(0, 1))
    parts = [(margins[..., known] > 0).astype(float)]
    benchmark, paradigm = (store[name].values[known].astype(str) for name in ("benchmark", "paradigm"))
    groups = [np.char.add(np.char.add(benchmark, "/"), paradigm)]
    clusters = [pair_clusters(store)[known]]
    if "log_probability_option" in store:
        scores = store["log_probability_option"].transpose(CHECKPOINT, CONDITION, ITEM, OPTION).values
        parts.append((scores.argmax(axis=-1) == store["answer"].values).astype(float))
        groups.append(store["probe"].values.astype(str))
        clusters.append(np.arange(parts[-1].shape[-1]) + clusters[-1].max() + 1)
    if "task_score" in store:
        scored = store["task_score"].transpose(CHECKPOINT, CONDITION, SAMPLE)
        chosen = np.flatnonzero((store["metric"].values.astype(str) == "acc") & ~np.isnan(scored.values).any(axis=(0, 1)))
        parts.append(scored.values[..., chosen])
        groups.append(store["task"].values[chosen].astype(str))
        clusters.append(np.arange(len(chosen)) + clusters[-1].max(initial=-1) + 1)
    is_grammar = np.arange(sum(part.shape[-1] for part in parts)) < parts[0].shape[-1]
    group = np.unique(np.concatenate(groups), return_inverse=True)[1]
    return _Items(np.concatenate(parts, axis=-1), is_grammar, group, np.concatenate(clusters))


def _tested(items: _Items, cohort: MeasuredCohort, reference: MeasuredCohort, margin: float) -> dict[str, object]:
    """A row of the table; the costs are those of a cohort against `reference`."""
    now, then = (side.of(items.right) for side in (cohort, reference))
    row: dict[str, object] = comparison(cohort, reference)
    estimate = _with_rare_changes(items.clusters.estimate(then, minus=now), items.clusters.n_clusters)
    lower, upper = estimate.interval()
    for index, name in enumerate(("grammar_cost", "other_cost", "interaction")):
        row |= {name: estimate.value[index], f"{name}_lower": lower[index], f"{name}_upper": upper[index]}
    bound = float(np.abs(estimate.value[2]) + estimate.reach(0.05)[2])
    row |= {"p": float(estimate.p_value()[2]), "equivalence_bound": bound, "is_equivalent": bound < margin}
    n_draws = min((len(side) for side in (now, then) if len(side) > 1), default=1)
    sizes = {"n_pairs": int(items.is_grammar.sum()), "n_others": int((~items.is_grammar).sum())}
    n_clusters = items.clusters.n_clusters[:2]
    unit = ("minimal-pair cluster", "item")[int(n_clusters.argmin())]
    return row | _log_odds(items, now, then) | sizes | {"n_clusters": n_clusters.min(), "cluster": unit, "n_draws": n_draws}


def _with_rare_changes(estimate: Estimate, n_clusters: NDArray[np.int64]) -> Estimate:
    """With what no change in few clusters leaves open, of each readout type that a row compares."""
    rare = rare_changes(n_clusters[:2])
    variance = np.array([rare[0], rare[1], rare.sum()])
    return Estimate(estimate.value, np.vstack([estimate.variance, variance]), np.vstack([estimate.freedom, np.full(3, np.inf)]))


def _log_odds(items: _Items, now: NDArray[np.float64], then: NDArray[np.float64]) -> dict[str, object]:
    """Interaction of ablated × grammar on the log-odds scale, positive where the ablation costs grammar more."""
    names = ("log_odds_interaction", "log_odds_interaction_lower", "log_odds_interaction_upper", "log_odds_p")
    sizes = np.bincount(items.group)
    of_groups = [np.bincount(items.group, weights=side.mean(axis=0)) / sizes for side in (now, then)]
    means = np.stack([items.sides @ of_group for of_group in of_groups])  # (now or then, grammar or not)
    if np.isclose(means * (1 - means), 0).any():
        return {**dict.fromkeys(names, np.nan), "is_separated": True}
    slopes = 1 / (means * (1 - means))
    kind = np.where(items.is_grammar, 0, 1)
    linear = items.clusters.estimate(then * slopes[1, kind], minus=now * slopes[0, kind])
    logits = np.log(means / (1 - means))
    value = (logits[1, 0] - logits[0, 0]) - (logits[1, 1] - logits[0, 1])
    estimate = linear._replace(value=np.full(3, value))
    bounds = (part[2] for part in estimate.interval())
    return {**dict(zip(names, (value, *bounds, estimate.p_value()[2]), strict=True)), "is_separated": False}
