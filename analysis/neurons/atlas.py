"""The neuron atlas: which tokens the negative region of each Wasserstein neuron separates.

Owns the table of one row a neuron: which syntactic feature its clusters of negative values follow, the tokens in these
clusters, the parts of speech that it separates most, and its most differentiated pairs in context.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from actstore.selection.selection import Selection
from actstore.store.schema import LAYER, NEURON, TOKEN
from analysis.kernels.information import Information, clusters_on_a_line, information
from analysis.kernels.multiplicity import benjamini_hochberg
from analysis.kernels.transport import wasserstein_to_normal
from analysis.labels import at_checkpoint, each_layer, text_tokens
from analysis.neurons.features import FEATURES, LEAST_NEGATIVE, Feature, features_of
from analysis.neurons.profiles import pairs_in_context
from analysis.pairs.differentiation import most_differentiated
from analysis.transport.classes import class_separation

_ALPHA = 0.05
_COLUMNS = [
    "layer",
    "neuron",
    "wasserstein_distance",
    "negative_wasserstein_frac",
    "n_negative",
    "feature",
    "clusters",
    "apart",
    "apart_distance",
    "apart_q_value",
    "pairs",
    *(f"{part}_{feature}" for part in ("mi", "explained", "p", "q") for feature in FEATURES),
]


def neuron_atlas(
    store: xr.Dataset,
    selection: Selection,
    pairs: xr.Dataset,
    *,
    checkpoint: int | None = None,
    n_clusters: int = 4,
    n_permutations: int = 100,
    n_pairs: int = 3,
    n_context: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """Which syntactic feature the negative region of every selected neuron separates.

    Parameters
    ----------
    store : Dataset
        A store of `actstore extract`.
    selection : Selection
        The Wasserstein neurons.
    pairs : Dataset
        Of `analysis.find_pairs` on the same store and checkpoint.
    checkpoint : int, optional
        Training step; the last one by default.
    n_clusters : int
        Clusters of a neuron's negative pre-activations, of least squared distance.
    n_permutations : int
        Permutations of the labels over tokens.
    n_pairs : int
        Most differentiated pairs of each neuron.
    n_context : int
        Tokens of context before and after a pair's token.
    seed : int

    Returns
    -------
    DataFrame
        One row a neuron, by layer and neuron: `wasserstein_distance`, `negative_wasserstein_frac`,
        `n_negative` tokens; for each feature (upos, deprel, word, position, depth) the mutual information `mi_…` of
        clusters and feature (nats, bias corrected), `explained_…` (its share of the clusters' entropy), `p_…`, and
        `q_…` over all neurons and features; `feature`, which explains most among those with q < 0.05, without the word;
        `clusters`, their centres, shares and most typical tokens; `apart`, the two parts of speech with the largest
        transport distance between their negative values among those with q < 0.05, with `apart_distance` (standard
        deviations) and `apart_q_value`; `pairs` in context. NaN or empty where the store lacks the feature, or fewer
        than 50 negative tokens have it.

    Notes
    -----
    See `analysis.kernels.information` and `analysis.transport.classes.class_separation`. Tokens count as independent: a
    neuron that follows a frequent word also separates the part of speech of this word.
    """
    text = text_tokens(at_checkpoint(store, checkpoint))
    features = features_of(text)

    def of_layer(layer: xr.Dataset) -> list[dict[str, object]]:
        number = int(layer[LAYER])
        rng = np.random.default_rng([seed, number])
        values = layer["preactivation"].transpose(NEURON, TOKEN).astype(np.float32)
        clusters = [_cluster_row(row, features, n_clusters, n_permutations, rng) for row in values.values]
        separated = _most_separated(values, text, n_permutations, seed) if len(values) else []
        neurons = selection.neurons.get(number, ())
        return [{"layer": number, "neuron": n} | row | pair for n, row, pair in zip(neurons, clusters, separated, strict=True)]

    def narrow(layer: xr.Dataset) -> xr.Dataset:
        return layer.isel({NEURON: list(selection.neurons.get(int(layer[LAYER]), ()))})

    table = pd.DataFrame([row for rows in each_layer(of_layer, text[["preactivation"]], narrow) for row in rows])
    p = table[[f"p_{name}" for name in FEATURES]].to_numpy(dtype=float)
    table[[f"q_{name}" for name in FEATURES]] = benjamini_hochberg(p)
    table["feature"] = _best_feature(table)
    top_pairs = most_differentiated(store, pairs, selection, checkpoint=checkpoint, n_top=n_pairs)
    table = table.merge(_contexts(store, top_pairs, n_context), on=["layer", "neuron"], how="left")
    table["pairs"] = table["pairs"].fillna("")
    return table[_COLUMNS].sort_values(["layer", "neuron"], ignore_index=True)


def _cluster_row(
    values: NDArray[np.float32], features: dict[str, Feature], n_clusters: int, n_permutations: int, rng: np.random.Generator
) -> dict[str, object]:
    """The features that the clusters of a neuron's negative values follow."""
    negative = np.flatnonzero(values < 0)
    transport = wasserstein_to_normal(values)
    row: dict[str, object] = {
        "wasserstein_distance": float(transport.distance),
        "negative_wasserstein_frac": float(transport.negative_share),
        "n_negative": len(negative),
        "clusters": "",
    }
    if len(negative) < LEAST_NEGATIVE:
        return row | {f"{part}_{name}": np.nan for name in features for part in ("mi", "explained", "p")}
    clusters, centres = clusters_on_a_line(values[negative], n_clusters)
    for name, feature in features.items():
        codes = feature.codes[negative]
        has_label = codes >= 0
        result = Information(np.nan, np.nan, np.nan)
        if has_label.sum() >= LEAST_NEGATIVE:
            result = information(clusters[has_label], codes[has_label], n_permutations, rng)
        row |= {
            f"mi_{name}": result.mutual_information,
            f"explained_{name}": result.explained_frac,
            f"p_{name}": result.p_value,
        }
    row["clusters"] = " | ".join(
        _content(centre, clusters == number, negative, features) for number, centre in enumerate(centres)
    )
    return row


def _content(centre: float, inside: NDArray[np.bool], negative: NDArray[np.int64], features: dict[str, Feature]) -> str:
    """A cluster in words: its centre, its share, its commonest part of speech, its most typical words."""
    text = f"{centre:.2f} ({inside.mean():.0%})"
    upos, word = features["upos"], features["word"]
    codes = upos.codes[negative[inside]]
    if (codes >= 0).any():
        count = np.bincount(codes[codes >= 0])
        text += f": {upos.names[count.argmax()]} {count.max() / len(codes):.0%}"
    within, at_large = (
        np.bincount(codes[codes >= 0], minlength=len(word.names))
        for codes in (word.codes[negative[inside]], word.codes[negative])
    )
    if within.any():
        score = within * np.log((within + 0.5) / (at_large * inside.mean() + 0.5))  # above 0 for words beyond their share
        typical = [str(word.names[index]) for index in np.argsort(-score, kind="stable")[:3] if score[index] > 0]
        text += f" ({', '.join(typical)})" if typical else ""
    return text


def _most_separated(values: xr.DataArray, text: xr.Dataset, n_permutations: int, seed: int) -> list[dict[str, object]]:
    """The two parts of speech whose negative values lie furthest apart, neuron by neuron."""
    no_pair: dict[str, object] = {"apart": "", "apart_distance": np.nan, "apart_q_value": np.nan}
    if not (text["upos"].values != "").any():
        return [no_pair] * len(values)
    separation = class_separation(values, text["upos"].values, side="negative", n_permutations=n_permutations, seed=seed)
    rows = []
    for index in range(len(values)):
        of_neuron = separation.isel({NEURON: index})
        distance = of_neuron["transport_distance"].where(of_neuron["q_value"] < _ALPHA)
        if distance.isnull().all():
            rows.append(no_pair)
            continue
        indices = distance.argmax(["class", "other_class"])
        largest = distance.isel(indices)
        names = " – ".join(str(largest[name].item()) for name in ("class", "other_class"))
        q_value = of_neuron["q_value"].isel(indices).item()
        rows.append({"apart": names, "apart_distance": largest.item(), "apart_q_value": q_value})
    return rows


def _best_feature(table: pd.DataFrame) -> list[str]:
    """The significant feature that explains most; not the word, which explains all that its part of speech does."""
    classes = [name for name in FEATURES if name != "word"]
    explained = table[[f"explained_{name}" for name in classes]].to_numpy(dtype=float)
    significant = table[[f"q_{name}" for name in classes]].to_numpy(dtype=float) < _ALPHA
    score = np.where(significant, explained, -np.inf)
    return [classes[index] if np.isfinite(row[index]) else "" for row, index in zip(score, score.argmax(axis=1), strict=True)]


def _contexts(store: xr.Dataset, pairs: pd.DataFrame, n_context: int) -> pd.DataFrame:
    """One row a neuron: its pairs as text, each token in brackets with its pre-activation."""
    table = pairs_in_context(store, pairs, n_context)

    def side_in_context(row: pd.Series, side: str) -> str:
        text = f"{row[f'before_{side}']}[{row[f'text_{side}'].strip()}]{row[f'after_{side}']}"
        return f"…{' '.join(text.split())}… ({row[f'preactivation_{side}']:.2f})"

    lines = [f"{side_in_context(row, 'a')} ↔ {side_in_context(row, 'b')}" for _, row in table.iterrows()]
    frame = pairs[["layer", "neuron"]].assign(pairs=lines)
    return pd.DataFrame(frame.groupby(["layer", "neuron"], as_index=False)["pairs"].agg("\n".join))
