"""What a neuron may follow: labellings of the tokens of a text.

Owns the features, and how each becomes a code for every token.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

FEATURES = ("upos", "deprel", "word", "position", "depth")
LEAST_NEGATIVE = 50
"""Negative values with a label that a neuron needs before it is said to follow it."""
_LEAST_OF_A_WORD = 10
_N_POSITIONS, _DEEPEST = 8, 6


class Feature(NamedTuple):
    """A labelling of tokens: a code for each token, -1 where the label is unknown, and the labels by code."""

    codes: NDArray[np.int64]
    names: NDArray[Any]


def features_of(text: xr.Dataset) -> dict[str, Feature]:
    """The features of every token, as codes."""
    words = pd.Series([str(form).lower() for form in text["word_form"].values])
    occurrences = words[~pd.Series(text["word"].values).duplicated()].value_counts()  # a word of several tokens counts once
    frequent = words.where(words.map(occurrences) >= _LEAST_OF_A_WORD, "")
    position = text["position"].values
    edges = np.unique(np.quantile(position, np.arange(1, _N_POSITIONS) / _N_POSITIONS))
    bins = np.searchsorted(edges, position, side="left")
    depth = text["depth"].values if "depth" in text.coords else np.full(len(position), -1)
    return {
        "upos": _coded(text["upos"].values),
        "deprel": _coded(text["deprel"].values),
        "word": _coded(frequent.to_numpy()),
        "position": Feature(bins, np.arange(len(edges) + 1)),
        "depth": Feature(np.minimum(depth, _DEEPEST), np.arange(_DEEPEST + 1)),
    }


def _coded(labels: NDArray[Any]) -> Feature:
    names, codes = np.unique(labels.astype(str), return_inverse=True)
    if len(names) and names[0] == "":
        return Feature(codes - 1, names[1:])
    return Feature(codes, names)
