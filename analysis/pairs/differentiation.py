"""Which pairs of similar inputs a neuron drives apart, and on which side of zero.

Owns the counts of negative–negative, positive–negative and positive–positive pairs against two
baselines, and what the words of these pairs have in common. Reference: Kong et al. (2026),
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

from actstore.errors import SelectionError
from actstore.selection.selection import Selection
from actstore.store.schema import LAYER, NEURON, PAIR, TOKEN
from analysis.kernels.multiplicity import benjamini_hochberg
from analysis.kernels.pair_cohorts import PoolSigns, cohort_signs
from analysis.kernels.pairs import SIGNS, furthest_pairs, n_negative, predicted_fractions, sign_fractions
from analysis.kernels.ties import keyed
from analysis.labels import at_checkpoint, each_layer
from analysis.pairs.similarity import NO_PAIR

POOLS = ("similar", "matched", "sign_frequencies")
"""The furthest of the similar pairs; of their matched pairs; two independent values of the neuron's signs."""
REST = "rest"
FEATURES = ("upos", "deprel", "word_form")
_TIE = 1e-6
"""Weight of a midpoint in standard deviations against a share of pairs: less than one pair in all."""


class _Sample(NamedTuple):
    """A layer's values (neuron, token) at the drawn tokens, and its pairs, by their position among these."""

    layer: int
    values: NDArray[np.float32]
    similar: NDArray[np.int64]
    matched: NDArray[np.int64]
    chosen: NDArray[np.bool]


