"""Minimal pairs: accuracy by phenomenon and paradigm, and paired tests between conditions.

Owns which answers are right and by what margin, which pairs are one cluster, and every comparison on the same pairs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from actstore.errors import UnknownNameError
from actstore.store.schema import CHECKPOINT, CONDITION, PAIR
from analysis.ablation.registry import TableOptions, register_table
from analysis.conditions import MeasuredCohort, bounds, comparison, contrasts, counted, measured_cohorts
from analysis.kernels.clusters import Clusters
from analysis.kernels.multiplicity import adjusted
from analysis.kernels.paired import least_p_value, sign_flip_test

SCORES = ("total", "mean", "critical")
LEVELS = ("phenomenon", "paradigm")
MARGIN = 0.02
"""Change of accuracy below which an effect is called none, by default."""


def pair_margins(store: xr.Dataset, score: str = "total") -> xr.DataArray:
    """How much more probable the good sentence of every minimal pair is than the bad one.

    Parameters
    ----------
    store : Dataset
        An ablation store with minimal pairs.
    score : str
        The `total` log-probability, its `mean` over tokens, or that of the `critical` region, the words that differ.

    Returns
    -------
    DataArray
        (checkpoint, condition, pair), in nats; positive is right, 0 a tie. NaN where the score is
        not defined: a sentence has no token in the critical region.

    Raises
    ------
    UnknownNameError
        If there is no such score.

    Notes
    -----
    The total is BLiMP's measure. The mean favours sentences that are cut into more tokens; the critical
    region favours words that are likely in themselves.
    """
    if score not in SCORES:
        raise UnknownNameError("pair score", score, SCORES)
    prefix = "critical_" if score == "critical" else ""
    good, bad = (store[f"{prefix}log_probability_{side}"] for side in ("good", "bad"))
    if score == "mean":
        good, bad = good / store["n_tokens_good"], bad / store["n_tokens_bad"]
    return (good - bad).transpose(CHECKPOINT, CONDITION, PAIR)


def pair_clusters(store: xr.Dataset) -> NDArray[np.intp]:
    """Clusters of pairs: pairs that share a sentence are in one, and so are pairs that are linked by others.

    Parameters
    ----------
    store : Dataset
        An ablation store with minimal pairs.

    Returns
    -------
    array (pair,)
        Number of the cluster, from 0.
    """
    texts = np.concatenate([store[f"sentence_{side}"].values.astype(str) for side in ("good", "bad")])
    text = np.unique(texts, return_inverse=True)[1].reshape(2, -1)
    n_texts = int(text.max(initial=0)) + 1
    graph = coo_array((np.ones(text.shape[1]), (text[0], text[1])), shape=(n_texts, n_texts))
    clusters: NDArray[np.intp] = connected_components(graph, directed=False)[1][text[0]].astype(np.intp)
    return clusters


def pair_accuracy(store: xr.Dataset, by: str = "phenomenon", score: str = "total", margin: float = MARGIN) -> pd.DataFrame:
    """Minimal-pair accuracy per phenomenon or paradigm and over all, and its change against the intact model.

    Parameters
    ----------
    store : Dataset
        An ablation store with minimal pairs.
    by : str
        `phenomenon` (the mean of its paradigms) or `paradigm`.
    score : str
        As in `pair_margins`.
    margin : float
        A change of accuracy below it counts as none.

    Returns
    -------
    DataFrame
        One row a (checkpoint, intervention, cohort, benchmark, `by`). Two rows a benchmark are over all
        of it: `all`, the mean over its paradigms (macro-average), and `all pairs`, the mean over its
        pairs (micro-average).

        - `accuracy` and `delta_accuracy`, with 95% bounds; NaN bounds where there is a single cluster.
        - `margin` and `delta_margin`, with 95% bounds: the score of the good sentence less that of the bad one, in nats.
        - `equivalence_bound`: the least margin within which two one-sided tests at 5% call the change
          none, and at least 3/n for n clusters; `is_equivalent`: whether this bound is within `margin`.
        - `n_pairs`; `n_ties` and `n_undefined`, summed over draws.
        - `n_clusters` and `cluster`: pairs that share a sentence are one cluster.

    Notes
    -----
    A tie counts as wrong. A pair whose score is not defined under some condition is left out of all conditions. Intervals
    are over clusters of pairs and, where neurons were drawn at random, over the draws: `analysis.kernels.clusters`.

    References
    ----------
    Schuirmann (1987) for the two one-sided tests, here that the 90% interval lies within the margin;
    Hanley and Lippman-Hand (1983) for 3/n.
    """
    if by not in LEVELS:
        raise UnknownNameError("level", by, LEVELS)
    margins = pair_margins(store, score).values
    frames = []
    for benchmark, indices in _benchmarks(store).items():
        pairs = _Paradigms.of(store, indices, margins[..., indices], by)
        clusters = pairs.clusters
        sizes = {"n_pairs": pairs.n_pairs, **counted(clusters, "minimal-pair cluster")}
        for cohort in measured_cohorts(store):
            ablated, intact = cohort.of(pairs.right), cohort.intact(pairs.right)
            change = clusters.estimate(ablated - intact, binary=True)
            columns: dict[str, NDArray[Any]] = {
                **bounds("accuracy", clusters.estimate(ablated, binary=True), 0, 1),
                **bounds("delta_accuracy", change),
            }
            bound = np.maximum(np.abs(change.value) + change.reach(0.05), 3 / clusters.n_clusters)
            columns |= {"equivalence_bound": bound, "is_equivalent": bound < margin, **pairs.ties_and_undefined(cohort)}
            of_cohort, of_intact = cohort.of(pairs.defined_margins), cohort.intact(pairs.defined_margins)
            columns |= bounds("margin", clusters.estimate(of_cohort))
            columns |= bounds("delta_margin", clusters.estimate(of_cohort - of_intact))
            frames.append(pd.DataFrame({**cohort.labels, "benchmark": benchmark, by: pairs.rows, **columns, **sizes}))
    return pd.concat(frames, ignore_index=True)


def macro_average(store: xr.Dataset, score: str = "total") -> tuple[NDArray[np.float64], Clusters]:
    """Margins of the pairs that are defined under every condition, and the clusters that average them over all paradigms.

    Parameters
    ----------
    store : Dataset
        An ablation store with minimal pairs.
    score : str
        As in `pair_margins`.

    Returns
    -------
    array (checkpoint, condition, pair), Clusters of a single row
    """
    margins = pair_margins(store, score).values.astype(np.float64)
    is_defined = ~np.isnan(margins).any(axis=(0, 1))
    names = [store[name].values[is_defined].astype(str) for name in ("benchmark", "paradigm")]
    paradigm = np.unique(np.char.add(np.char.add(names[0], "/"), names[1]), return_inverse=True)[1]
    weights = np.full((1, int(paradigm.max()) + 1), 1 / (int(paradigm.max()) + 1))
    return margins[..., is_defined], Clusters.of(pair_clusters(store)[is_defined], paradigm, weights)


def paired_tests(
    store: xr.Dataset, by: str = "phenomenon", score: str = "total", correction: str = "holm", seed: int = 0
) -> pd.DataFrame:
    """Tests of whether the ablation of a cohort changes which pairs are right.

    Every cohort is compared with the intact model, and every top cohort with its controls too.

    Parameters
    ----------
    store : Dataset
        An ablation store with minimal pairs.
    by, score : str
        As in `pair_accuracy`.
    correction : str
        `holm` or `bh`, over the phenomena (or paradigms) of one comparison.
    seed : int
        Seed of the sign flips.

    Returns
    -------
    DataFrame
        One row a (checkpoint, intervention, cohort, against, benchmark, `by`):

        - `n_lost`, `n_gained`: pairs that are right only under `against`, and only under the ablation;
          means over draws. `delta_accuracy`: macro-average of the change, with 95% bounds over clusters and draws;
          `equivalence_bound` and `detectable` as in `analysis.contrasts`.
        - `p` by the named `test`; `p_adjusted` by the named `correction`, except in the row `all`, which
          is a single test.
        - `delta_margin` with 95% bounds: the macro-averaged change of the margin, in nats; `margin_p` (Student's t over
          clusters and draws) and `margin_p_adjusted` likewise; `margin_equivalence_bound` and `margin_detectable` as in
          `analysis.contrasts`.
        - `is_matched`: of a control that is to match the perplexity of its cohort, 1 if it does and 0
          if not; -1 of all others.
        - `n_clusters` and `cluster`: pairs that share a sentence are one cluster. `n_draws`: the number
          of draws, the smaller one if both sides were drawn several times; 1 if none was.
        - `least_p`: the least p-value that so few clusters can give; where it is above 5%, the test
          cannot reject.

    Notes
    -----
    `sign flips` is McNemar's test for clusters: under the null, the sign of a cluster's change is a coin toss. Where all
    changed clusters count alike it is the exact binomial test; elsewhere it takes all patterns of signs, or 9,999 tosses.
    `t` is used where a side was drawn several times. It is the test of the interval over clusters and draws, so it holds
    for new draws too, not only for these.

    References
    ----------
    McNemar (1947); Durkalski et al. (2003) for clusters.
    """
    if by not in LEVELS:
        raise UnknownNameError("level", by, LEVELS)
    margins = pair_margins(store, score).values
    frames = []
    for benchmark, indices in _benchmarks(store).items():
        pairs = _Paradigms.of(store, indices, margins[..., indices], by, micro=False)
        for cohort, reference in contrasts(store):
            tests = _tests(cohort.of(pairs.right), reference.of(pairs.right), pairs, seed)
            tests |= _margin_tests(cohort.of(pairs.defined_margins), reference.of(pairs.defined_margins), pairs)
            table = pd.DataFrame({**comparison(cohort, reference), "benchmark": benchmark, by: pairs.rows, **tests})
            single = table[by] != "all"
            for name in ("p", "margin_p"):
                table[f"{name}_adjusted"] = table[name]
                table.loc[single, f"{name}_adjusted"] = adjusted(table.loc[single, name], correction)
            frames.append(table.assign(correction=correction))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _tests(ablated: NDArray[np.float64], compared: NDArray[np.float64], pairs: _Paradigms, seed: int) -> dict[str, object]:
    """Columns of the tests of a comparison, from right answers (draw, pair) of both sides."""
    change = ablated.mean(axis=0) - compared.mean(axis=0)
    clusters, weights = pairs.clusters, pairs.clusters.weights
    n_lost, n_gained = (
        (weights != 0) @ np.bincount(pairs.paradigm, weights=part) for part in (np.maximum(-change, 0), np.maximum(change, 0))
    )
    estimate = clusters.estimate(ablated, minus=compared, binary=True)
    n_draws = min((len(side) for side in (ablated, compared) if len(side) > 1), default=1)
    if n_draws > 1:
        p, test = estimate.p_value(), "t"
        least_p = np.zeros(len(weights))
    else:
        p, test = _sign_flips(change, pairs, seed), "sign flips"
        least_p = least_p_value(clusters.n_clusters)
    return {
        "n_lost": n_lost,
        "n_gained": n_gained,
        **bounds("delta_accuracy", estimate),
        "equivalence_bound": estimate.equivalence_bound(),
        "detectable": estimate.detectable(),
        "p": p,
        "test": test,
        "n_draws": n_draws,
        "least_p": least_p,
        **counted(clusters, "minimal-pair cluster"),
    }


def _margin_tests(ablated: NDArray[np.float64], compared: NDArray[np.float64], pairs: _Paradigms) -> dict[str, object]:
    """Columns of the change of margin in a comparison, from margins (draw, pair) of both sides."""
    estimate = pairs.clusters.estimate(ablated, minus=compared)
    return {
        **bounds("delta_margin", estimate),
        "margin_p": estimate.p_value(),
        "margin_equivalence_bound": estimate.equivalence_bound(),
        "margin_detectable": estimate.detectable(),
    }


def _sign_flips(change: NDArray[np.float64], pairs: _Paradigms, seed: int) -> NDArray[np.float64]:
    """(row,) p-values of the sign-flip test, from the change (pair,)."""
    weights = pairs.clusters.weights
    p_values = []
    for weight, is_in_row in zip(weights / pairs.paradigm_sizes, (weights != 0)[:, pairs.paradigm], strict=True):
        changes = (weight[pairs.paradigm] * change)[is_in_row]
        p_values.append(sign_flip_test(np.bincount(pairs.cluster[is_in_row], weights=changes), seed=seed))
    return np.array(p_values)


class _Paradigms(NamedTuple):
    """The pairs of a benchmark whose score is defined under every condition, and the rows of its table."""

    rows: list[str]
    """Phenomena or paradigms, `all`, and `all pairs` where micro-averages are asked for."""
    paradigm: NDArray[np.intp]
    """Of every pair."""
    cluster: NDArray[np.intp]
    """Of every pair: pairs that share a sentence are one cluster."""
    clusters: Clusters
    """Clusters by paradigm, with the weights of the paradigms in every row; the weights of a row sum to 1."""
    right: NDArray[np.float64]
    """(checkpoint, condition, pair); 1 for right, 0 for wrong or a tie."""
    margins: NDArray[np.float64]
    """(checkpoint, condition, pair) of all pairs of the benchmark; NaN where the score is not defined."""
    defined_margins: NDArray[np.float64]
    """(checkpoint, condition, pair) of the pairs whose score is defined under every condition."""
    members: NDArray[np.bool_]
    """(row, pair) The pairs of every row, of all pairs of the benchmark."""

    @classmethod
    def of(
        cls, store: xr.Dataset, indices: NDArray[np.intp], margins: NDArray[np.float64], by: str, micro: bool = True
    ) -> _Paradigms:
        labels = {name: store[name].values[indices].astype(str) for name in LEVELS}
        is_defined = np.asarray(~np.isnan(margins).any(axis=(0, 1)))
        names, first, paradigm = np.unique(labels["paradigm"][is_defined], return_index=True, return_inverse=True)
        of_paradigm = labels[by][is_defined][first]
        rows = list(dict.fromkeys(labels[by].tolist()))
        weights = np.array([of_paradigm == row for row in rows] + [np.ones(len(names), bool)], dtype=np.float64)
        members = np.array([labels[by] == row for row in rows] + [np.ones(len(is_defined), bool)])
        rows.append("all")
        if micro:
            weights = np.vstack([weights, np.bincount(paradigm)])
            members, rows = np.vstack([members, members[-1:]]), [*rows, "all pairs"]
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1)
        cluster = pair_clusters(store)[indices][is_defined]
        defined = margins[..., is_defined].astype(np.float64)
        right = (defined > 0).astype(np.float64)
        return cls(rows, paradigm, cluster, Clusters.of(cluster, paradigm, weights), right, margins, defined, members)

    @property
    def paradigm_sizes(self) -> NDArray[np.intp]:
        """(paradigm,) How many pairs each has."""
        return np.bincount(self.paradigm)

    @property
    def n_pairs(self) -> NDArray[np.int64]:
        """(row,) How many pairs each has, those without a defined score among them."""
        counts: NDArray[np.int64] = self.members.sum(axis=1)
        return counts

    def ties_and_undefined(self, cohort: MeasuredCohort) -> dict[str, NDArray[np.int64]]:
        """Ties and undefined scores of a cohort in every row, summed over its draws."""
        margins = cohort.of(self.margins)
        counts = {"n_ties": margins == 0, "n_undefined": np.isnan(margins)}
        return {name: self.members @ mask.sum(axis=0) for name, mask in counts.items()}


def _benchmarks(store: xr.Dataset) -> dict[str, NDArray[np.intp]]:
    """Benchmark → indices of its pairs."""
    names = store["benchmark"].values.astype(str)
    return {name: np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())}


def _accuracy_by(level: str) -> None:
    @register_table(f"accuracy_by_{level}", needs="log_probability_good", readout="minimal_pairs")
    def table(store: xr.Dataset, options: TableOptions) -> pd.DataFrame:
        return pair_accuracy(store, level, options.score, margin=options.margin)


for _level in LEVELS:
    _accuracy_by(_level)


@register_table("paired_tests", needs="log_probability_good", readout="minimal_pairs")
def _paired_tests(store: xr.Dataset, options: TableOptions) -> pd.DataFrame:
    return paired_tests(store, score=options.score, correction=options.correction)
