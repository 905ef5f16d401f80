"""The neuron atlas: what the negative region of each Wasserstein neuron tells apart.

Owns the table of one row a neuron: which syntactic feature its clusters of negative values
follow, what the clusters hold, which parts of speech it keeps apart, and its most differentiated
pairs in context.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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
from analysis.neurons.profiles import pairs_in_context
from analysis.pairs.differentiation import most_differentiated
from analysis.transport.classes import class_separation

FEATURES = ("upos", "deprel", "word", "position", "depth")
_LEAST_NEGATIVE = 50
_LEAST_OF_A_WORD = 10
_N_POSITIONS, _DEEPEST = 8, 6
_ALPHA = 0.05


class _Feature(NamedTuple):
    """A labelling of tokens; -1 where it is not known."""

    codes: NDArray[np.int64]
    names: NDArray[Any]


def neuron_atlas(
    store: xr.Dataset, selection: Selection, pairs: xr.Dataset, *, checkpoint: int | None = None,
    n_clusters: int = 4, n_permutations: int = 100, n_pairs: int = 3, n_context: int = 5, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
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
        Of the labels over tokens.
    n_pairs : int
        Most differentiated pairs to show.
    n_context : int
        Tokens shown before and after.
    seed : int

    Returns
    -------
    DataFrame
        One row a neuron, by layer and neuron: `wasserstein_distance`, `negative_wasserstein_frac`,
        `n_negative` tokens; for each feature (upos, deprel,
        word, position, depth) the mutual information `mi_…` of clusters and feature (nats, bias
        corrected), `explained_…` (its share of the clusters' entropy), `p_…`, and `q_…` over all
        neurons and features; `feature`, the one but the word that explains most among those with
        q < 0.05;
        `clusters`, their centres, shares and contents; `apart`, the two parts of speech whose
        negative values lie furthest apart in transport distance among those with q < 0.05, with
        `apart_distance` (standard deviations) and `apart_q_value`; `pairs` in context. NaN or
        empty where the store does not know the feature or there are fewer than 50 tokens.

    Notes
    -----
    See `analysis.kernels.information` and `analysis.transport.classes.class_separation`. Tokens count as
    independent: a neuron that follows one frequent word also tells its part of speech apart.
    """
    text = text_tokens(at_checkpoint(store, checkpoint))
    features = _features(text)

    def one(layer: xr.Dataset) -> list[dict[str, object]]:
        rng = np.random.default_rng([seed, int(layer[LAYER])])
        values = layer["preactivation"].transpose(NEURON, TOKEN).astype(np.float32)
        rows = [_row(row, features, n_clusters, n_permutations, rng) for row in values.values]
        apart = _apart(values, text, n_permutations, seed) if len(values) else []
        number = int(layer[LAYER])
        places = [{"layer": number, "neuron": neuron} for neuron in selection.neurons.get(number, ())]
        return [place | row | separated for place, row, separated in zip(places, rows, apart, strict=True)]

    def narrow(layer: xr.Dataset) -> xr.Dataset:
        return layer.isel({NEURON: list(selection.neurons.get(int(layer[LAYER]), ()))})

    found = [row for rows in each_layer(one, text[["preactivation"]], narrow) for row in rows]
    table = pd.DataFrame(found)
    p = table[[f"p_{name}" for name in FEATURES]].to_numpy(dtype=float)
    table[[f"q_{name}" for name in FEATURES]] = benjamini_hochberg(p)
    table["feature"] = _best(table)
    contexts = _contexts(store, most_differentiated(store, pairs, selection, checkpoint=checkpoint, n_top=n_pairs), n_context)
    table = table.merge(contexts, on=["layer", "neuron"], how="left")
    table["pairs"] = table["pairs"].fillna("")
    order = [name for part in ("mi", "explained", "p", "q") for name in (f"{part}_{feature}" for feature in FEATURES)]
    first = [
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
    ]
    return table[[*first, *order]].sort_values(["layer", "neuron"], ignore_index=True)


def _features(text: xr.Dataset) -> dict[str, _Feature]:
    """What is known of every token, as codes."""
    words = pd.Series([str(form).lower() for form in text["word_form"].values])
    occurrences = words[~pd.Series(text["word"].values).duplicated()].value_counts()  # a word of many pieces counts once
    frequent = words.where(words.map(occurrences) >= _LEAST_OF_A_WORD, "")
    position = text["position"].values
    edges = np.unique(np.quantile(position, np.arange(1, _N_POSITIONS) / _N_POSITIONS))
    bins = np.searchsorted(edges, position, side="left")
    depth = text["depth"].values if "depth" in text.coords else np.full(len(position), -1)
    return {
        "upos": _coded(text["upos"].values),
        "deprel": _coded(text["deprel"].values),
        "word": _coded(frequent.to_numpy()),
        "position": _Feature(bins, np.arange(len(edges) + 1)),
        "depth": _Feature(np.minimum(depth, _DEEPEST), np.arange(_DEEPEST + 1)),
    }


