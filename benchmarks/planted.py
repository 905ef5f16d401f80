"""Made-up results whose truth is known, shaped like real ones: skewed changes, unequal documents, binary pairs in clusters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

ACCURACY, CHANGE = 0.85, -0.05
"""Of minimal pairs and items: under the intact model, and by the ablation."""
_HEAD = ("checkpoint", "condition")
_TOKENS_A_DOCUMENT = 100
_RARE_SHARE = 5
"""The rare class is in every fifth document, in two at least."""


def documents(rng: np.random.Generator, n: int) -> NDArray[np.int64]:
    """(token,) Document of every token: sizes are log-normal, the largest of twenty some ten times the smallest."""
    sizes = np.maximum(10, np.round(_TOKENS_A_DOCUMENT * rng.lognormal(-0.18, 0.6, n))).astype(int)
    return np.repeat(np.arange(n), sizes)


def changes(rng: np.random.Generator, document: NDArray[np.int64], n: int, of_document: float = 0.15) -> NDArray[np.float64]:
    """(n, token) Changes of surprisal of mean 0: skewness 3.7 of tokens and 2 of documents' effects."""
    tokens = (rng.gamma(0.3, size=(n, len(document))) - 0.3) / 0.3**0.5
    effects = of_document * (rng.exponential(size=(n, document.max() + 1)) - 1)
    return tokens + effects[:, document]


def conditions(cohorts: Sequence[tuple[str, str, str, int]]) -> dict[str, tuple[str, list[object]]]:
    """Coordinates of `condition`: the intact model, then cohorts (name, rule, scope of the top cohort it controls for, draws)."""
    rows = [("none", "none", "none", "")]
    rows += [("negative-zero", name, rule, target) for name, rule, target, n_draws in cohorts for _ in range(n_draws)]
    intervention, cohort, rule, target_scope = map(list, zip(*rows, strict=True))
    n = len(rows)
    columns: dict[str, list[object]] = {
        "intervention": intervention,
        "cohort": cohort,
        "rule": rule,
        "target_scope": target_scope,
        "statistic": ["wasserstein_distance"] * n,
        "fraction": [0.01] * n,
        "scope": ["layer"] * n,
        "first_layer": [0] * n,
        "last_layer": [0] * n,
        "chosen_at": ["same"] * n,
        "tolerance": [np.nan] * n,
    }
    return {name: ("condition", values) for name, values in columns.items()}


def ablation_store(cohorts: Sequence[tuple[str, str, str, int]], **arrays: object) -> xr.Dataset:
    """An ablation store of one checkpoint with these cohorts and arrays."""
    named = conditions(cohorts)
    n = len(named["cohort"][1])
    fixed = {
        "is_edited": ((*_HEAD, "layer", "neuron"), np.zeros((1, n, 1, 1), dtype=bool)),
        "perplexity": (_HEAD, np.ones((1, n))),
    }
    return xr.Dataset(fixed | arrays, coords={"checkpoint": [0], "layer": [0], **named})


