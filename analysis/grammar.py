"""Minimal pairs: accuracy by phenomenon and paradigm, and paired tests between conditions.

Owns what counts as right, which pairs hang together, and every comparison on the same pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from actstore.errors import UnknownNameError
from actstore.schema import CHECKPOINT, CONDITION, PAIR
from analysis.cells import N_REPLICATES, bounds, cells, comparison, contrasts
from analysis.kernels.multiplicity import adjusted
from analysis.kernels.paired import sign_flip_test
from analysis.kernels.resampling import Bootstrap, cluster_bootstrap

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


def pair_accuracy(
    store: xr.Dataset, by: str = "phenomenon", score: str = "total", seed: int = 0, margin: float = MARGIN
) -> pd.DataFrame:
    """Minimal-pair accuracy per phenomenon or paradigm and over all, and its change against the intact model.

    Parameters
    ----------
    store : Dataset
        An ablation store with minimal pairs.
    by : str
        `phenomenon` (the mean of its paradigms) or `paradigm`.
    score : str
        As in `pair_margins`.
    seed : int
        Seed of the bootstrap.
    margin : float
        Change of accuracy that counts as none.

    Returns
    -------
    DataFrame
        One row a (checkpoint, intervention, cohort, benchmark, `by`), with `all` for the mean over
        all paradigms of a benchmark (macro-average) and `all pairs` for that over all pairs
        (micro-average): `accuracy` and `delta_accuracy` with their 95% bounds; `equivalence_bound`,
        the least margin within which two one-sided tests at 5% would call the change none (never
        below 3/n, what no change in n pairs can say); `is_equivalent`, whether that is within `margin`; `n_pairs`, `n_ties` and `n_undefined`
        (summed over seeds).

    Notes
    -----
    A tie is wrong here. The bootstrap draws clusters of pairs within each paradigm (pairs that share
    a sentence are one) and, where neurons were drawn at random, the seeds.

    References
    ----------
    Schuirmann (1987) for the two one-sided tests: here the 90% interval lies within the bounds;
    Hanley and Lippman-Hand (1983) for 3/n.
    """
    if by not in LEVELS:
        raise UnknownNameError("level", by, LEVELS)
    margins = pair_margins(store, score).values
    rows = []
    for name, places in _benchmarks(store).items():
        frame = _Paradigms.of(store, places)
        right = _right(margins[..., places])
        groups = frame.groups(by)
        for cell in cells(store):
            now, before = right[cell.step, cell.conditions], right[cell.step, cell.baseline]
            absolute, change = (_by_paradigm(values, frame, seed) for values in (now, now - before))
            of_cell = margins[cell.step, cell.conditions][:, places]
            for group, weights in groups.items():
                row = {**cell.labels, "benchmark": name, by: group}
                for label, boot in (("accuracy", absolute), ("delta_accuracy", change)):
                    row |= {key: float(value[0]) for key, value in bounds(label, _weighted(boot, weights)).items()}
                inside = (weights > 0)[frame.paradigm]
                bound = max(float(np.abs(_weighted(change, weights).interval(0.9)).max()), 3 / int(inside.sum()))
                row |= {"equivalence_bound": bound, "is_equivalent": bound < margin, "n_pairs": int(inside.sum())}
                row |= {"n_ties": int((of_cell[:, inside] == 0).sum()), "n_undefined": int(np.isnan(of_cell[:, inside]).sum())}
                rows.append(row)
    return pd.DataFrame(rows)


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
        `n_gained` pairs (right only under the other, or only under this; means over seeds),
        `delta_accuracy` (macro-average), `p` and `p_adjusted` with the `correction` by name. `all` is
        not corrected: it is one test. `is_matched` is 0 where perplexity is not that of the control
        compared with, though it was to be; 1 where it is, -1 where it was not to be.

    Notes
    -----
    McNemar's test, with clusters: under the null the sign of a cluster's change is a coin toss.
    Where every changed cluster counts alike this is the exact binomial test, elsewhere 9,999 tosses.
    A cohort of several seeds enters by its mean, so the test is about these draws.

    References
    ----------
    McNemar (1947); Durkalski et al. (2003) for clusters.
    """
    if by not in LEVELS:
        raise UnknownNameError("level", by, LEVELS)
    margins = pair_margins(store, score).values
    frames = []
    for name, places in _benchmarks(store).items():
        frame = _Paradigms.of(store, places)
        right = _right(margins[..., places])
        groups = {key: weights for key, weights in frame.groups(by).items() if key != "all pairs"}
        for cell, reference in contrasts(store):
            now, then = (right[side.step, side.conditions].mean(axis=0) for side in (cell, reference))
            rows = [_compared(now, then, frame, weights, seed) for weights in groups.values()]
            head = {**comparison(cell, reference), "benchmark": name}
            table = pd.DataFrame({**head, by: list(groups), **pd.DataFrame(rows)})
            single = table[by] != "all"
            table["p_adjusted"] = table["p"]
            table.loc[single, "p_adjusted"] = adjusted(table.loc[single, "p"], correction)
            frames.append(table.assign(correction=correction))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _compared(
    now: NDArray[np.float64], then: NDArray[np.float64], frame: _Paradigms, weights: NDArray[np.float64], seed: int
) -> dict[str, float]:
    inside = (weights > 0)[frame.paradigm]
    change = np.nan_to_num(now - then)[inside]
    per_pair = (weights / np.maximum(frame.n_pairs, 1))[frame.paradigm][inside]
    by_cluster = np.bincount(frame.cluster[inside], weights=change * per_pair)
    return {
        "n_lost": float(-change[change < 0].sum()), "n_gained": float(change[change > 0].sum()),
        "delta_accuracy": float(by_cluster.sum()), "p": sign_flip_test(by_cluster, seed=seed),
    }  # fmt: skip


