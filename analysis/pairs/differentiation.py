"""Which pairs of similar inputs a neuron drives apart, and on which side of zero.

Owns the fractions of negative–negative, positive–negative and positive–positive pairs (NN, PN, PP) against two baselines.
Reference: Kong et al. (2026), section 4.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from actstore.selection.selection import Selection
from actstore.store.schema import LAYER, NEURON
from analysis.kernels.multiplicity import benjamini_hochberg
from analysis.kernels.pair_cohorts import PoolSigns, cohort_signs
from analysis.kernels.pairs import SIGNS, furthest_disjoint, furthest_pairs, n_negative, predicted_fractions, sign_fractions
from analysis.kernels.permutation import count_p_value
from analysis.labels import each_layer
from analysis.pairs.samples import Sample, pair_tokens

POOLS = ("similar", "matched", "sign_frequencies")
"""The furthest similar pairs; the furthest matched pairs; two independent values with the neuron's frequency of signs."""
REST = "rest"
"""`cohort` of the neurons that are not selected."""
_DIMS: dict[str, tuple[str, ...]] = {
    "pair_frac": (NEURON, "pool", "signs"),
    "p_value": (NEURON,),
    "n_pairs": (),
    "n_neurons": ("cohort",),
    "cohort_pair_frac": ("cohort", "pool", "signs"),
    "cohort_excess": ("cohort", "baseline", "signs"),
    "cohort_difference": ("signs",),
    "cohort_pair_frac_bounds": ("cohort", "pool", "signs", "ci_bound"),
    "cohort_excess_bounds": ("cohort", "baseline", "signs", "ci_bound"),
    "cohort_difference_bounds": ("signs", "ci_bound"),
}
"""Dims of the result after `layer`."""
_TIE = 1e-6
"""Weight of a midpoint, in standard deviations, against a fraction of pairs: too small to outweigh a single pair."""


class _Furthest(NamedTuple):
    """A pool's pairs, those that each neuron drives furthest apart, and how many of their values are negative."""

    pairs: NDArray[np.int64]
    top: NDArray[np.int64]
    n_below: NDArray[np.int64]


def pair_differentiation(
    store: xr.Dataset,
    pairs: xr.Dataset,
    selection: Selection,
    *,
    checkpoint: int | None = None,
    n_top: int = 100,
    n_permutations: int = 199,
    seed: int = 0,
) -> xr.Dataset:
    """Signs of the similar pairs that each neuron drives furthest apart, against two baselines.

    Parameters
    ----------
    store : Dataset
        A store of `actstore extract`.
    pairs : Dataset
        Of `find_pairs` on the same store and checkpoint.
    selection : Selection
        The Wasserstein neurons; all other neurons are the rest.
    checkpoint : int, optional
        Training step; the last one by default.
    n_top : int
        Pairs of a pool that a neuron drives furthest apart, by the absolute difference of its
        pre-activations.
    n_permutations : int
        Permutations of the neuron's values over tokens, for `p_value`.
    seed : int

    Returns
    -------
    Dataset
        `pair_frac` (layer, neuron, pool, signs): fractions of NN, PN and PP pairs, 0 to 1;
        `p_value`, `q_value` (layer, neuron) of the selected neurons, NaN elsewhere;
        `cohort_pair_frac` (layer, cohort, pool, signs): means over a cohort's neurons;
        `cohort_excess` (layer, cohort, baseline, signs): the mean of similar pairs less that of the baseline;
        `cohort_difference` (layer, signs): the selected neurons' excess over `matched` less the rest's;
        the `…_bounds` (…, ci_bound) of these three, of 95%; `n_pairs` (layer), `n_neurons` (layer, cohort); attributes
        `cluster` (document) and `n_clusters`. Bounds are NaN with a single document.

    Raises
    ------
    SelectionError
        If no selected layer is in the store, or its pairs are fewer than `n_top`.

    Notes
    -----
    Both pools hold the same number of pairs: a similar pair without a match is left out. Even for a neuron whose values
    do not depend on its inputs, the furthest pairs of a pool have unlike signs more often than two independent values.
    So the fair baseline is `matched`: the furthest among comparable pairs of dissimilar inputs. `sign_frequencies` is
    p², 2p(1−p), (1−p)². The p-value permutes the neuron's values over the drawn tokens and compares the excess of NN over
    `matched`, two-sided; ties are broken by the difference of the pairs' midpoints. q-values are Benjamini and
    Hochberg's over all selected neurons. Bounds are Student's t over documents, where a pair's weight is the product of
    both documents' weights, and over the cohort's neurons (for a single neuron, over documents alone); see
    `analysis.kernels.clusters`.
    """
    tokens = pair_tokens(store, pairs, selection, checkpoint, n_top)
    cluster = np.unique(tokens.labels["document"].values, return_inverse=True)[1]

    def of_layer(layer: xr.Dataset) -> dict[str, Any]:
        sample = tokens.sample(layer)
        is_below, pools = sample.values < 0, _furthest(sample.values, sample, n_top)
        fractions = [*(sign_fractions(pool.n_below) for pool in pools), predicted_fractions(is_below.mean(axis=1))]
        signs = [PoolSigns(pool.n_below, cluster[pool.pairs[pool.top]]) for pool in pools]
        return cohort_signs(is_below, signs, cluster, sample.is_selected) | {
            "pair_frac": np.stack(fractions, axis=1),
            "n_pairs": np.float64(len(sample.similar)),
            "p_value": _nn_test(sample, n_top, n_permutations, np.random.default_rng([seed, sample.layer])),
            "n_neurons": np.array([sample.is_selected.sum(), (~sample.is_selected).sum()]),
        }

    layers = each_layer(of_layer, tokens.layers)
    attrs = {"n_top": n_top, "n_permutations": n_permutations, "seed": seed}
    result = xr.Dataset(
        {name: ((LAYER, *dims), np.stack([layer[name] for layer in layers])) for name, dims in _DIMS.items()},
        coords={
            LAYER: tokens.layers[LAYER].values,
            "pool": list(POOLS),
            "baseline": list(POOLS[1:]),
            "signs": list(SIGNS),
            "cohort": [selection.rule, REST],
            "ci_bound": ["lower", "upper"],
        },
        attrs=attrs | {"cluster": "document", "n_clusters": int(cluster.max()) + 1} | pairs.attrs,
    )
    return result.assign(q_value=((LAYER, NEURON), benjamini_hochberg(result["p_value"].values)))


