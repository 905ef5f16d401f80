"""Pairs of tokens that a layer sees as similar, and comparable pairs that it does not.

Owns the choice of pairs, once for all neurons of a layer: nearest neighbours of the MLP input, each with a matched pair. A
matched pair has dissimilar inputs, but similar token frequency, position and subword overlap.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from actstore.errors import StoreError
from actstore.store.schema import CHECKPOINT, LAYER, PAIR, TOKEN
from analysis.belonging import IDENTITY
from analysis.kernels.neighbours import identical_below, matched_pairs, similar_pairs
from analysis.labels import at_checkpoint, each_layer

NO_PAIR = -1
"""Token of a missing pair: the layer has fewer pairs than another layer, or no pair matches."""
N_TOKENS, N_NEIGHBOURS = 4096, 4
_N_RANDOM, _N_ALIKE = 200_000, 100_000
_N_FREQUENCIES, _N_POSITIONS = 4, 3
_SAME, _ALIKE = 2, 1
_DICE = 0.5


class TooFewTokensError(StoreError):
    """A text that is too short for pairs."""


class _LayerPairs(NamedTuple):
    """The pairs of a layer, as indices of the drawn tokens."""

    similar: NDArray[np.int64]
    """(pair, 2)"""
    distance: NDArray[np.float64]
    matched: NDArray[np.int64]
    """(pair, 2) `NO_PAIR` where none is left."""
    n_identical: int


def find_pairs(
    store: xr.Dataset,
    *,
    checkpoint: int | None = None,
    n_tokens: int = N_TOKENS,
    n_neighbours: int = N_NEIGHBOURS,
    seed: int = 0,
) -> xr.Dataset:
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
        Over (layer, pair): `token_a`, `token_b` (indices on `token`, never the same), `input_distance`,
        and `matched_a`, `matched_b`; -1 (distances: NaN) where a layer has fewer pairs or no comparable pair is left.
        Over layer: `n_identical_pairs`, which are left out because their inputs are the same, and
        `n_unmatched_pairs`. Attributes name the model, the site and the text.

    Raises
    ------
    TooFewTokensError
        If the store has too few tokens.

    Notes
    -----
    A matched pair is in the same stratum as its similar pair. A stratum holds the quarter of token frequency of both
    tokens, the third of window position of both, and whether the tokens are the same, alike in letters (Dice coefficient
    of letter pairs at least 0.5), or neither. A matched pair is drawn at random, used once, and is no similar pair.
    """
    return _found(at_checkpoint(store, checkpoint), _drawn(store, n_tokens, n_neighbours, seed))


def pairs_at_checkpoints(
    store: xr.Dataset, *, n_tokens: int = N_TOKENS, n_neighbours: int = N_NEIGHBOURS, seed: int = 0
) -> Iterator[tuple[int, xr.Dataset]]:
    """Every training step with the pairs of `find_pairs` there; tokens are drawn once.

    Raises
    ------
    TooFewTokensError
        If the store has too few tokens.
    """
    drawn = _drawn(store, n_tokens, n_neighbours, seed)
    for step in store[CHECKPOINT].values:
        yield int(step), _found(at_checkpoint(store, int(step)), drawn)


class _Drawn(NamedTuple):
    """Tokens of a text, and candidates for matched pairs of them: the same at every checkpoint."""

    tokens: NDArray[np.int64]
    strata: _Strata
    candidates: NDArray[np.int64]
    """(pair, 2)"""
    candidate_strata: NDArray[np.int64]
    n_neighbours: int
    seed: int


def _drawn(store: xr.Dataset, n_tokens: int, n_neighbours: int, seed: int) -> _Drawn:
    rng = np.random.default_rng(seed)
    text = np.flatnonzero(store["position"].values > 0)
    n_drawn = min(n_tokens, len(text))
    if n_neighbours < 1 or n_drawn < n_neighbours + 2:
        raise TooFewTokensError(
            f"{n_neighbours} neighbours need at least {n_neighbours + 2} tokens, and {n_drawn} of {len(text)} are drawn; "
            "draw more, or extract more with --tokens"
        )
    tokens = np.sort(rng.choice(text, size=n_drawn, replace=False))
    strata = _Strata(store, text, tokens)
    candidates = strata.candidates(rng)
    return _Drawn(tokens, strata, candidates, strata.of(candidates), n_neighbours, seed)


def _found(store: xr.Dataset, drawn: _Drawn) -> xr.Dataset:
    """The pairs of every layer of a store at one checkpoint."""
    tokens = drawn.tokens

    def of_layer(layer: xr.Dataset) -> _LayerPairs:
        points = layer["mlp_input"].values
        pairs, distance, n_identical = similar_pairs(points, drawn.n_neighbours)
        rng = np.random.default_rng([drawn.seed, int(layer[LAYER])])
        matched = matched_pairs(pairs, drawn.strata.of(pairs), drawn.candidates, drawn.candidate_strata, rng)
        matched[_is_similar(points, matched, pairs)] = NO_PAIR
        return _LayerPairs(pairs, distance, matched, n_identical)

    layers = each_layer(of_layer, store[["mlp_input"]].isel({TOKEN: tokens}))
    identity = {key: store.attrs[key] for key in IDENTITY if key in store.attrs}
    return xr.Dataset(
        _columns(layers, tokens),
        coords={LAYER: store[LAYER]},
        attrs=identity | {"n_tokens": len(tokens), "n_neighbours": drawn.n_neighbours, "seed": drawn.seed},
    )