class _Paradigms(NamedTuple):
    """Which paradigm and which cluster every pair of a benchmark belongs to."""

    names: NDArray[np.str_]
    phenomenon: list[str]
    """Of every paradigm."""
    paradigm: NDArray[np.intp]
    """Of every pair."""
    cluster: NDArray[np.intp]
    """Of every pair: pairs that share a sentence are one cluster."""

    @classmethod
    def of(cls, store: xr.Dataset, places: NDArray[np.intp]) -> _Paradigms:
        names, paradigm = np.unique(store["paradigm"].values[places].astype(str), return_inverse=True)
        phenomenon = store["phenomenon"].values[places].astype(str)
        first = [str(phenomenon[paradigm == k][0]) for k in range(len(names))]
        return cls(names, first, paradigm, pair_clusters(store)[places])

    @property
    def n_pairs(self) -> NDArray[np.intp]:
        """Of every paradigm."""
        return np.bincount(self.paradigm, minlength=len(self.names))

    def groups(self, by: str) -> dict[str, NDArray[np.float64]]:
        """Weights of the paradigms in every row of a table; each sums to 1."""
        of = np.array(self.phenomenon if by == "phenomenon" else self.names)
        groups = {str(name): (of == name).astype(float) for name in dict.fromkeys(of.tolist())}
        groups |= {"all": np.ones(len(self.names)), "all pairs": self.n_pairs.astype(float)}
        return {name: weights / weights.sum() for name, weights in groups.items()}


def _benchmarks(store: xr.Dataset) -> dict[str, NDArray[np.intp]]:
    """Where the pairs of every benchmark are."""
    names = store["benchmark"].values.astype(str)
    return {name: np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())}


def _right(margins: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 for right, 0 for wrong or tied, NaN where the score is not defined."""
    return np.where(np.isnan(margins), np.nan, margins > 0)


def _by_paradigm(values: NDArray[np.float64], frame: _Paradigms, seed: int) -> Bootstrap:
    """Mean per paradigm of `values` (seed, pair), clusters resampled within each; one draw of seeds for all."""
    estimate = np.empty(len(frame.names))
    replicates = np.empty((N_REPLICATES, len(frame.names)))
    for k in range(len(frame.names)):
        inside = (frame.paradigm == k) & ~np.isnan(values).any(axis=0)
        if not inside.any():
            estimate[k], replicates[:, k] = np.nan, np.nan
            continue
        cluster = np.unique(frame.cluster[inside], return_inverse=True)[1]
        sums = np.stack([np.bincount(cluster, weights=row[inside]).astype(np.float64) for row in values])[..., None]
        counts = np.bincount(cluster)[:, None].astype(np.float64)
        boot = cluster_bootstrap(sums, counts, N_REPLICATES, np.random.default_rng([seed, k]), np.random.default_rng(seed))
        estimate[k], replicates[:, k] = boot.estimate[0], boot.replicates[:, 0]
    return Bootstrap(estimate, replicates)


def _weighted(boot: Bootstrap, weights: NDArray[np.float64]) -> Bootstrap:
    """A weighted mean over paradigms; those without a value are left out."""
    known = (weights > 0) & ~np.isnan(boot.estimate)
    share = weights[known] / weights[known].sum()
    return Bootstrap((boot.estimate[known] @ share)[None], (boot.replicates[:, known] @ share)[:, None])
