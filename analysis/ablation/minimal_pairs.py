"""Minimal pairs: accuracy by phenomenon and paradigm, and paired tests between conditions.

Owns what counts as right, which pairs hang together, and every comparison on the same pairs.
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
from analysis.conditions import MeasuredCohort, bounds, comparison, contrasts, counted, measured_cohorts
from analysis.kernels.clusters import Clusters
from analysis.kernels.multiplicity import adjusted
from analysis.kernels.paired import least_p_value, sign_flip_test

SCORES = ("total", "mean", "critical")
LEVELS = ("phenomenon", "paradigm")
MARGIN = 0.02
"""Change of accuracy below which an effect is called none, unless said otherwise."""


def pair_margins(store: xr.Dataset, score: str = "total") -> xr.DataArray:
    """By how much the good sentence of every minimal pair is preferred.

    Parameters
    ----------
    store : Dataset
        An ablation store with minimal pairs.
    score : str
        `total` log-probability, its `mean` a token, or that of the `critical` region.

    Returns
    -------
    DataArray
        (checkpoint, condition, pair), in nats; positive is right, 0 a tie, NaN where the score is
        not defined (no token of one of the sentences is in the critical region).

    Raises
    ------
    UnknownNameError
        If there is no such score.

    Notes
    -----
    The total is BLiMP's measure; the mean favours sentences cut into more pieces, the critical
    region those whose words are likely in themselves.
    """
    if score not in SCORES:
        raise UnknownNameError("pair score", score, SCORES)
    prefix = "critical_" if score == "critical" else ""
    good, bad = (store[f"{prefix}log_probability_{side}"] for side in ("good", "bad"))
    if score == "mean":
        good, bad = good / store["n_tokens_good"], bad / store["n_tokens_bad"]
    return (good - bad).transpose(CHECKPOINT, CONDITION, PAIR)


def pair_clusters(store: xr.Dataset) -> NDArray[np.intp]:
    """Which pairs hang together: those that share a sentence, directly or by others.

    Parameters
    ----------
    store : Dataset
        An ablation store with minimal pairs.

    Returns
    -------
    array (pair,)
        Number of the cluster.
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
        Change of accuracy that counts as none.

    Returns
    -------
    DataFrame
        One row a (checkpoint, intervention, cohort, benchmark, `by`), with `all` for the mean over
        all paradigms of a benchmark (macro-average) and `all pairs` for that over all pairs
        (micro-average): `accuracy` and `delta_accuracy` with their 95% bounds; `equivalence_bound`,
        the least margin within which two one-sided tests at 5% would call the change none (never
        below 3/n, what no change in n clusters can say); `is_equivalent`, whether that is within `margin`; `n_pairs`,
        `n_ties` and `n_undefined` (summed over draws); `n_clusters` and `cluster` (pairs that share a sentence).
        NaN bounds: of a single cluster.

    Notes
    -----
    A tie is wrong here; a pair whose score is not defined under some condition is left out of all. Intervals are over
    clusters of pairs and, where neurons were drawn at random, over the draws: `analysis.kernels.clusters`.

    References
    ----------
    Schuirmann (1987) for the two one-sided tests: here the 90% interval lies within the bounds;
    Hanley and Lippman-Hand (1983) for 3/n.
    """
    if by not in LEVELS:
        raise UnknownNameError("level", by, LEVELS)
    margins = pair_margins(store, score).values
    frames = []
    for name, places in _benchmarks(store).items():
        frame = _Paradigms.of(store, places, margins[..., places], by)
        clusters, right = frame.clusters, frame.right
        sizes = {"n_pairs": frame.n_pairs, **counted(clusters, "minimal-pair cluster")}
        for cohort in measured_cohorts(store):
            now, before = cohort.of(right), cohort.intact(right)
            change = clusters.estimate(now - before, binary=True)
            columns: dict[str, NDArray[Any]] = {
                **bounds("accuracy", clusters.estimate(now, binary=True), 0, 1),
                **bounds("delta_accuracy", change),
            }
            bound = np.maximum(np.abs(change.value) + change.reach(0.05), 3 / clusters.n_clusters)
            columns |= {"equivalence_bound": bound, "is_equivalent": bound < margin, **frame.special(cohort)}
            frames.append(pd.DataFrame({**cohort.labels, "benchmark": name, by: frame.rows, **columns, **sizes}))
    return pd.concat(frames, ignore_index=True)


def paired_tests(
    store: xr.Dataset, by: str = "phenomenon", score: str = "total", correction: str = "holm", seed: int = 0
) -> pd.DataFrame:
    """Whether a cohort's ablation changes which pairs are right, against the intact model and every control.

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
        One row a (checkpoint, intervention, cohort, against, benchmark, `by`): `n_lost` and
        `n_gained` pairs (right only under the other, or only under this; means over draws),
        `delta_accuracy` (macro-average), `p` by the named `test` and `p_adjusted` with the `correction` by name; `all` is
        not corrected: it is one test. `is_matched` is 0 where perplexity is not that of the control
        compared with, though it was to be; 1 where it is, -1 where it was not to be. `n_clusters` and `cluster` (pairs
        that share a sentence); `n_draws`, the fewest of a side that was drawn several times, else 1; `least_p`, below which
        no outcome of so few clusters can lead: where it is above 5% the test cannot reject.

    Notes
    -----
    `sign flips`: McNemar's test, with clusters. Under the null the sign of a cluster's change is a coin toss. Where every
    changed cluster counts alike this is the exact binomial test; elsewhere all patterns of signs, or 9,999 tosses.
    `t`, where a side was drawn several times: the interval's, over clusters and draws, so that it speaks of such draws
    and not of these alone.

    References
    ----------
    McNemar (1947); Durkalski et al. (2003) for clusters.
    """
    if by not in LEVELS:
        raise UnknownNameError("level", by, LEVELS)
    margins = pair_margins(store, score).values
    frames = []
    for name, places in _benchmarks(store).items():
        frame = _Paradigms.of(store, places, margins[..., places], by, micro=False)
        for cohort, reference in contrasts(store):
            now, then = (side.of(frame.right) for side in (cohort, reference))
            head = {**comparison(cohort, reference), "benchmark": name}
            table = pd.DataFrame({**head, by: frame.rows, **_compared(now, then, frame, seed)})
            single = table[by] != "all"
            table["p_adjusted"] = table["p"]
            table.loc[single, "p_adjusted"] = adjusted(table.loc[single, "p"], correction)
            frames.append(table.assign(correction=correction))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _compared(now: NDArray[np.float64], then: NDArray[np.float64], frame: _Paradigms, seed: int) -> dict[str, object]:
    """Columns of the tests of a comparison, from right answers (draw, pair) of both sides."""
    change = now.mean(axis=0) - then.mean(axis=0)
    clusters, weights = frame.clusters, frame.clusters.weights
    inside = weights != 0
    lost, gained = (
        inside @ np.bincount(frame.paradigm, weights=part) for part in (np.maximum(-change, 0), np.maximum(change, 0))
    )
    several = [len(side) for side in (now, then) if len(side) > 1]
    if several:
        p, test, least = clusters.estimate(now, minus=then, binary=True).p_value(), "t", np.zeros(len(weights))
    else:
        per_pair = (weights / frame.paradigm_sizes)[:, frame.paradigm] * change
        by_cluster = [
            np.bincount(frame.cluster[of_row[frame.paradigm]], weights=row[of_row[frame.paradigm]])
            for of_row, row in zip(inside, per_pair, strict=True)
        ]
        p, test = np.array([sign_flip_test(changes, seed=seed) for changes in by_cluster]), "sign flips"
        least = least_p_value(clusters.n_clusters)
    return {
        "n_lost": lost,
        "n_gained": gained,
        "delta_accuracy": weights @ (np.bincount(frame.paradigm, weights=change) / frame.paradigm_sizes),
        "p": p,
        "test": test,
        "n_draws": min(several, default=1),
        "least_p": least,
        **counted(clusters, "minimal-pair cluster"),
    }


class _Paradigms(NamedTuple):
    """Pairs of a benchmark whose score is defined throughout, and the rows of its table."""

    rows: list[str]
    """Phenomena or paradigms, `all`, and `all pairs` where it is asked for."""
    paradigm: NDArray[np.intp]
    """Of every pair."""
    cluster: NDArray[np.intp]
    """Of every pair: pairs that share a sentence are one cluster."""
    clusters: Clusters
    """The same by paradigm, with the paradigms' weights in every row; a row's sum to 1."""
    right: NDArray[np.float64]
    """(checkpoint, condition, pair) 1 for right, 0 for wrong or tied."""
    margins: NDArray[np.float64]
    """(checkpoint, condition, pair) of all pairs of the benchmark, those without a score among them."""
    members: NDArray[np.bool_]
    """(row, pair) of all pairs."""

    @classmethod
    def of(
        cls, store: xr.Dataset, places: NDArray[np.intp], margins: NDArray[np.float64], by: str, micro: bool = True
    ) -> _Paradigms:
        labels = {name: store[name].values[places].astype(str) for name in LEVELS}
        known = np.asarray(~np.isnan(margins).any(axis=(0, 1)))
        names, first, paradigm = np.unique(labels["paradigm"][known], return_index=True, return_inverse=True)
        of_paradigm = labels[by][known][first]
        rows = list(dict.fromkeys(labels[by].tolist()))
        weights = np.array([of_paradigm == row for row in rows] + [np.ones(len(names), bool)], dtype=np.float64)
        members = np.array([labels[by] == row for row in rows] + [np.ones(len(known), bool)])
        rows.append("all")
        if micro:
            weights = np.vstack([weights, np.bincount(paradigm)])
            members, rows = np.vstack([members, members[-1:]]), [*rows, "all pairs"]
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1)
        cluster = pair_clusters(store)[places][known]
        right = (margins[..., known] > 0).astype(np.float64)
        return cls(rows, paradigm, cluster, Clusters.of(cluster, paradigm, weights), right, margins, members)

    @property
    def paradigm_sizes(self) -> NDArray[np.intp]:
        """(paradigm,) Pairs."""
        return np.bincount(self.paradigm)

    @property
    def n_pairs(self) -> NDArray[np.int64]:
        """(row,) All pairs."""
        counts: NDArray[np.int64] = self.members.sum(axis=1)
        return counts

    def special(self, cohort: MeasuredCohort) -> dict[str, NDArray[np.int64]]:
        """Ties and undefined scores of a cohort in every row, summed over its draws."""
        margins = cohort.of(self.margins)
        counts = {"n_ties": margins == 0, "n_undefined": np.isnan(margins)}
        return {name: self.members @ mask.sum(axis=0) for name, mask in counts.items()}


def _benchmarks(store: xr.Dataset) -> dict[str, NDArray[np.intp]]:
    """Where the pairs of every benchmark are."""
    names = store["benchmark"].values.astype(str)
    return {name: np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())}
