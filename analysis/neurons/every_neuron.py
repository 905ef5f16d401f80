"""The profile of every neuron of a model, as arrays: for readers who look at single neurons, and search among them.

Owns the contents of `profiles.zarr`: its names, dims and what they mean.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from actstore.selection.selection import Selection
from actstore.store.schema import CHECKPOINT, LAYER, NEURON, PAIR, TOKEN
from analysis.belonging import IDENTITY
from analysis.kernels.multiplicity import benjamini_hochberg
from analysis.kernels.ranks import descending_ranks
from analysis.labels import at_checkpoint, each_layer, text_tokens
from analysis.neurons.described import BIN_EDGES, SIDES, Described, described, example_ranks
from analysis.neurons.features import features_of
from analysis.pairs.samples import pair_tokens
from analysis.pairs.similarity import NO_PAIR
from analysis.pairs.strongest import KINDS, strongest_pairs

NO_SEGMENT = -1
"""`segment` of a first position: it is BOS, and no text."""
_OF_NEURON = (LAYER, NEURON)
_RANKED = {"statistic_value": "statistic", "explained_frac": "feature", "class_mean": "class"}
"""What neurons are ranked by within their layer → over which dim it lies."""


class _Layer(NamedTuple):
    described: Described
    pair_token: NDArray[np.int32]
    pair_preactivation: NDArray[np.float32]


def neuron_profiles(
    store: xr.Dataset,
    pairs: xr.Dataset,
    statistics: xr.Dataset,
    selection: Selection,
    *,
    checkpoint: int | None = None,
    n_extremes: int = 12,
    n_clusters: int = 4,
    n_pairs: int = 3,
    max_steps: int = 24,
) -> xr.Dataset:
    """What is known of every neuron: distribution, sides, example tokens, pairs, features, story and ranks in its layer.

    Parameters
    ----------
    store : Dataset
        A store of `actstore extract`.
    pairs : Dataset
        Of `analysis.find_pairs` on the same store and checkpoint.
    statistics : Dataset
        Of `analysis.neuron_statistics`; all its statistics are taken, those of plugins too.
    selection : Selection
        The Wasserstein neurons, which are marked.
    checkpoint : int, optional
        Training step; the last one by default.
    n_extremes : int
        Tokens with the lowest and with the highest pre-activations of a neuron.
    n_clusters : int
        Clusters of a neuron's negative pre-activations.
    n_pairs : int
        Similar pairs of a neuron, of each kind.
    max_steps : int
        Checkpoints of the story; of more, so many are taken at even spaces.

    Returns
    -------
    Dataset
        Over (layer, neuron, …), at one checkpoint and without first positions: `statistic_value` (statistic);
        `n_in_bin` (bin) tokens between `left` and `right` SD, and `zero`, where a pre-activation of 0 falls (SD);
        `side_frac`, `side_mean` (side: below 0, from 0 on) and `side_distance`, the part of the Wasserstein distance on
        each side (SD); `example_token` (indices on `token`) and `example_preactivation` (example): the lowest, those at
        nine quantiles, the highest; `pair_token`, `pair_preactivation` (kind, pair, end), -1 and NaN where there is none;
        `explained_frac`, `p_value`, `q_value` (feature): the share of the entropy of the clusters of negative values that
        a feature explains; `class_mean` (class): mean over the tokens of a part of speech (SD from the neuron's mean);
        `statistic_rank`, `feature_rank`, `class_rank`: place in the layer, 1 for the largest, 0 for NaN, the same for
        equal values; `is_selected`. Over (checkpoint, layer, neuron): `story_distance`, the Wasserstein distance, and
        `story_negative_distance`, its part on negative pre-activations (SD). Over token: `token_text`, `upos`, `word`, and `segment`, the same for tokens of a
        window and a document, -1 for first positions.

    Notes
    -----
    Clusters and shares are those of `neuron_atlas`; p-values are `independence_p_value`'s, which need no permutations, and
    q-values are Benjamini and Hochberg's over all neurons and features. Tokens count as independent. Cost: about 4 ms a
    neuron at 16,000 tokens; memory: a layer, and 32 neurons a processor in float32.
    """
    labels = _text(at_checkpoint(store, checkpoint))
    text = text_tokens(at_checkpoint(store, checkpoint))
    features = features_of(text)
    sampled = pair_tokens(store, pairs, None, checkpoint, 0)

    def of_layer(layer: xr.Dataset) -> Described:
        return described(layer, features, features["upos"], n_extremes, n_clusters)

    def pairs_of_layer(layer: xr.Dataset) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        return strongest_pairs(sampled.sample(layer), n_pairs)

    parts = each_layer(of_layer, text[["preactivation"]].drop_vars(_labels_of_tokens(text)))
    arrays = {name: np.stack(columns) for name, columns in zip(Described._fields, zip(*parts, strict=True), strict=True)}
    arrays["example_token"] = np.flatnonzero(store["position"].values > 0)[arrays["example_token"]].astype(np.int32)
    ends, values = (np.stack(column) for column in zip(*each_layer(pairs_of_layer, sampled.layers), strict=True))
    arrays["pair_token"] = np.where(ends == NO_PAIR, NO_PAIR, sampled.indices[ends]).astype(np.int32)
    arrays["pair_preactivation"] = values
    arrays["q_value"] = benjamini_hochberg(arrays["p_value"])
    arrays["is_selected"] = selection.mask(store[LAYER].values)
    n_text, classes = text.sizes[TOKEN], features["upos"]
    data = xr.Dataset(
        {name: ((*_OF_NEURON, *_DIMS.get(name, ())), array) for name, array in arrays.items()} | _columns_of_text(labels),
        coords={
            LAYER: store[LAYER].values,
            NEURON: store[NEURON].values,
            "left": ("bin", BIN_EDGES[:-1]),
            "right": ("bin", BIN_EDGES[1:]),
            "side": list(SIDES),
            "kind": list(KINDS),
            "feature": list(features),
            "class": classes.names.astype(object),
            "n_tokens": ("class", np.bincount(classes.codes[classes.codes >= 0], minlength=len(classes.names))),
            "quantile": ("example", example_ranks(n_text, n_extremes) / max(n_text - 1, 1)),
        },
        attrs={key: store.attrs[key] for key in IDENTITY if key in store.attrs}
        | {"n_text_tokens": n_text, "n_extremes": min(n_extremes, n_text), "n_clusters": n_clusters},
    )
    of_statistics = [_statistics(statistics, checkpoint), _story(statistics, max_steps)]
    return _with_ranks(xr.merge([data, *of_statistics], join="exact", combine_attrs="no_conflicts"))


_DIMS: dict[str, tuple[str, ...]] = {
    "n_in_bin": ("bin",),
    "side_frac": ("side",),
    "side_mean": ("side",),
    "example_token": ("example",),
    "example_preactivation": ("example",),
    "explained_frac": ("feature",),
    "p_value": ("feature",),
    "q_value": ("feature",),
    "class_mean": ("class",),
    "pair_token": ("kind", PAIR, "end"),
    "pair_preactivation": ("kind", PAIR, "end"),
}
"""Dims after layer and neuron."""


def _labels_of_tokens(text: xr.Dataset) -> list[Any]:
    return [name for name, coord in text.coords.items() if TOKEN in coord.dims]


def _text(store: xr.Dataset) -> dict[str, NDArray[Any]]:
    """Columns of the text: what tokens are shown with."""
    window, document, position = (store[name].values for name in ("window", "document", "position"))
    begins = np.concatenate([[True], (np.diff(window) != 0) | (np.diff(document) != 0)])
    return {
        "token_text": store["token_text"].values.astype(object),
        "upos": store["upos"].values.astype(object),
        "word": store["word"].values,
        "segment": np.where(position > 0, np.cumsum(begins) - 1, NO_SEGMENT),
    }


def _columns_of_text(columns: dict[str, NDArray[Any]]) -> dict[str, tuple[str, NDArray[Any]]]:
    return {name: (TOKEN, column) for name, column in columns.items()}


def _statistics(statistics: xr.Dataset, checkpoint: int | None) -> xr.Dataset:
    """All statistics of one checkpoint, and the Wasserstein distance on each side."""
    last = at_checkpoint(statistics, checkpoint)
    names = [str(name) for name, array in last.data_vars.items() if array.dims == _OF_NEURON]
    values = np.stack([last[name].values.astype(np.float64) for name in names], axis=-1)
    long_names = [str(last[name].attrs.get("long_name", "")) for name in names]
    units = [str(last[name].attrs.get("units", "1")) for name in names]
    return xr.Dataset(
        {"statistic_value": ((*_OF_NEURON, "statistic"), values), "side_distance": _side_distance(last)},
        coords={
            LAYER: last[LAYER].values,
            NEURON: last[NEURON].values,
            "statistic": names,
            "long_name": ("statistic", np.array(long_names, object)),
            "units": ("statistic", np.array(units, object)),
        },
    )


def _story(statistics: xr.Dataset, max_steps: int) -> xr.Dataset:
    """Distances at every checkpoint that does not repeat earlier weights, or at some of them."""
    if CHECKPOINT not in statistics.dims:
        statistics = statistics.expand_dims(CHECKPOINT)
    if "duplicate_of" in statistics.coords:
        statistics = statistics.isel({CHECKPOINT: np.flatnonzero(statistics["duplicate_of"].values < 0)})
    n = statistics.sizes[CHECKPOINT]
    taken = np.unique(np.round(np.linspace(0, n - 1, min(n, max_steps))).astype(int))
    steps = statistics.isel({CHECKPOINT: taken}).transpose(CHECKPOINT, *_OF_NEURON, ...)
    distance = steps["wasserstein_distance"]
    return xr.Dataset(
        {
            "story_distance": (distance.dims, distance.values),
            "story_negative_distance": (distance.dims, _side_distance(steps)[1][..., 0]),
        },
        coords={name: steps[name].values for name in (CHECKPOINT, *_OF_NEURON)},
        attrs={"n_checkpoints": n},
    )


def _side_distance(statistics: xr.Dataset) -> tuple[tuple[Any, ...], NDArray[np.float64]]:
    """The parts of the Wasserstein distance on negative pre-activations and on the others, over a last dim `side`."""
    distance, share = statistics["wasserstein_distance"], statistics["negative_wasserstein_frac"].values
    return (*distance.dims, "side"), distance.values[..., None] * np.stack([share, 1 - share], axis=-1)


def _with_ranks(data: xr.Dataset) -> xr.Dataset:
    """The place of each neuron in its layer."""
    for name, dim in _RANKED.items():
        ranks = descending_ranks(data[name].values.astype(np.float64), axis=1)
        data = data.assign({f"{dim}_rank": ((*_OF_NEURON, dim), ranks.astype(np.int32))})
    return data
