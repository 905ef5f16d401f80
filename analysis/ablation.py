"""What an intervention changed: perplexity, surprisal by part of speech, probes and tasks.

Owns the tables of an ablation store; those of minimal pairs are `grammar.py`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from actstore.schema import CHECKPOINT, CONDITION, LAYER, NEURON, OPTION
from analysis.cells import bounds, cells, clustered
from analysis.dissociation import dissociation
from analysis.grammar import MARGIN, pair_accuracy, paired_tests
from analysis.kernels.resampling import Bootstrap
from analysis.words import word_table


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
        `perplexity_ratio` with its 95% bounds, `n_tokens`; `controls`, the cohort that it controls
        for; of a perplexity-matched control `target_perplexity`, which is that cohort's measured one,
        `tolerance`, and `is_matched`: 1 if the measured perplexities are within the tolerance and within
        a tenth of the rise of one another, 0 if not; -1 of all others.
    """
    scored = store["is_scored"].values
    _, cluster = np.unique(store["document"].values[scored], return_inverse=True)
    surprisal = store["ablated_surprisal"].values[:, :, scored].astype(float)
    rows = []
    for cell in cells(store):
        values = surprisal[cell.step, cell.conditions]
        delta = values - surprisal[cell.step, cell.baseline]
        boot = clustered(delta, cluster, np.zeros_like(cluster), 1, seed)
        ratio = Bootstrap(np.exp(boot.estimate), np.exp(boot.replicates))
        interval = {key: float(value[0]) for key, value in bounds("perplexity_ratio", ratio).items()}
        match = {"target_perplexity": cell.target_perplexity, "tolerance": cell.tolerance}
        measured = {"perplexity": float(np.exp(values.mean())), **interval, **match}
        rows.append({**cell.labels, **measured, "n_tokens": int(scored.sum())})
    return pd.DataFrame(rows)


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
    for cell in cells(store):
        if cell.is_intact:
            continue
        delta = surprisal[cell.step, cell.conditions] - surprisal[cell.step, cell.baseline]
        columns = bounds("delta_surprisal", clustered(delta, cluster, group, len(names), seed))
        frames.append(pd.DataFrame({**cell.labels, "upos": names, **columns, "n_words": np.bincount(group)}))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


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
    for cell in cells(store):
        now, before = right[cell.step, cell.conditions], right[cell.step, cell.baseline]
        absolute = bounds("accuracy", clustered(now, item, group, len(names), seed))
        change = bounds("delta_accuracy", clustered(now - before, item, group, len(names), seed))
        counts = {"n_items": np.bincount(group), "chance": 1 / scores.sizes[OPTION]}
        frames.append(pd.DataFrame({**cell.labels, "probe": names, **absolute, **change, **counts}))
    return pd.concat(frames, ignore_index=True)


def task_table(store: xr.Dataset, seed: int = 0) -> pd.DataFrame:
    """Mean score of every task by every metric, and its change against the intact model.

    Parameters
    ----------
    store : Dataset
        An ablation store with tasks of lm-evaluation-harness.
    seed : int
        Seed of the bootstrap (by item).

    Returns
    -------
    DataFrame
        One row a (checkpoint, intervention, cohort, task, metric): `score` and `delta_score` with
        their 95% bounds, `n_items`. A metric without a number an item has NaN.
    """
    scores = store["task_score"].transpose(CHECKPOINT, CONDITION, ...).values
    names = pd.DataFrame({name: store[name].values.astype(str) for name in ("task", "metric")})
    frames = []
    for (task, metric), rows in names.groupby(["task", "metric"], sort=False):
        index = rows.index.to_numpy()
        item, zero = np.arange(len(index)), np.zeros(len(index), dtype=np.intp)
        for cell in cells(store):
            now, before = scores[cell.step, cell.conditions][:, index], scores[cell.step, cell.baseline, index]
            columns = bounds("score", clustered(now, item, zero, 1, seed))
            columns |= bounds("delta_score", clustered(now - before, item, zero, 1, seed))
            frames.append(pd.DataFrame({**cell.labels, "task": task, "metric": metric, **columns, "n_items": len(index)}))
    return pd.concat(frames, ignore_index=True)


def edited_by_layer(store: xr.Dataset) -> pd.DataFrame:
    """How many neurons of every layer each condition edits.

    Parameters
    ----------
    store : Dataset
        An ablation store.

    Returns
    -------
    DataFrame
        One row a (checkpoint, condition, layer): `n_edited`, and `edited_frac` of the layer's
        neurons.
    """
    edited = store["is_edited"]
    counts = edited.sum(NEURON).rename("n_edited").reset_coords(drop=True)
    table = counts.assign_coords({name: store[name] for name in (CHECKPOINT, CONDITION, LAYER)}).to_dataframe().reset_index()
    return table.assign(edited_frac=table["n_edited"] / edited.sizes[NEURON])


def ablation_tables(
    store: xr.Dataset, score: str = "total", correction: str = "holm", margin: float = MARGIN
) -> dict[str, pd.DataFrame]:
    """Every table that an ablation store supports, by file name.

    Parameters
    ----------
    store : Dataset
        An ablation store.
    score, correction, margin
        As in `pair_accuracy`, `paired_tests` and `dissociation`.

    Returns
    -------
    dict of str to DataFrame
    """
    tables = {
        "perplexity": perplexity_table(store),
        "surprisal_by_upos": surprisal_by_upos(store),
        "edited_by_layer": edited_by_layer(store),
    }
    if "log_probability_good" in store:
        tables["accuracy_by_phenomenon"] = pair_accuracy(store, "phenomenon", score, margin=margin)
        tables["accuracy_by_paradigm"] = pair_accuracy(store, "paradigm", score, margin=margin)
        tables["paired_tests"] = paired_tests(store, score=score, correction=correction)
    if "log_probability_option" in store:
        tables["probes"] = probe_table(store)
    if "task_score" in store:
        tables["tasks"] = task_table(store)
    if "log_probability_good" in store and ("log_probability_option" in store or "task_score" in store):
        tables["dissociation"] = dissociation(store, score, correction, margin)
    return {name: table for name, table in tables.items() if len(table)}
