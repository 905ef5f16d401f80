"""The profile of every selected neuron: its distribution, its statistics over training, its pairs in context.

Owns the tables for readers who look at single neurons.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from actstore.selection.selection import Selection
from actstore.store.schema import CHECKPOINT, LAYER, NEURON, TOKEN
from analysis.labels import at_checkpoint, each_layer, text_tokens

_STORY = ("wasserstein_distance", "negative_wasserstein_frac", "skewness", "excess_kurtosis", "negative_frac")


def neuron_histograms(
    store: xr.Dataset, selection: Selection, *, checkpoint: int | None = None, n_bins: int = 60, reach: float = 6.0
) -> pd.DataFrame:
    """Standardised histograms of the selected neurons.

    Parameters
    ----------
    store : Dataset
        A store of `actstore extract`.
    selection : Selection
    checkpoint : int, optional
        Training step; the last one by default.
    n_bins : int
    reach : float
        Bins end at this many standard deviations; values beyond are in the outermost bins.

    Returns
    -------
    DataFrame
        One row a (layer, neuron, bin): `left`, `right` (SD), `density`, `zero` (where a raw pre-activation of 0
        falls, SD). Neurons of zero variance have no rows.
    """
    tokens = text_tokens(at_checkpoint(store, checkpoint)["preactivation"]).to_dataset()

    def of_layer(layer: xr.Dataset) -> list[pd.DataFrame]:
        frames = []
        for neuron in layer[NEURON].values:
            values = layer["preactivation"].sel({NEURON: neuron}).values.astype(float)
            mean, scale = values.mean(), values.std()
            if scale == 0:
                continue
            standardised = np.clip((values - mean) / scale, -reach, reach)
            low, high = max(-reach, np.floor(standardised.min() * 2) / 2), min(reach, np.ceil(standardised.max() * 2) / 2)
            density, edges = np.histogram(standardised, bins=n_bins, range=(low, high), density=True)
            bins = pd.DataFrame({"left": edges[:-1], "right": edges[1:], "density": density, "zero": -mean / scale})
            frames.append(bins.assign(layer=int(layer[LAYER]), neuron=int(neuron)))
        return frames

    def narrow(layer: xr.Dataset) -> xr.Dataset:
        return layer.sel({NEURON: list(selection.neurons.get(int(layer[LAYER]), ()))})

    frames = [frame for frames in each_layer(of_layer, tokens, narrow) for frame in frames]
    columns = ["layer", "neuron", "left", "right", "density", "zero"]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


def neuron_story(statistics: xr.Dataset, selection: Selection) -> pd.DataFrame:
    """Statistics of the selected neurons at every checkpoint.

    Parameters
    ----------
    statistics : Dataset
        Of `analysis.neuron_statistics`.
    selection : Selection

    Returns
    -------
    DataFrame
        One row a (layer, neuron, checkpoint): `wasserstein_distance`, `negative_wasserstein_frac`, `skewness`,
        `excess_kurtosis`, `negative_frac`. Checkpoints that repeat earlier weights are left out.
    """
    if "duplicate_of" in statistics.coords:
        statistics = statistics.isel({CHECKPOINT: np.flatnonzero(statistics["duplicate_of"].values < 0)})
    frames = []
    for layer, neurons in selection.neurons.items():
        part = statistics[list(_STORY)].sel({LAYER: layer, NEURON: list(neurons)})
        frames.append(part.drop_vars([name for name in part.coords if name not in (CHECKPOINT, LAYER, NEURON)]).to_dataframe())
    return (
        pd.concat(frames)
        .reset_index()[["layer", "neuron", "checkpoint", *_STORY]]
        .sort_values(["layer", "neuron", "checkpoint"], ignore_index=True)
    )


def pairs_in_context(store: xr.Dataset, pairs: pd.DataFrame, n_context: int = 5) -> pd.DataFrame:
    """Pairs of tokens with the text around them.

    Parameters
    ----------
    store : Dataset
        A store of `actstore extract`.
    pairs : DataFrame
        Of `analysis.most_differentiated`.
    n_context : int
        Tokens of the same window to either side.

    Returns
    -------
    DataFrame
        One row a pair: `layer`, `neuron`, and for its first token `before_a`, `text_a`, `after_a`, `word_a`, `upos_a`,
        `preactivation_a`; the same for its second token, with `_b`.
    """
    texts, window, position = (store[name].values for name in ("token_text", "window", "position"))
    words, upos = (
        store[name].values if name in store.variables else np.full(store.sizes[TOKEN], "", dtype=object)
        for name in ("word_form", "upos")
    )

    def in_context(row: dict[Hashable, Any], side: str) -> dict[str, object]:
        token = int(row[f"token_{side}"])
        around = np.arange(max(0, token - n_context), min(store.sizes[TOKEN], token + n_context + 1))
        around = around[(window[around] == window[token]) & (position[around] > 0)]
        return {
            f"before_{side}": "".join(map(str, texts[around[around < token]])),
            f"text_{side}": str(texts[token]),
            f"after_{side}": "".join(map(str, texts[around[around > token]])),
            f"word_{side}": str(words[token]),
            f"upos_{side}": str(upos[token]),
            f"preactivation_{side}": row[f"preactivation_{side}"],
        }

    records = pairs.to_dict("records")
    rows = [{"layer": row["layer"], "neuron": row["neuron"]} | in_context(row, "a") | in_context(row, "b") for row in records]
    return pd.DataFrame(rows)