def _coded(labels: NDArray[Any]) -> _Feature:
    names, codes = np.unique(labels.astype(str), return_inverse=True)
    if len(names) and names[0] == "":
        return _Feature(codes - 1, names[1:])
    return _Feature(codes, names)


def _row(
    values: NDArray[np.float32], features: dict[str, _Feature], n_clusters: int, n_permutations: int, rng: np.random.Generator
) -> dict[str, object]:
    """What the clusters of one neuron's negative values follow."""
    negative = np.flatnonzero(values < 0)
    distance = wasserstein_to_normal(values)
    row: dict[str, object] = {
        "wasserstein_distance": float(distance.distance), "negative_wasserstein_frac": float(distance.negative_share),
        "n_negative": len(negative), "clusters": "",
    }  # fmt: skip
    nothing = Information(np.nan, np.nan, np.nan)
    if len(negative) < _LEAST_NEGATIVE:
        return row | {f"{part}_{name}": np.nan for name in features for part in ("mi", "explained", "p")}
    clusters, centres = clusters_on_a_line(values[negative], n_clusters)
    for name, feature in features.items():
        codes = feature.codes[negative]
        known = codes >= 0
        enough = known.sum() >= _LEAST_NEGATIVE
        found = information(clusters[known], codes[known], n_permutations, rng) if enough else nothing
        row |= {f"mi_{name}": found.mutual_information, f"explained_{name}": found.explained_frac, f"p_{name}": found.p_value}
    row["clusters"] = " | ".join(
        _content(centre, clusters == number, negative, features) for number, centre in enumerate(centres)
    )
    return row


def _content(centre: float, inside: NDArray[np.bool], negative: NDArray[np.int64], features: dict[str, _Feature]) -> str:
    """A cluster in words: its centre, its share, its commonest part of speech, its most typical words."""
    said = f"{centre:.2f} ({inside.mean():.0%})"
    upos, word = features["upos"], features["word"]
    codes = upos.codes[negative[inside]]
    if (codes >= 0).any():
        count = np.bincount(codes[codes >= 0])
        said += f": {upos.names[count.argmax()]} {count.max() / len(codes):.0%}"
    within, at_large = (
        np.bincount(codes[codes >= 0], minlength=len(word.names))
        for codes in (word.codes[negative[inside]], word.codes[negative])
    )
    if within.any():
        score = within * np.log((within + 0.5) / (at_large * inside.mean() + 0.5))  # what it holds beyond its share
        typical = [str(word.names[index]) for index in np.argsort(-score, kind="stable")[:3] if score[index] > 0]
        said += f" ({', '.join(typical)})" if typical else ""
    return said


def _apart(values: xr.DataArray, text: xr.Dataset, n_permutations: int, seed: int) -> list[dict[str, object]]:
    """The parts of speech whose negative values lie furthest apart, neuron by neuron."""
    nothing: dict[str, object] = {"apart": "", "apart_distance": np.nan, "apart_q_value": np.nan}
    if not (text["upos"].values != "").any():
        return [nothing] * len(values)
    found = class_separation(values, text["upos"].values, side="negative", n_permutations=n_permutations, seed=seed)
    rows = []
    for index in range(len(values)):
        one = found.isel({NEURON: index})
        certain = one["transport_distance"].where(one["q_value"] < _ALPHA)
        if certain.isnull().all():
            rows.append(nothing)
            continue
        best = certain.argmax(["class", "other_class"])
        pair = certain.isel(best)
        names = " – ".join(str(pair[name].item()) for name in ("class", "other_class"))
        rows.append({"apart": names, "apart_distance": pair.item(), "apart_q_value": one["q_value"].isel(best).item()})
    return rows


def _best(table: pd.DataFrame) -> list[str]:
    """The feature that explains most among the significant ones; not the word, which tells all that its class does."""
    classes = [name for name in FEATURES if name != "word"]
    explained = table[[f"explained_{name}" for name in classes]].to_numpy(dtype=float)
    significant = table[[f"q_{name}" for name in classes]].to_numpy(dtype=float) < _ALPHA
    score = np.where(significant, explained, -np.inf)
    return [classes[index] if np.isfinite(row[index]) else "" for row, index in zip(score, score.argmax(axis=1), strict=True)]


def _contexts(store: xr.Dataset, pairs: pd.DataFrame, n_context: int) -> pd.DataFrame:
    """One row a neuron: its pairs as text, each token in brackets with its pre-activation."""
    table = pairs_in_context(store, pairs, n_context)

    def shown(row: pd.Series, side: str) -> str:
        text = f"{row[f'before_{side}']}[{row[f'text_{side}'].strip()}]{row[f'after_{side}']}"
        return f"…{' '.join(text.split())}… ({row[f'preactivation_{side}']:.2f})"

    lines = [f"{shown(row, 'a')} ↔ {shown(row, 'b')}" for _, row in table.iterrows()]
    frame = pairs[["layer", "neuron"]].assign(pairs=lines)
    return pd.DataFrame(frame.groupby(["layer", "neuron"], as_index=False)["pairs"].agg("\n".join))
