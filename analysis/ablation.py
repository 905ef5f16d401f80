"""What an intervention changed: perplexity, surprisal by part of speech, grammar and memory.

Owns the tables of an ablation store. Every interval is a percentile bootstrap that draws the
resampled units and, where neurons were drawn at random, the seeds. Conditions that differ only
in the seed are one cohort.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from actstore.schema import BASELINE, CHECKPOINT, CONDITION, NO_WORD, OPTION, PAIR
from analysis.kernels.resampling import Bootstrap, cluster_bootstrap

N_REPLICATES = 2000


class _Cell(NamedTuple):
    """One cohort under one intervention at one checkpoint."""

    labels: dict[str, object]
    conditions: np.ndarray
    """Positions on `condition`, one a seed."""
    step: int
    """Position on `checkpoint`."""
    baseline: int


def _cells(store: xr.Dataset) -> Iterator[_Cell]:
    frame = pd.DataFrame({name: store[name].values for name in ("intervention", "cohort", "n_neurons")})
    baseline = int(np.flatnonzero(frame["intervention"] == BASELINE)[0])
    for step, checkpoint in enumerate(store[CHECKPOINT].values):
        for (intervention, cohort), group in frame.groupby(["intervention", "cohort"], sort=False):
            labels = {
                "checkpoint": int(checkpoint), "intervention": intervention, "cohort": cohort,
                "n_neurons": int(group["n_neurons"].iloc[0]), "n_seeds": len(group),
            }  # fmt: skip
            yield _Cell(labels, group.index.to_numpy(), step, baseline)


def _bounds(name: str, boot: Bootstrap) -> dict[str, np.ndarray]:
    lower, upper = boot.interval()
    return {name: boot.estimate, f"{name}_lower": lower, f"{name}_upper": upper}


def _group_sums(values: np.ndarray, cluster: np.ndarray, group: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Sum of `values` (row,) in every (cluster, group)."""
    flat = np.bincount(cluster * shape[1] + group, weights=values, minlength=shape[0] * shape[1])
    return flat.reshape(shape)


def _clustered(values: np.ndarray, cluster: np.ndarray, group: np.ndarray, n_groups: int, seed: int) -> Bootstrap:
    """Mean of `values` (seed, row) per group, resampling clusters and seeds."""
    shape = (int(cluster.max()) + 1, n_groups)
    sums = np.stack([_group_sums(row, cluster, group, shape) for row in values])
    counts = _group_sums(np.ones(len(cluster)), cluster, group, shape)
    return cluster_bootstrap(sums, counts, N_REPLICATES, np.random.default_rng(seed))


def perplexity_table(store: xr.Dataset, seed: int = 0) -> pd.DataFrame:
    """Perplexity of every condition and its ratio to the intact model's.

    Parameters
    ----------
    store : Dataset
        An ablation store.
    seed : int
        Seed of the bootstrap (by document).

    Returns
    -------
    DataFrame
        One row a (checkpoint, intervention, cohort): `perplexity` (geometric mean over seeds),
        `perplexity_ratio` with its 95% bounds, `n_tokens`.
    """
    scored = store["is_scored"].values
    _, cluster = np.unique(store["document"].values[scored], return_inverse=True)
    surprisal = store["ablated_surprisal"].values[:, :, scored].astype(float)
    rows = []
    for cell in _cells(store):
        values = surprisal[cell.step, cell.conditions]
        delta = values - surprisal[cell.step, cell.baseline]
        boot = _clustered(delta, cluster, np.zeros_like(cluster), 1, seed)
        ratio = Bootstrap(np.exp(boot.estimate), np.exp(boot.replicates))
        bounds: dict[str, object] = {key: float(value[0]) for key, value in _bounds("perplexity_ratio", ratio).items()}
        rows.append({**cell.labels, "perplexity": float(np.exp(values.mean())), **bounds, "n_tokens": int(scored.sum())})
    return pd.DataFrame(rows)


