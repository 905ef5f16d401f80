"""Pairs of tokens that a layer sees as similar, and comparable pairs that it does not.

Owns the choice of pairs, once for all neurons of a layer: nearest neighbours of the MLP input,
each with a pair of dissimilar inputs that is like it in token frequency, position and subword
overlap.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from actstore.errors import StoreError
from actstore.store.schema import LAYER, PAIR, TOKEN
from analysis.belonging import IDENTITY
from analysis.kernels.neighbours import identical_below, matched_pairs, similar_pairs
from analysis.labels import at_checkpoint, each_layer

NO_PAIR = -1
"""Token of a pair that is not there: a layer has fewer pairs than another, or none matches."""
N_TOKENS, N_NEIGHBOURS = 4096, 4
_N_RANDOM, _N_ALIKE = 200_000, 100_000
_N_FREQUENCIES, _N_POSITIONS = 4, 3
_SAME, _ALIKE = 2, 1
_DICE = 0.5


def find_pairs(
    store: xr.Dataset, *, checkpoint: int | None = None, n_tokens: int = N_TOKENS, n_neighbours: int = N_NEIGHBOURS, seed: int = 0
) -> xr.Dataset:  # fmt: skip
    """Similar input pairs of every layer, each with a matched pair of dissimilar inputs.

    Parameters
    ----------
    store : Dataset
        A store of `actstore extract`.
    checkpoint : int, optional
        Training step; the last one by default.
    n_tokens : int
        Tokens drawn among those that are not the first of a window.
    n_neighbours : int
        Neighbours of every drawn token.
    seed : int
        Seed of the tokens and of the matched pairs.

    Returns
    -------
    Dataset
        Over (layer, pair): `token_a`, `token_b` (positions on `token`, never the same),
        `input_distance`, and `matched_a`, `matched_b`; -1 (NaN) where a layer has fewer pairs or
        no comparable pair is left. Over layer: `n_identical_pairs`, left out because their inputs
        are the same, and `n_unmatched_pairs`. Attributes say which model, site and text they are of.

    Raises
    ------
    StoreError
        If the store has too few tokens.

    Notes
    -----
    A matched pair is in the same stratum: quarter of token frequency of both, third of window
    position of both, and whether their tokens are the same, alike in letters (Dice coefficient of
    letter pairs at least 0.5), or neither. It is drawn at random, used once, and is no similar pair.
    """
    store = at_checkpoint(store, checkpoint)
    rng = np.random.default_rng(seed)
    text = np.flatnonzero(store["position"].values > 0)
    n_drawn = min(n_tokens, len(text))
    if n_neighbours < 1 or n_drawn < n_neighbours + 2:
        raise StoreError(
            f"{n_neighbours} neighbours need at least {n_neighbours + 2} tokens, and {n_drawn} of {len(text)} are drawn; "
            "draw more, or extract more with --tokens"
        )
    tokens = np.sort(rng.choice(text, size=n_drawn, replace=False))
    strata = _Strata(store, text, tokens)
    candidates = strata.candidates(rng)
    candidate_strata = strata.of(candidates)

    def one(layer: xr.Dataset) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], int]:
        points = layer["mlp_input"].values
        similar = similar_pairs(points, n_neighbours)
        own = np.random.default_rng([seed, int(layer[LAYER])])
        matched = matched_pairs(similar.pairs, strata.of(similar.pairs), candidates, candidate_strata, own)
        matched[_is_similar(points, matched, similar.pairs)] = NO_PAIR
        return similar.pairs, similar.distance, matched, similar.n_identical

    found = each_layer(one, store[["mlp_input"]].isel({TOKEN: tokens}))
    n_pairs = max(len(pairs) for pairs, *_ in found)

    def column(arrays: list[NDArray[np.int64]], side: int) -> NDArray[np.int64]:
        rows = [np.where(array[:, side] == NO_PAIR, NO_PAIR, tokens[array[:, side]]) for array in arrays]
        return np.stack([np.pad(row, (0, n_pairs - len(row)), constant_values=NO_PAIR) for row in rows])

    similar, matched = [pairs for pairs, *_ in found], [pairs for *_, pairs, _ in found]
    distance = [np.pad(values, (0, n_pairs - len(values)), constant_values=np.nan) for _, values, *_ in found]
    return xr.Dataset(
        {
            "token_a": ((LAYER, PAIR), column(similar, 0)),
            "token_b": ((LAYER, PAIR), column(similar, 1)),
            "input_distance": ((LAYER, PAIR), np.stack(distance)),
            "matched_a": ((LAYER, PAIR), column(matched, 0)),
            "matched_b": ((LAYER, PAIR), column(matched, 1)),
            "n_identical_pairs": ((LAYER,), [n for *_, n in found]),
            "n_unmatched_pairs": ((LAYER,), [int((pairs[:, 0] == NO_PAIR).sum()) for pairs in matched]),
        },
        coords={LAYER: store[LAYER]},
        attrs={key: store.attrs[key] for key in IDENTITY if key in store.attrs}
        | {"n_tokens": len(tokens), "n_neighbours": n_neighbours, "seed": seed},
    )


def _is_similar(points: NDArray[np.floating], matched: NDArray[np.int64], similar: NDArray[np.int64]) -> NDArray[np.bool]:
    """Which matched pairs are similar pairs or have the same input."""
    x = points.astype(np.float32)
    same = np.linalg.norm(x[matched[:, 0]] - x[matched[:, 1]], axis=1) <= identical_below(points)
    low, high = matched.min(axis=1), matched.max(axis=1)
    return np.asarray(same | np.isin(low * len(points) + high, similar[:, 0] * len(points) + similar[:, 1]))


class _Strata:
    """What makes two pairs of the drawn tokens comparable."""

    def __init__(self, store: xr.Dataset, text: NDArray[np.int64], tokens: NDArray[np.int64]) -> None:
        ids = store["token_id"].values
        count = np.bincount(ids[text])[ids[tokens]]
        self._frequency = _bins(np.log(count), _N_FREQUENCIES)
        self._position = _bins(store["position"].values[tokens], _N_POSITIONS)
        _, first, self._type = np.unique(ids[tokens], return_index=True, return_inverse=True)
        self._alike = _alike([str(text) for text in store["token_text"].values[tokens[first]]])

    def of(self, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
        """The stratum of each pair (pair, 2) of drawn tokens."""
        kinds = self._type[pairs]
        code = np.where(kinds[:, 0] == kinds[:, 1], _SAME, np.where(self._alike[kinds[:, 0], kinds[:, 1]], _ALIKE, 0))
        for bins, n_bins in ((self._frequency, _N_FREQUENCIES), (self._position, _N_POSITIONS)):
            both = np.sort(bins[pairs], axis=1)
            code = (code * n_bins + both[:, 0]) * n_bins + both[:, 1]
        return code

    def candidates(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Pairs (pair, 2) of two drawn tokens: at random, and more of those whose tokens are alike, each once."""
        n = len(self._type)
        pairs = [rng.integers(0, n, size=(_N_RANDOM, 2))]
        by_type = np.argsort(self._type, kind="stable")
        starts = np.searchsorted(self._type[by_type], np.arange(self._alike.shape[0] + 1))
        related = np.argwhere(self._alike | np.eye(len(self._alike), dtype=bool))
        sizes = np.diff(starts)
        weight = (sizes[related[:, 0]] * sizes[related[:, 1]]).astype(float)
        kinds = related[rng.choice(len(related), size=_N_ALIKE, p=weight / weight.sum())]
        pairs.append(by_type[starts[kinds] + (rng.random(kinds.shape) * sizes[kinds]).astype(int)])
        both = np.sort(np.concatenate(pairs), axis=1)
        return np.unique(both[both[:, 0] != both[:, 1]], axis=0)


def _bins(values: NDArray[np.floating], n_bins: int) -> NDArray[np.int64]:
    """Quantile bin of each value."""
    return np.searchsorted(np.quantile(values, np.arange(1, n_bins) / n_bins), values)


def _alike(texts: list[str]) -> NDArray[np.bool]:
    """Which two of some texts share half of their letter pairs or more."""
    pairs = [
        {word[i : i + 2] for i in range(len(word) - 1)} or {word} for word in (f" {text.strip().lower()}" for text in texts)
    ]
    names = {pair: index for index, pair in enumerate(sorted(set().union(*pairs)))}
    has = np.zeros((len(texts), len(names)), np.float32)
    for row, found in enumerate(pairs):
        has[row, [names[pair] for pair in found]] = 1
    n = has.sum(axis=1)
    alike: NDArray[np.bool] = 2 * (has @ has.T) / (n[:, None] + n) >= _DICE
    return alike