def cohort_table(differentiation: xr.Dataset) -> pd.DataFrame:
    """The fractions of every cohort by layer, as a tidy table.

    Parameters
    ----------
    differentiation : Dataset
        Of `pair_differentiation`.

    Returns
    -------
    DataFrame
        One row a (layer, cohort, pool, signs): `pair_frac` and, for a baseline, `excess`, the fraction of similar pairs
        less the baseline's (NaN for the pool `similar`); both with 95% bounds; `n_neurons` of the cohort, `n_clusters`
        and `cluster` (documents).
    """
    frames = []
    for name, column, dim in (("cohort_pair_frac", "pair_frac", "pool"), ("cohort_excess", "excess", "baseline")):
        bounds = {side: differentiation[f"{name}_bounds"].sel(ci_bound=side, drop=True) for side in ("lower", "upper")}
        values = xr.Dataset({column: differentiation[name]} | {f"{column}_{side}": bound for side, bound in bounds.items()})
        frame = values.to_dataframe().reset_index()[[LAYER, "cohort", dim, "signs", *map(str, values.data_vars)]]
        frames.append(frame.rename(columns={dim: "pool"}))
    table = frames[0].merge(frames[1], on=[LAYER, "cohort", "pool", "signs"], how="left")
    table = table.merge(differentiation["n_neurons"].to_dataframe().reset_index(), on=[LAYER, "cohort"], how="left")
    return table.assign(n_clusters=differentiation.attrs["n_clusters"], cluster=differentiation.attrs["cluster"])


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
        One row a pair, a neuron's furthest pair first, ties by their tokens: `layer`, `neuron`,
        `token_a`, `token_b` (indices on `token`), `preactivation_a`, `preactivation_b`. A neuron
        with fewer such pairs has fewer rows.
    """
    tokens = pair_tokens(store, pairs, selection, checkpoint, n_top)

    def of_layer(layer: xr.Dataset) -> list[tuple[object, ...]]:
        sample = tokens.sample(layer)
        rows: list[tuple[object, ...]] = []
        for neuron in np.flatnonzero(sample.is_selected):
            ends = sample.values[neuron][sample.similar]
            gap = np.where((ends < 0).all(axis=1), np.abs(ends[:, 0] - ends[:, 1]), 0)
            for index in furthest_disjoint(gap, sample.similar, n_top):
                a, b = tokens.indices[sample.similar[index]]
                rows.append((sample.layer, int(neuron), int(a), int(b), *map(float, ends[index])))
        return rows

    columns = ["layer", "neuron", "token_a", "token_b", "preactivation_a", "preactivation_b"]
    return pd.DataFrame([row for rows in each_layer(of_layer, tokens.layers) for row in rows], columns=columns)


def _furthest(values: NDArray[np.float32], sample: Sample, n_top: int) -> list[_Furthest]:
    """The furthest of the similar pairs, and of the matched pairs."""
    tops = [(pairs, furthest_pairs(values, pairs, n_top)) for pairs in (sample.similar, sample.matched)]
    return [_Furthest(pairs, top, n_negative(values, pairs, top)) for pairs, top in tops]


def _nn_excess(values: NDArray[np.float32], sample: Sample, n_top: int) -> NDArray[np.float64]:
    """Absolute difference of NN between similar and matched pairs (neuron,); ties are broken by the pairs' midpoints."""
    nn, midpoint = [], []
    for pairs, top, n_below in _furthest(values, sample, n_top):
        nn.append((n_below == 2).mean(axis=1))
        ends = np.take_along_axis(values, pairs[top].reshape(len(values), -1), axis=1)
        midpoint.append(ends.mean(axis=1, dtype=np.float64))
    scale = values.std(axis=1, dtype=np.float64)
    return np.asarray(np.abs(nn[0] - nn[1]) + _TIE * np.abs(midpoint[0] - midpoint[1]) / np.where(scale > 0, scale, 1))


def _nn_test(sample: Sample, n_top: int, n_permutations: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Two-sided permutation p-value of the selected neurons' NN excess (neuron,)."""
    p = np.full(len(sample.values), np.nan)
    if sample.is_selected.any() and n_permutations:
        observed = _nn_excess(sample.values[sample.is_selected], sample, n_top)
        null = [_nn_excess(values, sample, n_top) for values in sample.permuted(n_permutations, rng)]
        p[sample.is_selected] = count_p_value((np.stack(null) >= observed).sum(axis=0), n_permutations)
    return p