def _columns(layers: list[_LayerPairs], tokens: NDArray[np.int64]) -> dict[str, tuple[tuple[str, ...], NDArray[Any]]]:
    """The variables of `find_pairs`; layers with fewer pairs than others are filled up."""
    n_pairs = max(len(layer.similar) for layer in layers)

    def filled(rows: list[NDArray[Any]], fill: float) -> tuple[tuple[str, ...], NDArray[Any]]:
        return (LAYER, PAIR), np.stack([np.pad(row, (0, n_pairs - len(row)), constant_values=fill) for row in rows])

    def ends(pairs: list[NDArray[np.int64]], side: int) -> tuple[tuple[str, ...], NDArray[Any]]:
        return filled([np.where(array[:, side] == NO_PAIR, NO_PAIR, tokens[array[:, side]]) for array in pairs], NO_PAIR)

    similar, matched = [layer.similar for layer in layers], [layer.matched for layer in layers]
    return {
        "token_a": ends(similar, 0),
        "token_b": ends(similar, 1),
        "input_distance": filled([layer.distance for layer in layers], np.nan),
        "matched_a": ends(matched, 0),
        "matched_b": ends(matched, 1),
        "n_identical_pairs": ((LAYER,), np.array([layer.n_identical for layer in layers])),
        "n_unmatched_pairs": ((LAYER,), np.array([(pairs[:, 0] == NO_PAIR).sum() for pairs in matched])),
    }


def _is_similar(points: NDArray[np.floating], matched: NDArray[np.int64], similar: NDArray[np.int64]) -> NDArray[np.bool]:
    """Which matched pairs are similar pairs or have the same input."""
    x = points.astype(np.float32)
    same = np.linalg.norm(x[matched[:, 0]] - x[matched[:, 1]], axis=1) <= identical_below(points)
    low, high = matched.min(axis=1), matched.max(axis=1)
    return np.asarray(same | np.isin(low * len(points) + high, similar[:, 0] * len(points) + similar[:, 1]))


class _Strata:
    """Strata of pairs of drawn tokens; pairs of one stratum are comparable."""

    def __init__(self, store: xr.Dataset, text: NDArray[np.int64], tokens: NDArray[np.int64]) -> None:
        ids = store["token_id"].values
        count = np.bincount(ids[text])[ids[tokens]]
        self._frequency = _bins(np.log(count), _N_FREQUENCIES)
        self._position = _bins(store["position"].values[tokens], _N_POSITIONS)
        _, first, self._type = np.unique(ids[tokens], return_index=True, return_inverse=True)
        self._alike = _alike([str(text) for text in store["token_text"].values[tokens[first]]])

    def of(self, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
        """The stratum of each pair (pair, 2) of drawn tokens."""
        types = self._type[pairs]
        is_alike = self._alike[types[:, 0], types[:, 1]]
        code = np.where(types[:, 0] == types[:, 1], _SAME, np.where(is_alike, _ALIKE, 0))
        for bins, n_bins in ((self._frequency, _N_FREQUENCIES), (self._position, _N_POSITIONS)):
            both = np.sort(bins[pairs], axis=1)
            code = (code * n_bins + both[:, 0]) * n_bins + both[:, 1]
        return code

    def candidates(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Pairs (pair, 2) of two drawn tokens, each once: random ones, and additional ones whose tokens are alike."""
        n = len(self._type)
        pairs = [rng.integers(0, n, size=(_N_RANDOM, 2))]
        by_type = np.argsort(self._type, kind="stable")
        starts = np.searchsorted(self._type[by_type], np.arange(self._alike.shape[0] + 1))
        related = np.argwhere(self._alike | np.eye(len(self._alike), dtype=bool))
        sizes = np.diff(starts)
        weight = (sizes[related[:, 0]] * sizes[related[:, 1]]).astype(float)
        types = related[rng.choice(len(related), size=_N_ALIKE, p=weight / weight.sum())]
        pairs.append(by_type[starts[types] + (rng.random(types.shape) * sizes[types]).astype(int)])
        ordered = np.sort(np.concatenate(pairs), axis=1)
        return np.unique(ordered[ordered[:, 0] != ordered[:, 1]], axis=0)


def _bins(values: NDArray[np.floating], n_bins: int) -> NDArray[np.int64]:
    """Quantile bin of each value."""
    return np.searchsorted(np.quantile(values, np.arange(1, n_bins) / n_bins), values)


def _alike(texts: list[str]) -> NDArray[np.bool]:
    """Which two texts share at least half of their letter pairs (text, text)."""
    words = [f" {text.strip().lower()}" for text in texts]
    letter_pairs = [{word[i : i + 2] for i in range(len(word) - 1)} or {word} for word in words]
    column = {pair: index for index, pair in enumerate(sorted(set().union(*letter_pairs)))}
    has_pair = np.zeros((len(texts), len(column)), np.float32)
    for row, pairs in enumerate(letter_pairs):
        has_pair[row, [column[pair] for pair in pairs]] = 1
    n = has_pair.sum(axis=1)
    is_alike: NDArray[np.bool] = 2 * (has_pair @ has_pair.T) / (n[:, None] + n) >= _DICE
    return is_alike
