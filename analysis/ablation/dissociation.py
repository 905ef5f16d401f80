"""Whether an ablation hurts grammar more than the rest, and its control hurts the rest more than grammar.

Owns the test of a double dissociation: the interaction of readout type with ablation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from actstore.store.schema import CHECKPOINT, CONDITION, SAMPLE
from analysis.ablation.choices import choice_margins
from analysis.ablation.minimal_pairs import MARGIN, pair_clusters, pair_margins
from analysis.ablation.registry import TableOptions, register_table
from analysis.conditions import MeasuredCohort, comparison, contrasts
from analysis.kernels.clusters import Clusters, Estimate, rare_changes
from analysis.kernels.multiplicity import adjusted

ACCURACY = "accuracy"
OUTCOMES = (ACCURACY, "margin")


@dataclass(frozen=True)
class _Items:
    """Items of both readout types: minimal pairs (grammar), and probes and tasks (not grammar)."""

    values: NDArray[np.float64]
    """(checkpoint, condition, item) 1 for right and 0 for wrong, or margins in nats."""
    is_binary: bool
    is_grammar: NDArray[np.bool_]
    group: NDArray[np.intp]
    """Paradigm, probe or task of every item."""
    cluster: NDArray[np.intp]
    """Cluster of every item; items of one cluster may depend on each other."""

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """(readout type, group) Weights that average over the groups of a readout type; 0 for those of the other type.

        Grammar is the first readout type.
        """
        of_grammar = np.bincount(self.group, weights=self.is_grammar) > 0
        weights = np.stack([of_grammar, ~of_grammar]).astype(np.float64)
        return np.asarray(weights / np.maximum(weights.sum(axis=1, keepdims=True), 1))

    @cached_property
    def clusters(self) -> Clusters:
        """Clusters of items, with three rows: the cost of grammar, the cost of the rest, and their difference."""
        return Clusters.of(self.cluster, self.group, np.stack([*self.weights, self.weights[0] - self.weights[1]]))


def dissociation(store: xr.Dataset, score: str = "total", correction: str = "holm", margin: float = MARGIN) -> pd.DataFrame:
    r"""The interaction of readout type with ablation.

    Every cohort is compared with the intact model, and every top cohort with its controls too.

    Parameters
    ----------
    store : Dataset
        An ablation store with minimal pairs, and with probes or tasks.
    score : str
        Score of minimal pairs, as in `pair_margins`.
    correction : str
        `holm` or `bh`, over all rows of a checkpoint.
    margin : float
        An interaction below it counts as none.

    Returns
    -------
    DataFrame
        One row a (checkpoint, intervention, cohort, against, outcome):

        - `outcome`: `accuracy`; or `margin`, the log-probability of the right answer less that of the best wrong one, in
          nats, where items of both readout types have one.
        - `grammar_cost`, `other_cost`: the outcome under `against` less that under the ablation, on
          minimal pairs and on non-grammatical items; each paradigm, probe and task counts alike.
        - `interaction`: their difference, with 95% bounds and `p`. Positive: the ablation costs
          grammar more than the rest, against the control. `p_adjusted` with the `correction`.
        - `equivalence_bound`: the least margin within which two one-sided tests at 5% call the
          interaction none; `is_equivalent`: whether this bound is within `margin` (of accuracy alone; False of margins).
          `detectable`: the smallest interaction that would have been found with 80% power.
        - `log_odds_interaction`, with bounds and p: the same in a logistic model
          right ~ ablated × grammar; NaN of margins, and where this model has no estimate because all items of a
          readout type are right, or all wrong, on one side (`is_separated`).
        - `is_double`: whether this is a double dissociation. The ablation costs more grammar than
          `against` does, `against` costs more of the rest than the ablation does (both 95% intervals
          exclude 0), and the interaction is significant after correction. Never where `is_matched` is 0.
        - `is_matched`: of a control that is to match the perplexity of its cohort, 1 if it does and 0
          if not; -1 of all others.
        - `n_pairs`, `n_others`: items of each readout type; `n_clusters` and `cluster`: the number and
          the kind of clusters, of the readout type that has fewer; `n_draws` as in `paired_tests`.

    Notes
    -----
    :math:`D = \bar d_{grammar} - \bar d_{other}` where :math:`d` is an item's difference between the two
    conditions, averaged over draws. On both scales, intervals and tests are Student's t over clusters (pairs that
    share a sentence are one cluster, as are all answers to one item) and over the draws of either side:
    `analysis.kernels.clusters`. The logistic model is saturated, so its log-odds are those of the four mean
    accuracies; their variance is by the delta method.

    References
    ----------
    Liang and Zeger (1986); Schuirmann (1987).
    """
    tables = [_of_outcome(store, score, outcome, correction, margin) for outcome in OUTCOMES]
    return pd.concat([table for table in tables if len(table)], ignore_index=True) if any(map(len, tables)) else tables[0]


def _of_outcome(store: xr.Dataset, score: str, outcome: str, correction: str, margin: float) -> pd.DataFrame:
    """The rows of an outcome; none where one of the readout types has no item with it."""
    items = _items(store, score, outcome)
    if items.is_grammar.all():
        return pd.DataFrame()
    table = pd.DataFrame([_tested(items, cohort, reference, margin) for cohort, reference in contrasts(store)])
    if table.empty:
        return table
    table["p_adjusted"] = table.groupby("checkpoint")["p"].transform(lambda p: adjusted(p, correction))
    double = (table["interaction"] > 0) & (table["p_adjusted"] < 0.05) & (table["is_matched"] != 0)
    table["is_double"] = double & (table["grammar_cost_lower"] > 0) & (table["other_cost_upper"] < 0)
    return table.assign(correction=correction, outcome=outcome)


def _items(store: xr.Dataset, score: str, outcome: str) -> _Items:
    """The pairs, probes and tasks of a store; pairs and samples that lack a score under any condition are left out."""
    is_accuracy = outcome == ACCURACY
    margins = pair_margins(store, score).values
    is_defined = ~np.isnan(margins).any(axis=(0, 1))
    parts = [_answers(margins[..., is_defined], is_accuracy)]
    benchmark, paradigm = (store[name].values[is_defined].astype(str) for name in ("benchmark", "paradigm"))
    groups = [np.char.add(np.char.add(benchmark, "/"), paradigm)]
    clusters = [pair_clusters(store)[is_defined]]
    if "log_probability_option" in store:
        parts.append(_answers(choice_margins(store), is_accuracy))
        groups.append(store["probe"].values.astype(str))
        clusters.append(np.arange(parts[-1].shape[-1]) + clusters[-1].max() + 1)
    if "task_score" in store:
        scored = store["task_score"].transpose(CHECKPOINT, CONDITION, SAMPLE)
        has_metric = store["metric"].values.astype(str) == ("acc" if is_accuracy else "margin")
        samples = np.flatnonzero(has_metric & ~np.isnan(scored.values).any(axis=(0, 1)))
        parts.append(scored.values[..., samples])
        groups.append(store["task"].values[samples].astype(str))
        clusters.append(np.arange(len(samples)) + clusters[-1].max(initial=-1) + 1)
    is_grammar = np.arange(sum(part.shape[-1] for part in parts)) < parts[0].shape[-1]
    group = np.unique(np.concatenate(groups), return_inverse=True)[1]
    return _Items(np.concatenate(parts, axis=-1), is_accuracy, is_grammar, group, np.concatenate(clusters))


def _answers(margins: NDArray[np.float64], is_accuracy: bool) -> NDArray[np.float64]:
    return (margins > 0).astype(np.float64) if is_accuracy else margins.astype(np.float64)


def _tested(items: _Items, cohort: MeasuredCohort, reference: MeasuredCohort, margin: float) -> dict[str, object]:
    """The row of a cohort compared with `reference`."""
    ablated, compared = cohort.of(items.values), reference.of(items.values)
    row: dict[str, object] = comparison(cohort, reference)
    estimate = items.clusters.estimate(compared, minus=ablated)
    if items.is_binary:
        estimate = _with_rare_changes(estimate, items.clusters.n_clusters)
    lower, upper = estimate.interval()
    for index, name in enumerate(("grammar_cost", "other_cost", "interaction")):
        row |= {name: estimate.value[index], f"{name}_lower": lower[index], f"{name}_upper": upper[index]}
    bound = float(estimate.equivalence_bound()[2])
    row |= {"p": float(estimate.p_value()[2]), "equivalence_bound": bound, "is_equivalent": items.is_binary and bound < margin}
    row["detectable"] = float(estimate.detectable()[2])
    n_draws = min((len(side) for side in (ablated, compared) if len(side) > 1), default=1)
    sizes = {"n_pairs": int(items.is_grammar.sum()), "n_others": int((~items.is_grammar).sum())}
    n_clusters = items.clusters.n_clusters[:2]
    unit = ("minimal-pair cluster", "item")[int(n_clusters.argmin())]
    counts = {"n_clusters": n_clusters.min(), "cluster": unit, "n_draws": n_draws}
    return row | _log_odds(items, ablated, compared) | sizes | counts


def _with_rare_changes(estimate: Estimate, n_clusters: NDArray[np.int64]) -> Estimate:
    """The estimate with one more source of variance: changes so rare that few clusters may not show them."""
    rare = rare_changes(n_clusters[:2])
    variance = np.array([rare[0], rare[1], rare.sum()])
    return Estimate(estimate.value, np.vstack([estimate.variance, variance]), np.vstack([estimate.freedom, np.full(3, np.inf)]))


def _log_odds(items: _Items, ablated: NDArray[np.float64], compared: NDArray[np.float64]) -> dict[str, object]:
    """Interaction of ablated × grammar on the log-odds scale, from right answers (draw, item) of both sides.

    It is positive where the ablation costs grammar more than the rest.
    """
    names = ("log_odds_interaction", "log_odds_interaction_lower", "log_odds_interaction_upper", "log_odds_p")
    if not items.is_binary:
        return {**dict.fromkeys(names, np.nan), "is_separated": False}
    sizes = np.bincount(items.group)
    of_groups = [np.bincount(items.group, weights=side.mean(axis=0)) / sizes for side in (ablated, compared)]
    means = np.stack([items.weights @ accuracy for accuracy in of_groups])  # (ablated or compared, readout type)
    if np.isclose(means * (1 - means), 0).any():
        return {**dict.fromkeys(names, np.nan), "is_separated": True}
    slopes = 1 / (means * (1 - means))
    readout_type = np.where(items.is_grammar, 0, 1)
    linear = items.clusters.estimate(compared * slopes[1, readout_type], minus=ablated * slopes[0, readout_type])
    logits = np.log(means / (1 - means))
    value = (logits[1, 0] - logits[0, 0]) - (logits[1, 1] - logits[0, 1])
    estimate = linear._replace(value=np.full(3, value))
    bounds = (part[2] for part in estimate.interval())
    return {**dict(zip(names, (value, *bounds, estimate.p_value()[2]), strict=True)), "is_separated": False}


@register_table("dissociation", needs="log_probability_good", readout="minimal_pairs")
def _table(store: xr.Dataset, options: TableOptions) -> pd.DataFrame:
    has_others = "log_probability_option" in store or "task_score" in store
    return dissociation(store, options.score, options.correction, options.margin) if has_others else pd.DataFrame()
