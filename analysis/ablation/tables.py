"""What an intervention changed: perplexity, surprisal by part of speech, probes and tasks.

Owns the tables of an ablation store; those of minimal pairs are in `minimal_pairs.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from actstore.store.schema import CHECKPOINT, CONDITION, LAYER, NEURON, OPTION
from analysis.ablation.choices import choice_margins
from analysis.ablation.minimal_pairs import MARGIN
from analysis.ablation.registry import TABLES, TableOptions, register_table
from analysis.conditions import bounds, counted, measured_cohorts
from analysis.kernels.clusters import Clusters
from analysis.surprisal.words import word_table


def perplexity_table(store: xr.Dataset) -> pd.DataFrame:
    """Perplexity of every condition and its ratio to the intact model's.

    Parameters
    ----------
    store : Dataset
        An ablation store.

    Returns
    -------
    DataFrame
        One row a (checkpoint, intervention, cohort):

        - `perplexity`: geometric mean over draws. `perplexity_ratio` with its 95% bounds, which are NaN
          where there is only one document.
        - `n_tokens`; `n_clusters` and `cluster`: documents.
        - `target_scope`: the scope of the top cohort that this one controls for; empty for none.
        - `target_perplexity`, `tolerance`: of a perplexity-matched control, the measured perplexity of
          that top cohort, and the difference allowed; NaN of all others.
        - `is_matched`: of a perplexity-matched control, 1 if the two measured perplexities are within
          the tolerance, and within a tenth of the rise, of one another, and 0 if not; -1 of all others.

    Notes
    -----
    The interval is that of the mean change of surprisal per token, on the log scale: `analysis.kernels.clusters`.
    """
    is_scored = store["is_scored"].values
    clusters = Clusters.of(_codes(store["document"].values[is_scored]))
    surprisal = store["ablated_surprisal"].values[:, :, is_scored].astype(float)
    rows = []
    for cohort in measured_cohorts(store):
        values = cohort.of(surprisal)
        change = bounds("perplexity_ratio", clusters.estimate(values - cohort.intact(surprisal)))
        row = {
            **cohort.labels,
            "perplexity": float(np.exp(values.mean())),
            **{key: float(np.exp(value[0])) for key, value in change.items()},
            "target_perplexity": cohort.target_perplexity,
            "tolerance": cohort.tolerance,
            "n_tokens": int(is_scored.sum()),
        }
        rows.append(row)
    return pd.DataFrame(rows).assign(n_clusters=clusters.n_clusters[0], cluster="document")


def surprisal_by_upos(store: xr.Dataset) -> pd.DataFrame:
    """Mean change of a word's surprisal against the intact model, by universal part of speech.

    Parameters
    ----------
    store : Dataset
        An ablation store whose text has parts of speech.

    Returns
    -------
    DataFrame
        One row a (checkpoint, intervention, cohort, upos): `delta_surprisal` in nats per word
        with its 95% bounds, which are NaN where only one document has such a word; `n_words`;
        `n_clusters` and `cluster`: documents with such a word. Empty where no word has a part of speech.
    """
    words, surprisal = word_table(store)
    is_tagged = (words["upos"] != "").to_numpy()
    words, surprisal = words[is_tagged], surprisal[:, :, is_tagged]
    if words.empty:
        return pd.DataFrame()
    names, group = np.unique(words["upos"].to_numpy(dtype=str), return_inverse=True)
    clusters = Clusters.of(_codes(words["document"].to_numpy()), group)
    counts = {"n_words": np.bincount(group), **counted(clusters, "document")}
    frames = []
    for cohort in measured_cohorts(store):
        if cohort.is_intact:
            continue
        delta = cohort.of(surprisal) - cohort.intact(surprisal)
        columns = bounds("delta_surprisal", clusters.estimate(delta))
        frames.append(pd.DataFrame({**cohort.labels, "upos": names, **columns, **counts}))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _codes(values: NDArray[Any]) -> NDArray[np.intp]:
    """The level of each value, as a number from 0."""
    return np.unique(values, return_inverse=True)[1]


def probe_table(store: xr.Dataset) -> pd.DataFrame:
    """Accuracy of the probes, which do not ask for grammar, and its change against the intact model.

    Parameters
    ----------
    store : Dataset
        An ablation store with probes.

    Returns
    -------
    DataFrame
        One row a (checkpoint, intervention, cohort, probe): `accuracy` and `delta_accuracy`, `margin` and `delta_margin`
        (log-probability of the right option less that of the best wrong one, in nats) with their 95% bounds; `n_items`,
        `chance`, `n_clusters` and `cluster` (items).
    """
    scores = store["log_probability_option"]
    margins = choice_margins(store)
    right = (margins > 0).astype(float)
    names, group = np.unique(store["probe"].values.astype(str), return_inverse=True)
    clusters = Clusters.of(np.arange(len(group)), group)
    counts = {"n_items": np.bincount(group), "chance": 1 / scores.sizes[OPTION], **counted(clusters, "item")}
    frames = []
    for cohort in measured_cohorts(store):
        ablated, intact = cohort.of(right), cohort.intact(right)
        accuracy = bounds("accuracy", clusters.estimate(ablated, binary=True), 0, 1)
        change = bounds("delta_accuracy", clusters.estimate(ablated - intact, binary=True))
        of_cohort, of_intact = cohort.of(margins), cohort.intact(margins)
        margin = bounds("margin", clusters.estimate(of_cohort))
        margin |= bounds("delta_margin", clusters.estimate(of_cohort - of_intact))
        frames.append(pd.DataFrame({**cohort.labels, "probe": names, **accuracy, **change, **margin, **counts}))
    return pd.concat(frames, ignore_index=True)


def task_table(store: xr.Dataset) -> pd.DataFrame:
    """Mean score of every task by every metric, and its change against the intact model.

    Parameters
    ----------
    store : Dataset
        An ablation store with tasks of lm-evaluation-harness.

    Returns
    -------
    DataFrame
        One row a (checkpoint, intervention, cohort, task, metric): `score` and `delta_score` with
        their 95% bounds, `n_items`, `n_clusters` and `cluster` (items). NaN where a metric gives no number for each item.
    """
    scores = store["task_score"].transpose(CHECKPOINT, CONDITION, ...).values
    names = pd.DataFrame({name: store[name].values.astype(str) for name in ("task", "metric")})
    frames = []
    for (task, metric), rows in names.groupby(["task", "metric"], sort=False):
        of_metric, clusters = scores[..., rows.index.to_numpy()], Clusters.of(np.arange(len(rows)))
        is_binary = bool(np.isin(of_metric, (0, 1)).all())
        counts = {"n_items": len(rows), **counted(clusters, "item")}
        for cohort in measured_cohorts(store):
            ablated, intact = cohort.of(of_metric), cohort.intact(of_metric)
            columns = bounds("score", clusters.estimate(ablated, binary=is_binary), *((0, 1) if is_binary else ()))
            columns |= bounds("delta_score", clusters.estimate(ablated - intact, binary=is_binary))
            frames.append(pd.DataFrame({**cohort.labels, "task": task, "metric": metric, **columns, **counts}))
    return pd.concat(frames, ignore_index=True)


def edited_by_layer(store: xr.Dataset) -> pd.DataFrame:
    """Number of neurons of every layer that each condition edits.

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
    is_edited = store["is_edited"]
    counts = is_edited.sum(NEURON).rename("n_edited").reset_coords(drop=True)
    table = counts.assign_coords({name: store[name] for name in (CHECKPOINT, CONDITION, LAYER)}).to_dataframe().reset_index()
    return table.assign(edited_frac=table["n_edited"] / is_edited.sizes[NEURON])


def ablation_tables(
    store: xr.Dataset, score: str = "total", correction: str = "holm", margin: float = MARGIN
) -> dict[str, pd.DataFrame]:
    """Every table that an ablation store has the data for.

    Parameters
    ----------
    store : Dataset
        An ablation store.
    score, correction, margin
        As in `pair_accuracy`, `paired_tests` and `dissociation`.

    Returns
    -------
    dict of str to DataFrame
        Name of the file → table; empty tables are left out.
    """
    options = TableOptions(score, correction, margin)
    tables = {name: table.compute(store, options) for name, table in TABLES.entries.items() if table.needs in store}
    return {name: table for name, table in tables.items() if len(table)}


register_table("perplexity", needs="ablated_surprisal")(lambda store, _: perplexity_table(store))
register_table("surprisal_by_upos", needs="ablated_surprisal")(lambda store, _: surprisal_by_upos(store))
register_table("edited_by_layer")(lambda store, _: edited_by_layer(store))
register_table("probes", needs="log_probability_option", readout="probes")(lambda store, _: probe_table(store))
register_table("tasks", needs="task_score", readout="tasks")(lambda store, _: task_table(store))
