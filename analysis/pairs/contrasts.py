"""Whether Wasserstein neurons drive similar inputs apart on their negative side more than other neurons do.

Owns the contrasts of cohorts over all layers and over depth, of the functional share and of the counts of signs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from actstore.selection.selection import Selection
from actstore.store.schema import LAYER
from analysis.contrasts import contrast_columns
from analysis.kernels.activations import ACTIVATIONS
from analysis.kernels.cohort_effects import (
    CohortEffect,
    cohort_effect,
    mean_weights,
    shuffled_differences,
    slope_weights,
    weighted_effect,
)
from analysis.kernels.multiplicity import adjusted
from analysis.kernels.pairs import fraction_moves, furthest_pairs, n_negative, sign_fractions
from analysis.kernels.permutation import permutation_p_value
from analysis.kernels.ranks import ranks_and_squares
from analysis.kernels.separation import Activations, separation_shares
from analysis.labels import each_layer
from analysis.pairs.samples import Sample, pair_tokens

FUNCTIONAL, NEGATIVE = "functional share", "negative–negative share"
MEAN, SLOPE = "mean over layers", "slope over depth"
NOTHING, SHAPE = "nothing", "skewness, kurtosis and share of negatives"
"""What neurons of both cohorts are compared at equal values of."""
_SHAPE = ("skewness", "excess_kurtosis", "negative_frac")


class _Excess(NamedTuple):
    """Similar less matched pairs, of every neuron of a layer."""

    value: NDArray[np.float64]
    """(neuron,)"""
    moves: NDArray[np.float64]
    """(neuron, cluster)"""


class _Layer(NamedTuple):
    layer: int
    is_selected: NDArray[np.bool_]
    excess: dict[str, _Excess]
    covariates: NDArray[np.float64]


def pair_contrasts(
    store: xr.Dataset,
    pairs: xr.Dataset,
    selection: Selection,
    statistics: xr.Dataset,
    *,
    checkpoint: int | None = None,
    n_top: int = 100,
    n_permutations: int = 999,
    seed: int = 0,
) -> pd.DataFrame:
    r"""Contrasts of the selected neurons' excess over matched pairs less that of the rest.

    Parameters
    ----------
    store, pairs, selection, checkpoint, n_top
        As in `pair_differentiation`.
    statistics : Dataset
        Of `neuron_statistics` at that checkpoint, over (layer, neuron).
    n_permutations : int
        Cohorts drawn at random from each layer, for `p_permutation`.
    seed : int

    Returns
    -------
    DataFrame
        One row a (measure, over, given):

        - `measure`: the functional share (see `functional_differentiation`) or the share of negative–negative pairs among
          the `n_top` furthest; of similar pairs less that of matched ones.
        - `over`: `mean over layers`; `slope over depth`, the change of the difference from the first layer to the last; or
          one `layer`, which is -1 in the other rows.
        - `given`: `nothing`, or the neurons' skewness, kurtosis and share of negatives, by a regression on their ranks in
          the layer and the squares of these.
        - the columns of `contrast_columns`, of top less rest; intervals over neurons and documents.
        - `p_adjusted`: Holm's, over the layers of a measure; equal to `p` in the other rows.
        - `p_permutation`: two-sided, of the mean over layers, with as many neurons drawn at random from each layer.
        - `n_layers`, `n_neurons` (selected), `n_clusters` and `cluster` (documents).

    Notes
    -----
    Layers in which the measure is not defined for both cohorts are left out. Under a ReLU the functional share is 0 by
    definition, with an interval of zero width.
    """
    tokens = pair_tokens(store, pairs, selection, checkpoint, n_top)
    cluster = np.unique(tokens.labels["document"].values, return_inverse=True)[1]
    shapes = np.stack([statistics[name].transpose(LAYER, ...).values for name in _SHAPE], axis=-1)
    of_statistics = dict(zip(statistics[LAYER].values.tolist(), shapes, strict=True))
    nonlinearity = str(store.attrs.get("nonlinearity", ""))

    def of_layer(layer: xr.Dataset) -> _Layer:
        sample = tokens.sample(layer)
        excess = {NEGATIVE: _negative_excess(sample, n_top, cluster)}
        if nonlinearity in ACTIVATIONS:
            excess[FUNCTIONAL] = _functional_excess(sample, nonlinearity, cluster)
        return _Layer(sample.layer, sample.is_selected, excess, ranks_and_squares(of_statistics[sample.layer]))

    layers = each_layer(of_layer, tokens.layers)
    share = np.bincount(cluster) / len(cluster)
    rows = [
        row
        for measure in (FUNCTIONAL, NEGATIVE)
        if measure in layers[0].excess
        for row in _rows(layers, measure, share, n_permutations, np.random.default_rng(seed))
    ]
    return pd.DataFrame(rows).assign(n_clusters=len(share), cluster="document")


def _rows(
    layers: Sequence[_Layer], measure: str, share: NDArray[np.float64], n_permutations: int, rng: np.random.Generator
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for given in (NOTHING, SHAPE):
        effects = {layer.layer: _effect(layer, measure, given) for layer in layers}
        defined = {number: effect for number, effect in effects.items() if np.isfinite(effect.value)}
        if not defined:
            continue
        of_measure = {"measure": measure, "given": given}
        n_selected = {layer.layer: int(layer.is_selected.sum()) for layer in layers}
        counts = {"n_layers": len(defined), "n_neurons": sum(n_selected[number] for number in defined)}
        weights = {MEAN: mean_weights(len(defined))}
        if len(defined) > 1:
            weights[SLOPE] = slope_weights(list(defined))
        for over, of_layers in weights.items():
            estimate = weighted_effect(list(defined.values()), of_layers, share)
            columns = contrast_columns(estimate)
            rows.append(of_measure | {"over": over, LAYER: -1} | columns | {"p_adjusted": columns["p"]} | counts)
        if given == NOTHING:
            rows[-len(weights)]["p_permutation"] = _permuted(layers, defined, measure, n_permutations, rng)
            rows += _by_layer(of_measure, defined, n_selected, share)
    return rows


def _by_layer(
    of_measure: Mapping[str, object],
    effects: Mapping[int, CohortEffect],
    n_selected: Mapping[int, int],
    share: NDArray[np.float64],
) -> list[dict[str, object]]:
    columns = {number: contrast_columns(weighted_effect([effect], np.ones(1), share)) for number, effect in effects.items()}
    corrected = adjusted(np.array([of_layer["p"] for of_layer in columns.values()]), "holm")
    return [
        {
            **of_measure,
            "over": LAYER,
            LAYER: number,
            **of_layer,
            "p_adjusted": p,
            "n_layers": 1,
            "n_neurons": n_selected[number],
        }
        for (number, of_layer), p in zip(columns.items(), corrected, strict=True)
    ]


def _effect(layer: _Layer, measure: str, given: str) -> CohortEffect:
    excess = layer.excess[measure]
    return cohort_effect(excess.value, layer.is_selected, None if given == NOTHING else layer.covariates, excess.moves)


def _permuted(
    layers: Sequence[_Layer],
    defined: Mapping[int, CohortEffect],
    measure: str,
    n_permutations: int,
    rng: np.random.Generator,
) -> float:
    """P-value of the mean difference over layers, when cohorts are drawn at random."""
    parts = [layer for layer in layers if layer.layer in defined]
    null = [shuffled_differences(layer.excess[measure].value, layer.is_selected, n_permutations, rng) for layer in parts]
    observed = np.mean([effect.value for effect in defined.values()])
    return float(permutation_p_value(abs(observed), np.abs(np.mean(null, axis=0))))


def _functional_excess(sample: Sample, nonlinearity: str, cluster: NDArray[np.intp]) -> _Excess:
    activations = Activations.of(sample.values, ACTIVATIONS[nonlinearity])
    similar, matched = (separation_shares(activations, pairs, cluster) for pairs in (sample.similar, sample.matched))
    return _Excess(similar.share - matched.share, similar.moves - matched.moves)


def _negative_excess(sample: Sample, n_top: int, cluster: NDArray[np.intp]) -> _Excess:
    shares, moves = [], []
    for pairs in (sample.similar, sample.matched):
        top = furthest_pairs(sample.values, pairs, n_top)
        n_below = n_negative(sample.values, pairs, top)
        shares.append(sign_fractions(n_below)[:, 0])
        moves.append(fraction_moves(n_below, cluster[pairs[top]], int(cluster.max()) + 1)[:, 0])
    return _Excess(shares[0] - shares[1], moves[0] - moves[1])