def word_table(store: xr.Dataset) -> tuple[pd.DataFrame, np.ndarray]:
    """Words with all pieces scored, and their surprisal in every checkpoint and condition.

    Returns
    -------
    words : DataFrame
        One row a word: `word`, `document`, `sentence`, `upos`, `deprel`, `word_form`, `n_pieces`.
    surprisal : array (checkpoint, condition, word)
        Sum over the word's pieces, in nats.
    """
    columns = ("word", "document", "sentence", "upos", "deprel", "word_form", "is_scored")
    tokens = pd.DataFrame({name: store[name].values for name in columns})
    tokens = tokens[tokens["word"] != NO_WORD]
    grouped = tokens.groupby("word", sort=True)
    words = grouped[["document", "sentence", "upos", "deprel", "word_form"]].first()
    words["n_pieces"] = grouped.size()
    complete = grouped["is_scored"].all()
    words = words[complete].reset_index()
    values = store["ablated_surprisal"].values[:, :, tokens.index].astype(float)
    order = np.searchsorted(words["word"].to_numpy(), tokens["word"].to_numpy())
    inside = complete.loc[tokens["word"]].to_numpy()
    surprisal = np.zeros((*values.shape[:2], len(words)))
    for index in np.ndindex(values.shape[:2]):
        surprisal[index] = np.bincount(order[inside], weights=values[index][inside], minlength=len(words))
    return words, surprisal


def surprisal_by_upos(store: xr.Dataset, seed: int = 0) -> pd.DataFrame:
    """Mean change of a word's surprisal against the intact model, by universal part of speech.

    Parameters
    ----------
    store : Dataset
        An ablation store whose text has parts of speech.
    seed : int
        Seed of the bootstrap (by document).

    Returns
    -------
    DataFrame
        One row a (checkpoint, intervention, cohort, upos): `delta_surprisal` in nats per word
        with its 95% bounds, `n_words`. Empty where no word has a part of speech.
    """
    words, surprisal = word_table(store)
    tagged = (words["upos"] != "").to_numpy()
    words, surprisal = words[tagged], surprisal[:, :, tagged]
    if words.empty:
        return pd.DataFrame()
    names, group = np.unique(words["upos"].to_numpy(dtype=str), return_inverse=True)
    _, cluster = np.unique(words["document"].to_numpy(), return_inverse=True)
    frames = []
    for cell in _cells(store):
        if cell.labels["intervention"] == BASELINE:
            continue
        delta = surprisal[cell.step, cell.conditions] - surprisal[cell.step, cell.baseline]
        bounds = _bounds("delta_surprisal", _clustered(delta, cluster, group, len(names), seed))
        frames.append(pd.DataFrame({**cell.labels, "upos": names, **bounds, "n_words": np.bincount(group)}))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def accuracy_by_phenomenon(store: xr.Dataset, seed: int = 0) -> pd.DataFrame:
    """Minimal-pair accuracy per phenomenon and over all, and its change against the intact model.

    Parameters
    ----------
    store : Dataset
        An ablation store with minimal pairs.
    seed : int
        Seed of the bootstrap (by pair, within paradigms).

    Returns
    -------
    DataFrame
        One row a (checkpoint, intervention, cohort, phenomenon), and `all` for the mean over all
        paradigms: `accuracy` and `delta_accuracy` with their 95% bounds, `n_pairs`, `n_ties`.
        A phenomenon is the mean of its paradigms (macro-average).

    Notes
    -----
    A pair is right if the good sentence has the higher total log-probability; a tie is wrong
    here and counted in `n_ties` (summed over seeds).
    """
    margin = (store["log_probability_good"] - store["log_probability_bad"]).transpose(CHECKPOINT, CONDITION, PAIR).values
    paradigms, group = np.unique(store["paradigm"].values.astype(str), return_inverse=True)
    phenomenon_of = np.array([str(store["phenomenon"].values[group == k][0]) for k in range(len(paradigms))])
    sets = {name: phenomenon_of == name for name in dict.fromkeys(store["phenomenon"].values.astype(str))}
    sets["all"] = np.ones(len(paradigms), dtype=bool)
    right = (margin > 0).astype(float)
    rows = []
    for cell in _cells(store):
        now, before = right[cell.step, cell.conditions], right[cell.step, cell.baseline]
        absolute = _by_paradigm(now, group, len(paradigms), seed)
        change = _by_paradigm(now - before, group, len(paradigms), seed)
        ties = (margin[cell.step, cell.conditions] == 0).sum(axis=0)
        for name, members in sets.items():
            row = {**cell.labels, "phenomenon": name}
            for label, boot in (("accuracy", absolute), ("delta_accuracy", change)):
                macro = Bootstrap(
                    boot.estimate[members].mean(keepdims=True), boot.replicates[:, members].mean(axis=1, keepdims=True)
                )
                row |= {key: float(value[0]) for key, value in _bounds(label, macro).items()}
            inside = members[group]
            rows.append({**row, "n_pairs": int(inside.sum()), "n_ties": int(ties[inside].sum())})
    return pd.DataFrame(rows)


