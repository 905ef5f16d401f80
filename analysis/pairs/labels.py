"""Words, parts of speech and relations in the pairs that a neuron drives furthest apart.

Owns their log-odds against the similar pairs at large, and the test by permuted values. Reference: Kong et al. (2026),
section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import norm

from actstore.selection.selection import Selection
from actstore.store.schema import TOKEN
from analysis.kernels.multiplicity import benjamini_hochberg
from analysis.kernels.pairs import furthest_pairs
from analysis.labels import each_layer
from analysis.pairs.samples import Sample, pair_tokens

FEATURES = ("upos", "deprel", "word_form")
_COLUMNS = [
    "layer",
    "feature",
    "value",
    "n_top",
    "n_similar",
    "log_odds",
    "beyond",
    "beyond_lower",
    "beyond_upper",
    "log_odds_rest",
    "z",
    "p_value",
]


def pair_labels(
    store: xr.Dataset,
    pairs: xr.Dataset,
    selection: Selection,
    *,
    checkpoint: int | None = None,
    features: Sequence[str] = FEATURES,
    n_top: int = 100,
    min_count: int = 20,
    n_permutations: int = 199,
    seed: int = 0,
) -> pd.DataFrame:
    """Words, parts of speech and relations in the furthest pairs, against the similar pairs at large.

    Parameters
    ----------
    store, pairs, selection, checkpoint, n_top, n_permutations, seed
        As in `pair_differentiation`.
    features : sequence of str
        Coordinates of `token`.
    min_count : int
        Values that occur less often in the similar pairs are left out.

    Returns
    -------
    DataFrame
        One row a (layer, feature, value): `n_top` and `n_similar` (occurrences in the furthest
        pairs of the layer's selected neurons, and in its similar pairs), `log_odds` (natural) of
        the first against the second, `beyond` (the log-odds less their mean under permutation) with 95% bounds
        from the spread under permutation, `log_odds_rest` (the log-odds of the other neurons), `z`, `p_value`, and
        `q_value` over all rows (Benjamini and Hochberg); `n_clusters` and `cluster` (tokens, which are permuted).

    Raises
    ------
    SelectionError
        As `pair_differentiation`.

    Notes
    -----
    Counts are of words, two a pair, with 0.5 added to each cell. z compares the log-odds with their mean and standard
    deviation when the neurons' values are permuted over tokens. A permutation moves a token's value in all pairs of the
    token, so that an outlying token also takes its pairs with it under the null.
    """
    tokens = pair_tokens(store, pairs, selection, checkpoint, n_top)
    coded = {name: pd.factorize(tokens.labels[name].values.astype(str)) for name in features}

    def of_layer(layer: xr.Dataset) -> list[pd.DataFrame]:
        sample = tokens.sample(layer)
        if not sample.is_selected.any():
            return []
        rng = np.random.default_rng([seed, sample.layer])
        furthest = _Furthest(
            selected=_furthest(sample, sample.values[sample.is_selected], n_top),
            rest=_furthest(sample, sample.values[~sample.is_selected], n_top),
            permuted=[_furthest(sample, values, n_top) for values in sample.permuted(n_permutations, rng)],
        )
        return [
            _log_odds(sample, furthest, codes, np.asarray(values), min_count).assign(layer=sample.layer, feature=name)
            for name, (codes, values) in coded.items()
        ]

    frames = [frame for frames in each_layer(of_layer, tokens.layers) for frame in frames if len(frame)]
    table = pd.concat(frames, ignore_index=True)[_COLUMNS] if frames else pd.DataFrame(columns=_COLUMNS)
    q_value = benjamini_hochberg(table["p_value"].to_numpy(dtype=float))
    return table.assign(q_value=q_value, n_clusters=tokens.labels.sizes[TOKEN], cluster="token")


class _Furthest(NamedTuple):
    """The tokens of the furthest similar pairs (neuron, pair, 2)."""

    selected: NDArray[np.int64]
    """Of the selected neurons."""
    rest: NDArray[np.int64]
    """Of the other neurons."""
    permuted: list[NDArray[np.int64]]
    """Of the selected neurons, for every permutation of their values."""


def _furthest(sample: Sample, values: NDArray[np.float32], n_top: int) -> NDArray[np.int64]:
    return sample.similar[furthest_pairs(values, sample.similar, n_top)]


def _log_odds(
    sample: Sample, furthest: _Furthest, codes: NDArray[np.int64], values: NDArray[Any], min_count: int
) -> pd.DataFrame:
    """Log-odds of every frequent value of a feature in the furthest pairs, from the codes of the tokens' values."""

    def counts(tokens: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.bincount(codes[tokens].ravel(), minlength=len(values)).astype(float)

    at_large = counts(sample.similar)
    is_frequent = (at_large >= min_count) & (values != "")

    def log_odds(tokens: NDArray[np.int64]) -> NDArray[np.float64]:
        odds = [(count + 0.5) / (count.sum() - count + 0.5) for count in (counts(tokens), at_large)]
        difference: NDArray[np.float64] = (np.log(odds[0]) - np.log(odds[1]))[is_frequent]
        return difference

    observed = log_odds(furthest.selected)
    null = [log_odds(tokens) for tokens in furthest.permuted]
    spread = np.std(null, axis=0, ddof=1)
    beyond = observed - np.mean(null, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = beyond / np.where(spread > 0, spread, np.nan)
    return pd.DataFrame(
        {
            "value": values[is_frequent],
            "n_top": counts(furthest.selected)[is_frequent].astype(int),
            "n_similar": at_large[is_frequent].astype(int),
            "log_odds": observed,
            "beyond": beyond,
            "beyond_lower": beyond - 1.96 * spread,
            "beyond_upper": beyond + 1.96 * spread,
            "log_odds_rest": log_odds(furthest.rest),
            "z": z,
            "p_value": 2 * norm.sf(np.abs(z)),
        }
    )
