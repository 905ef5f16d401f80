"""Does an ablation hurt grammar more than anything else, and its control the other way round?

Owns the double dissociation, as an interaction of readout type and ablation, tested.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
import statsmodels.api as sm
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import norm

from actstore.schema import CHECKPOINT, CONDITION, ITEM, OPTION, SAMPLE
from analysis.cells import Cell, comparison, contrasts
from analysis.grammar import MARGIN, pair_clusters, pair_margins
from analysis.kernels.multiplicity import adjusted

GRAMMAR, OTHER = "grammar", "non-grammar"


class _Items(NamedTuple):
    """Items of both readout types, side by side."""

    right: NDArray[np.float64]
    """(checkpoint, condition, item)"""
    is_grammar: NDArray[np.bool_]
    group: NDArray[np.intp]
    """Paradigm, probe or task of every item."""
    cluster: NDArray[np.intp]
    """Items that hang together."""


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
        - `n_pairs`, `n_others`.

    Notes
    -----
    :math:`D = \bar d_{grammar} - \bar d_{other}` where :math:`d` is an item's difference between the two
    conditions, averaged over seeds. Both standard errors are cluster-robust: pairs that share a
    sentence, and all answers to one item, count once. The spread over seeds is added to the linear
    one, and :math:`1 / (n + 2)^2` to the variance of each readout type of :math:`n` items, so that no
    change in few items is not certainty: what half an item more in every cell of the paired table
    adds.

    References
    ----------
    Liang and Zeger (1986); Agresti and Min (2005); Schuirmann (1987).
    """
    items = _items(store, score)
    rows = [_tested(items, cell, reference, margin) for cell, reference in contrasts(store)]
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


def _tested(items: _Items, cell: Cell, reference: Cell, margin: float) -> dict[str, object]:
    """A row of the table; the costs are those of a cohort against `reference`."""
    now, then = (items.right[side.step, side.conditions] for side in (cell, reference))
    row: dict[str, object] = comparison(cell, reference)
    sides = {"grammar_cost": items.is_grammar.astype(float), "other_cost": (~items.is_grammar).astype(float)}
    sides["interaction"] = sides["grammar_cost"] - sides["other_cost"]
    for name, signs in sides.items():
        estimate, error = _mean_difference(then, now, _equal_weights(items) * signs, items)
        low, high = estimate + norm.ppf([0.025, 0.975]) * error
        row |= {name: estimate, f"{name}_lower": low, f"{name}_upper": high}
    row["p"] = _two_sided(estimate, error)
    row["equivalence_bound"] = abs(estimate) + float(norm.ppf(0.95)) * error
    row["is_equivalent"] = abs(estimate) + norm.ppf(0.95) * error < margin
    row |= _logistic(items, now, then)
    return row | {"n_pairs": int(items.is_grammar.sum()), "n_others": int((~items.is_grammar).sum())}


def _equal_weights(items: _Items) -> NDArray[np.float64]:
    """Weights of items: every paradigm, probe and task of a readout type counts alike, a type sums to 1."""
    size = np.bincount(items.group)[items.group]
    n_groups = np.array([len(np.unique(items.group[items.is_grammar == kind])) for kind in (False, True)])
    weights: NDArray[np.float64] = 1 / (size * n_groups[items.is_grammar.astype(int)])
    return weights


def _mean_difference(
    then: NDArray[np.float64], now: NDArray[np.float64], weights: NDArray[np.float64], items: _Items
) -> tuple[float, float]:
    """Weighted mean of `then - now` (seed, item) and its standard error over clusters of items and over seeds."""
    difference = then.mean(axis=0) - now.mean(axis=0)
    within = np.bincount(items.group, weights=difference) / np.maximum(np.bincount(items.group), 1)
    used = weights != 0
    influence = np.bincount(items.cluster[used], weights=(weights * (difference - within[items.group]))[used])
    n_clusters = len(np.unique(items.cluster[used]))
    variance = n_clusters / max(n_clusters - 1, 1) * float((influence**2).sum())
    for kind in (items.is_grammar, ~items.is_grammar):
        variance += float(used[kind].any()) / (int(kind.sum()) + 2) ** 2
    for values in (then, now):
        if len(values) > 1:
            variance += float((values @ weights).var(ddof=1)) / len(values)
    return float(difference @ weights), variance**0.5


def _two_sided(estimate: float, error: float) -> float:
    if error < 1e-12:
        return 1.0 if abs(estimate) < 1e-12 else 0.0
    return float(2 * norm.sf(abs(estimate) / error))


def _logistic(items: _Items, now: NDArray[np.float64], then: NDArray[np.float64]) -> dict[str, object]:
    """Interaction of ablated × grammar on the log-odds scale, positive where the ablation costs grammar more."""
    names = ("log_odds_interaction", "log_odds_interaction_lower", "log_odds_interaction_upper", "log_odds_p")
    means = [side[:, kind].mean() for side in (now, then) for kind in (items.is_grammar, ~items.is_grammar)]
    separated = any(mean in (0.0, 1.0) for mean in means)
    if separated:
        return {**dict.fromkeys(names, np.nan), "is_separated": True}
    sides = [(now, 1.0), (then, 0.0)]
    right = np.concatenate([side.ravel() for side, _ in sides])
    ablated = np.concatenate([np.full(side.size, value) for side, value in sides])
    grammar = np.concatenate([np.tile(items.is_grammar.astype(float), len(side)) for side, _ in sides])
    cluster = np.concatenate([np.tile(items.cluster, len(side)) for side, _ in sides])
    scale = len(items.group) / 2
    weights = np.concatenate([np.tile(_equal_weights(items) * scale / len(side), len(side)) for side, _ in sides])
    design = np.stack([np.ones_like(right), ablated, grammar, ablated * grammar], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", sm.tools.sm_exceptions.SpecificationWarning
        )  # a robust covariance with weights is meant
        fitted = sm.GLM(right, design, family=sm.families.Binomial(), var_weights=weights).fit(
            cov_type="cluster", cov_kwds={"groups": cluster}
        )
    low, high = fitted.conf_int()[3]
    return {**dict(zip(names, (-fitted.params[3], -high, -low, fitted.pvalues[3]), strict=True)), "is_separated": False}