def _by_paradigm(values: np.ndarray, group: np.ndarray, n_paradigms: int, seed: int) -> Bootstrap:
    """Mean per paradigm, pairs resampled within each; one draw of seeds for all paradigms."""
    n_seeds = len(values)
    rng = np.random.default_rng(seed)
    seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=N_REPLICATES) / n_seeds
    estimate = np.empty(n_paradigms)
    replicates = np.empty((N_REPLICATES, n_paradigms))
    for k in range(n_paradigms):
        inside = values[:, group == k]
        n_pairs = inside.shape[1]
        weights = rng.multinomial(n_pairs, np.full(n_pairs, 1 / n_pairs), size=N_REPLICATES) / n_pairs
        estimate[k] = inside.mean()
        replicates[:, k] = np.einsum("rs,rs->r", seeds, weights @ inside.T)
    return Bootstrap(estimate, replicates)


def probe_table(store: xr.Dataset, seed: int = 0) -> pd.DataFrame:
    """Accuracy of the non-grammatical probes and its change against the intact model.

    Parameters
    ----------
    store : Dataset
        An ablation store with probes.
    seed : int
        Seed of the bootstrap (by item).

    Returns
    -------
    DataFrame
        One row a (checkpoint, intervention, cohort, probe): `accuracy` and `delta_accuracy` with
        their 95% bounds, `n_items`, `chance`.
    """
    scores = store["log_probability_option"]
    right = (scores.argmax(OPTION) == store["answer"]).transpose(CHECKPOINT, CONDITION, ...).values.astype(float)
    names, group = np.unique(store["probe"].values.astype(str), return_inverse=True)
    item = np.arange(len(group))
    frames = []
    for cell in _cells(store):
        now, before = right[cell.step, cell.conditions], right[cell.step, cell.baseline]
        absolute = _bounds("accuracy", _clustered(now, item, group, len(names), seed))
        change = _bounds("delta_accuracy", _clustered(now - before, item, group, len(names), seed))
        counts = {"n_items": np.bincount(group), "chance": 1 / scores.sizes[OPTION]}
        frames.append(pd.DataFrame({**cell.labels, "probe": names, **absolute, **change, **counts}))
    return pd.concat(frames, ignore_index=True)


def ablation_tables(store: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Every table that an ablation store supports, by file name."""
    tables = {"perplexity": perplexity_table(store), "surprisal_by_upos": surprisal_by_upos(store)}
    if "log_probability_good" in store:
        tables["accuracy_by_phenomenon"] = accuracy_by_phenomenon(store)
    if "log_probability_option" in store:
        tables["probes"] = probe_table(store)
    return {name: table for name, table in tables.items() if len(table)}