def pair_differentiation(
    store: xr.Dataset, pairs: xr.Dataset, selection: Selection, *, checkpoint: int | None = None,
    n_top: int = 100, n_permutations: int = 199, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    """Signs of the similar pairs that each neuron drives furthest apart, against two baselines.

    Parameters
    ----------
    store : Dataset
        A store of `actstore extract`.
    pairs : Dataset
        Of `find_pairs` on the same store and checkpoint.
    selection : Selection
        The Wasserstein neurons; all others are the rest.
    checkpoint : int, optional
        Training step; the last one by default.
    n_top : int
        Pairs of a pool that a neuron drives furthest apart, by the absolute difference of its
        pre-activations.
    n_permutations : int
        Of the neuron's values over tokens, for `p_value`.
    seed : int

    Returns
    -------
    Dataset
        `pair_frac` (layer, neuron, pool, signs): fractions of NN, PN and PP pairs, 0 to 1;
        `p_value`, `q_value` (layer, neuron) of the selected neurons, NaN elsewhere;
        `cohort_pair_frac` (layer, cohort, pool, signs) and `cohort_excess` (the same without the
        pool `similar`): means over a cohort's neurons and what similar pairs have beyond the
        baseline, with `…_bounds` (…, ci_bound) of 95%; `cohort_difference` (layer, signs) with its
        bounds: the selected neurons' excess over `matched` less the rest's; `n_pairs` (layer), `n_neurons` (layer,
        cohort); attributes `cluster` (document) and `n_clusters`. NaN bounds: of one document.

    Raises
    ------
    SelectionError
        If no selected layer is in the store, or its pairs are fewer than `n_top`.

    Notes
    -----
    Both pools hold the same number of pairs: a similar pair without a match is left out. The
    furthest pairs of a pool are those of unlike signs more often than chance even for a neuron
    that knows nothing of its inputs, so the fair baseline is `matched`: chosen the same way among
    comparable pairs of dissimilar inputs. `sign_frequencies` is p², 2p(1−p), (1−p)². The p-value
    permutes the neuron's values over the drawn tokens and compares the excess of NN over
    `matched`, two-sided; counts that tie are ordered by how much lower the pairs' midpoints lie.
    q-values are Benjamini and Hochberg's over all selected neurons. Bounds are Student's t over documents, a pair
    weighing the product of both documents' weights, and over the cohort's neurons (of one neuron: over documents alone);
    see `analysis.kernels.clusters`.
    """
    layers = _layers(store, pairs, selection, checkpoint, n_top)
    cluster = np.unique(layers.tokens["document"].values, return_inverse=True)[1]

    def one(layer: xr.Dataset) -> dict[str, Any]:
        sample = layers.sample(layer)
        rng = np.random.default_rng([seed, sample.layer])
        below, pools = sample.values < 0, _furthest(sample.values, sample, n_top)
        predicted = predicted_fractions(below.mean(axis=1))
        signs = [PoolSigns(pool.n_below, cluster[pool.pairs[pool.top]]) for pool in pools]
        return {
            "pair_frac": np.stack([*(sign_fractions(pool.n_below) for pool in pools), predicted], axis=1),
            "n_pairs": np.float64(len(sample.similar)),
            "p_value": _nn_test(sample, n_top, n_permutations, rng),
            "n_neurons": np.array([sample.chosen.sum(), (~sample.chosen).sum()]),
        } | cohort_signs(below, signs, cluster, sample.chosen)  # fmt: skip

    found = each_layer(one, layers.data)
    dims: dict[str, tuple[str, ...]] = {
        "pair_frac": (NEURON, "pool", "signs"),
        "p_value": (NEURON,),
        "n_pairs": (),
        "n_neurons": ("cohort",),
        "cohort_pair_frac": ("cohort", "pool", "signs"),
        "cohort_excess": ("cohort", "baseline", "signs"),
        "cohort_difference": ("signs",),
    }
    dims |= {f"{name}_bounds": (*dims[name], "ci_bound") for name in ("cohort_pair_frac", "cohort_excess", "cohort_difference")}
    result = xr.Dataset(
        {name: ((LAYER, *dims[name]), np.stack([part[name] for part in found])) for name in dims},
        coords={
            LAYER: layers.data[LAYER].values, "pool": list(POOLS), "baseline": list(POOLS[1:]), "signs": list(SIGNS),
            "cohort": [selection.rule, REST], "ci_bound": ["lower", "upper"],
        },
        attrs={
            "n_top": n_top, "n_permutations": n_permutations, "seed": seed, "cluster": "document",
            "n_clusters": int(cluster.max()) + 1,
        } | pairs.attrs,
    )  # fmt: skip
    return result.assign(q_value=((LAYER, NEURON), benjamini_hochberg(result["p_value"].values)))


def pair_labels(
    store: xr.Dataset, pairs: xr.Dataset, selection: Selection, *, checkpoint: int | None = None,
    features: Sequence[str] = FEATURES, n_top: int = 100, min_count: int = 20, n_permutations: int = 199, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Which words, parts of speech and relations the furthest pairs hold, against the similar pairs at large.

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
        the first against the second, `beyond` (less its mean under permutation) with 95% bounds
        from the spread there, `log_odds_rest` the same log-odds of the other neurons, `z`, `p_value`, and `q_value` over all
        rows (Benjamini and Hochberg); `n_clusters` and `cluster` (tokens, which are what is permuted).

    Raises
    ------
    SelectionError
        As `pair_differentiation`.

    Notes
    -----
    Counts are of words, two a pair, with 0.5 added to each cell. z compares the log-odds with its
    mean and standard deviation when the neurons' values are permuted over tokens, which keeps
    that one far-out token takes all its pairs with it.
    """
    layers = _layers(store, pairs, selection, checkpoint, n_top)
    coded = {name: pd.factorize(layers.tokens[name].values.astype(str)) for name in features}

    def one(layer: xr.Dataset) -> list[pd.DataFrame]:
        sample = layers.sample(layer)
        if not sample.chosen.any():
            return []
        rng = np.random.default_rng([seed, sample.layer])
        selected = sample.values[sample.chosen]
        tops = [furthest_pairs(selected, sample.similar, n_top)]
        tops += [furthest_pairs(values, sample.similar, n_top) for values in _permuted(selected, n_permutations, rng)]
        rest = furthest_pairs(sample.values[~sample.chosen], sample.similar, n_top)
        frames = [_log_odds(sample, name, codes, values, tops, rest, min_count) for name, (codes, values) in coded.items()]
        return [frame for frame in frames if len(frame)]

    frames = [frame for part in each_layer(one, layers.data) for frame in part]
    columns = ["layer", "feature", "value", "n_top", "n_similar", "log_odds", "beyond", "beyond_lower", "beyond_upper", "log_odds_rest", "z",
               "p_value"]  # fmt: skip
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
    q_value = benjamini_hochberg(table["p_value"].to_numpy(dtype=float))
    return table.assign(q_value=q_value, n_clusters=layers.tokens.sizes[TOKEN], cluster="token")


def cohort_table(found: xr.Dataset) -> pd.DataFrame:
    """The shares of a cohort by layer as a tidy table.

    Parameters
    ----------
    found : Dataset
        Of `pair_differentiation`.

    Returns
    -------
    DataFrame
        One row a (layer, cohort, pool, signs): `pair_frac` and, for the pool `similar`, nothing more;
        for a baseline also `excess`, what similar pairs have beyond it; all with 95% bounds; `n_neurons` of the cohort,
        `n_clusters` and `cluster` (documents).
    """
    frames = []
    for name, column, dim in (("cohort_pair_frac", "pair_frac", "pool"), ("cohort_excess", "excess", "baseline")):
        values = xr.Dataset({
            column: found[name],
            f"{column}_lower": found[f"{name}_bounds"].sel(ci_bound="lower", drop=True),
            f"{column}_upper": found[f"{name}_bounds"].sel(ci_bound="upper", drop=True),
        })  # fmt: skip
        kept = [LAYER, "cohort", dim, "signs"]
        frames.append(values.to_dataframe().reset_index()[[*kept, *map(str, values.data_vars)]].rename(columns={dim: "pool"}))
    table = frames[0].merge(frames[1], on=[LAYER, "cohort", "pool", "signs"], how="left")
    table = table.merge(found["n_neurons"].to_dataframe().reset_index(), on=[LAYER, "cohort"], how="left")
    return table.assign(n_clusters=found.attrs["n_clusters"], cluster=found.attrs["cluster"])


def most_differentiated(
    store: xr.Dataset, pairs: xr.Dataset, selection: Selection, *, checkpoint: int | None = None, n_top: int = 3
) -> pd.DataFrame:
    """The negative–negative similar pairs that each selected neuron drives furthest apart.

    Parameters
    ----------
    store, pairs, selection, checkpoint
        As in `pair_differentiation`.
    n_top : int
        Pairs a neuron, no two of which share a token.

    Returns
    -------
    DataFrame
        One row a pair, the furthest first, those that tie by their tokens: `layer`, `neuron`,
        `token_a`, `token_b` (positions on `token`), `preactivation_a`, `preactivation_b`. A neuron
        has fewer rows where it has fewer such pairs.
    """
    layers = _layers(store, pairs, selection, checkpoint, n_top)

    def one(layer: xr.Dataset) -> list[tuple[object, ...]]:
        sample = layers.sample(layer)
        rows: list[tuple[object, ...]] = []
        for neuron in np.flatnonzero(sample.chosen):
            ends = sample.values[neuron][sample.similar]
            gap = np.where((ends < 0).all(axis=1), np.abs(ends[:, 0] - ends[:, 1]), 0)
            n_separated = (gap > 0).sum()
            order = np.argsort(-keyed(gap, np.arange(len(gap))[::-1]))
            for index in _disjoint(sample.similar, order[:n_separated], n_top):
                a, b = layers.numbers[sample.similar[index]]
                rows.append((sample.layer, int(neuron), int(a), int(b), *map(float, ends[index])))
        return rows

    columns = ["layer", "neuron", "token_a", "token_b", "preactivation_a", "preactivation_b"]
    return pd.DataFrame([row for part in each_layer(one, layers.data) for row in part], columns=columns)


def _disjoint(pairs: NDArray[np.int64], order: NDArray[np.int64], n_top: int) -> list[int]:
    """The first pairs in an order that have no token in common."""
    found: list[int] = []
    seen: set[int] = set()
    for index in order:
        ends = {int(token) for token in pairs[index]}
        if len(found) < n_top and not ends & seen:
            found.append(int(index))
            seen |= ends
    return found


class _Layers(NamedTuple):
    """The values at the pairs' tokens, layer by layer with the pairs themselves."""

    data: xr.Dataset
    tokens: xr.Dataset
    """Their labels."""
    numbers: NDArray[np.int64]
    """Their positions in the store."""
    selection: Selection

    def sample(self, layer: xr.Dataset) -> _Sample:
        number = int(layer[LAYER])
        values = np.ascontiguousarray(layer["preactivation"].transpose(NEURON, TOKEN).values.astype(np.float32))
        there = (layer["token_a"].values != NO_PAIR) & (layer["matched_a"].values != NO_PAIR)
        similar, matched = (
            np.searchsorted(
                self.numbers, np.stack([layer[f"{kind}_a"].values[there], layer[f"{kind}_b"].values[there]], axis=1)
            )
            for kind in ("token", "matched")
        )
        chosen = np.zeros(len(values), dtype=bool)
        chosen[list(self.selection.neurons.get(number, ()))] = True
        return _Sample(number, values, similar, matched, chosen)


def _layers(store: xr.Dataset, pairs: xr.Dataset, selection: Selection, checkpoint: int | None, n_top: int) -> _Layers:
    store = at_checkpoint(store, checkpoint)
    if not set(selection.neurons) & {int(layer) for layer in store[LAYER].values}:
        raise SelectionError("no layer of the selection is in the store; select neurons on the same store")
    if selection.n_neurons_per_layer != store.sizes[NEURON]:
        raise SelectionError(
            f"the selection is for layers of {selection.n_neurons_per_layer} neurons, the store has {store.sizes[NEURON]}"
        )
    least = int(((pairs["matched_a"] != NO_PAIR) & (pairs["token_a"] != NO_PAIR)).sum(PAIR).min())
    if least < n_top:
        raise SelectionError(
            f"a layer has {least} pairs with a match, {n_top} are asked for; extract more tokens or take a smaller n_top"
        )
    used = np.unique(np.concatenate([pairs[name].values.ravel() for name in ("token_a", "token_b", "matched_a", "matched_b")]))
    used = used[used != NO_PAIR]
    tokens = store.isel({TOKEN: used})
    names = ["token_a", "token_b", "matched_a", "matched_b"]
    data = tokens[["preactivation"]].drop_vars([name for name in tokens.coords if name != LAYER]).merge(pairs[names])
    return _Layers(data, tokens, used, selection)


class _Furthest(NamedTuple):
    """A pool's pairs, which of them each neuron drives furthest apart, and how many of their values are negative."""

    pairs: NDArray[np.int64]
    top: NDArray[np.int64]
    n_below: NDArray[np.int64]


def _furthest(values: NDArray[np.float32], sample: _Sample, n_top: int) -> list[_Furthest]:
    """Of the similar pairs and of the matched ones."""
    found = []
    for pairs in (sample.similar, sample.matched):
        top = furthest_pairs(values, pairs, n_top)
        found.append(_Furthest(pairs, top, n_negative(values, pairs, top)))
    return found


def _nn_excess(values: NDArray[np.float32], sample: _Sample, n_top: int) -> NDArray[np.float64]:
    """NN of the similar pairs beyond the matched ones, either way, neuron by neuron; ties broken by the pairs' midpoints."""
    nn, midpoint = [], []
    for pairs, top, n_below in _furthest(values, sample, n_top):
        nn.append((n_below == 2).mean(axis=1))
        midpoint.append(np.take_along_axis(values, pairs[top].reshape(len(values), -1), axis=1).mean(axis=1, dtype=np.float64))
    scale = values.std(axis=1, dtype=np.float64)
    return np.asarray(np.abs(nn[0] - nn[1]) + _TIE * np.abs(midpoint[0] - midpoint[1]) / np.where(scale > 0, scale, 1))


def _permuted(values: NDArray[np.float32], n_permutations: int, rng: np.random.Generator) -> Any:
    return (np.ascontiguousarray(values[:, rng.permutation(values.shape[1])]) for _ in range(n_permutations))


def _nn_test(sample: _Sample, n_top: int, n_permutations: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Two-sided permutation p of the selected neurons' NN excess."""
    p = np.full(len(sample.values), np.nan)
    selected = sample.values[sample.chosen]
    if len(selected) and n_permutations:
        observed = _nn_excess(selected, sample, n_top)
        null = np.stack([_nn_excess(values, sample, n_top) for values in _permuted(selected, n_permutations, rng)])
        p[sample.chosen] = (1 + (null >= observed).sum(axis=0)) / (1 + n_permutations)
    return p


def _log_odds(
    sample: _Sample, feature: str, codes: NDArray[np.int64], values: Any, tops: list[NDArray[np.int64]],
    rest: NDArray[np.int64], min_count: int,
) -> pd.DataFrame:  # fmt: skip
    """Log-odds of every value in the furthest pairs: `tops` are the observed ones, then those of permutations."""

    def count(pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.bincount(codes[pairs].ravel(), minlength=len(values)).astype(float)

    at_large = count(sample.similar)
    kept = (at_large >= min_count) & (np.asarray(values) != "")
    if not kept.any():
        return pd.DataFrame()

    def log_odds(pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        odds = [(part + 0.5) / (part.sum() - part + 0.5) for part in (count(pairs), at_large)]
        difference: NDArray[np.float64] = (np.log(odds[0]) - np.log(odds[1]))[kept]
        return difference

    observed, *null = (log_odds(sample.similar[top]) for top in tops)
    spread = np.std(null, axis=0, ddof=1)
    beyond = observed - np.mean(null, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = beyond / np.where(spread > 0, spread, np.nan)
    return pd.DataFrame({
        "layer": sample.layer, "feature": feature, "value": np.asarray(values)[kept],
        "n_top": count(sample.similar[tops[0]])[kept].astype(int), "n_similar": at_large[kept].astype(int),
        "log_odds": observed, "beyond": beyond, "beyond_lower": beyond - 1.96 * spread, "beyond_upper": beyond + 1.96 * spread,
        "log_odds_rest": log_odds(sample.similar[rest]), "z": z, "p_value": 2 * norm.sf(np.abs(z)),
    })  # fmt: skip