def text_store(rng: np.random.Generator, n_documents: int, cohorts: Sequence[tuple[str, str, str, int]]) -> xr.Dataset:
    """Surprisal of a text whose mean change is 0 under every cohort; draws have effects of their own, and so have documents."""
    document = documents(rng, n_documents)
    n = len(document)
    rows = [np.zeros((1, n))]
    for *_, n_draws in cohorts:
        own = 0.5 * changes(rng, document, n_draws) + 0.05 * rng.normal(size=(n_draws, 1)) * (n_draws > 1)
        rows.append(own + changes(rng, document, 1))
    rare = np.isin(document, rng.permutation(n_documents)[: max(2, n_documents // _RARE_SHARE)]) & (rng.random(n) < 0.1)
    token = {
        "document": document,
        "sentence": np.arange(n) // 8,
        "word": np.arange(n),
        "upos": np.where(rare, "INTJ", "NOUN"),
        "word_form": np.full(n, "w"),
        "position": np.arange(n) % 100,
        "is_scored": np.ones(n, dtype=bool),
    }
    store = ablation_store(cohorts, ablated_surprisal=((*_HEAD, "token"), 3 + np.concatenate(rows)[None]))
    return store.assign_coords({name: ("token", values) for name, values in token.items()})


def _right(
    rng: np.random.Generator, cluster: NDArray[np.int64], change: float, cohorts: Sequence[tuple[str, str, str, int]]
) -> NDArray[np.bool_]:
    """(condition, item) Right answers: items of a cluster are alike, draws have effects of their own."""
    n_clusters = cluster.max() + 1
    difficulty, own = rng.random(n_clusters)[cluster], rng.random(len(cluster))
    shared = np.where(rng.random(len(cluster)) < 0.6, difficulty, own)
    rows = [shared < ACCURACY]
    for *_, n_draws in cohorts:
        flips = rng.random((n_draws, n_clusters))[:, cluster]
        loss = (-change / ACCURACY) * np.clip(1 + 0.3 * rng.normal(size=(n_draws, 1)) * (n_draws > 1), 0, 2)
        rows.append((shared < ACCURACY) & (flips >= loss))
    return np.concatenate([np.atleast_2d(row) for row in rows])


def item_store(
    rng: np.random.Generator, n_clusters: int, cohorts: Sequence[tuple[str, str, str, int]], change: float = CHANGE
) -> xr.Dataset:
    """Minimal pairs of two paradigms, in clusters of one to three, and probe items; all change alike."""
    sizes = rng.integers(1, 4, 2 * n_clusters)
    cluster = np.repeat(np.arange(2 * n_clusters), sizes)
    right = _right(rng, cluster, change, cohorts)
    is_known = _right(rng, np.arange(n_clusters), change, cohorts)
    margins = np.where(right, 1.0, -1.0)[None]
    scores = np.stack([is_known, ~is_known], axis=-1)[None].astype(float)
    n_pairs = len(cluster)
    pair = {
        "benchmark": np.full(n_pairs, "b"),
        "phenomenon": np.full(n_pairs, "p"),
        "paradigm": np.where(cluster < n_clusters, "one", "two"),
        "sentence_bad": np.array([f"bad {i}" for i in range(n_pairs)]),
        "sentence_good": np.array([f"good {c}" for c in cluster]),
    }
    store = ablation_store(
        cohorts,
        log_probability_good=((*_HEAD, "pair"), margins),
        log_probability_bad=((*_HEAD, "pair"), 0 * margins),
        log_probability_option=((*_HEAD, "item", "option"), scores),
    )
    item = {"answer": np.zeros(n_clusters, dtype=int), "probe": np.full(n_clusters, "facts")}
    labels = {name: ("pair", values) for name, values in pair.items()} | {
        name: ("item", values) for name, values in item.items()
    }
    return store.assign_coords(labels)


def word_table(rng: np.random.Generator, n_documents: int, n_draws: int = 1) -> pd.DataFrame:
    """Words under a top cohort and a random one whose mean changes are alike: word types by a power law, three classes."""
    document = documents(rng, n_documents)
    n = len(document)
    share = np.arange(1, 301) ** -0.9
    word_type = rng.choice(300, p=share / share.sum(), size=n)
    word_class = np.where(word_type % 5 < 2, "scaffolding", "content")
    few = rng.permutation(n_documents)[: max(2, n_documents // _RARE_SHARE)]
    word_class[np.isin(document, few) & (word_type % 15 == 1)] = "rare"
    shared = rng.normal(0, 0.1, 300)[word_type] + changes(rng, document, 1, 0.15)[0] * 0.3
    top = shared + rng.normal(0, 0.1, 300)[word_type] + 0.7 * changes(rng, document, 1, 0.2)[0]
    draws = shared + 0.7 * changes(rng, document, n_draws, 0.2) + 0.05 * rng.normal(size=(n_draws, 1)) * (n_draws > 1)
    words = {"word_class": word_class, "word_type": word_type, "document": document, "position": rng.integers(1, 128, n)}
    single = {f"delta_draw_{k}": values for k, values in enumerate(draws, 1)} if n_draws > 1 else {}
    return pd.concat(
        [
            pd.DataFrame({**words, "condition": "top", "delta": top}),
            pd.DataFrame({**words, "condition": "random", "delta": draws.mean(axis=0), **single}),
        ],
        ignore_index=True,
    )


def layer_store(rng: np.random.Generator, n_documents: int, n_tokens: int = 900, n_neurons: int = 24) -> xr.Dataset:
    """A layer of Gaussian neurons of different means, and inputs in groups of near neighbours that they know nothing of."""
    group = rng.integers(0, 60, n_tokens)
    inputs = rng.normal(size=(60, 12))[group] + 0.2 * rng.normal(size=(n_tokens, 12))
    values = rng.normal(size=(n_tokens, n_neurons)) + rng.normal(0, 0.5, n_neurons)
    document = documents(rng, n_documents)
    token_index = np.sort(rng.choice(len(document), n_tokens, replace=len(document) < n_tokens))
    upos = np.array(["NOUN", "DET", "VERB"], dtype=object)[group % 3]
    token = {
        "token_id": rng.integers(0, 40, n_tokens),
        "position": 1 + np.arange(n_tokens) % 50,
        "document": document[token_index],
        "sentence": np.arange(n_tokens) // 10,
        "window": np.arange(n_tokens) // 50,
        "word": np.arange(n_tokens),
        "upos": upos,
        "deprel": upos,
        "word_form": upos,
        "token_text": upos,
    }
    return xr.Dataset(
        {
            "preactivation": (("layer", "token", "neuron"), values[None].astype(np.float32)),
            "mlp_input": (("layer", "token", "hidden"), inputs[None].astype(np.float32)),
        },
        coords={"layer": [0], **{name: ("token", column) for name, column in token.items()}},
    )
