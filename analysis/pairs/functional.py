"""How much of a neuron's separation of similar inputs its negative side contributes: what negative-zero removes.

Owns the functional share beside the counts of signs, and its excess over matched pairs.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from actstore.selection.selection import Selection
from actstore.store.schema import LAYER, NEURON
from analysis.kernels.activations import ACTIVATIONS
from analysis.kernels.multiplicity import benjamini_hochberg
from analysis.kernels.permutation import permutation_p_value
from analysis.kernels.separation import Activations, separation_shares
from analysis.labels import each_layer
from analysis.pairs.samples import Sample, pair_tokens

POOLS = ("similar", "matched")


def functional_differentiation(
    store: xr.Dataset,
    pairs: xr.Dataset,
    selection: Selection | None,
    *,
    checkpoint: int | None = None,
    n_permutations: int = 199,
    seed: int = 0,
) -> xr.Dataset:
    r"""The functional share of every neuron's separation of similar and of matched pairs.

    Parameters
    ----------
    store, pairs, selection, checkpoint
        As in `pair_differentiation`; without a selection no neuron is tested.
    n_permutations : int
        Permutations of the selected neurons' values over tokens, for `p_value`.
    seed : int

    Returns
    -------
    Dataset
        `functional_share` (layer, neuron, pool), 0 to 1; `functional_excess` (layer, neuron), that of similar pairs less
        that of matched ones; `p_value`, `q_value` (layer, neuron) of the selected neurons, NaN elsewhere. NaN for a neuron
        that separates no pair, and everywhere where the model's non-linearity is not known.

    Notes
    -----
    A pair (a, b) is separated by :math:`d = |\sigma(a) - \sigma(b)|`, and by :math:`d_0`, the same of max(a, 0) and
    max(b, 0), where the negative side is zero. The share is :math:`\sum (d - d_0) / \sum d` over all pairs of the neuron's
    layer that have a match, the furthest and the others: what negative-zero takes away. The p-value permutes the neuron's
    values over the drawn tokens and compares the absolute excess. In a gated MLP the output is multiplied by the up
    projection, which is not stored: d is that of the gate alone.
    """
    tokens = pair_tokens(store, pairs, selection, checkpoint, 1)
    activation = ACTIVATIONS.get(str(store.attrs.get("nonlinearity", "")))

    def of_layer(layer: xr.Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        sample = tokens.sample(layer)
        p = np.full(len(sample.values), np.nan)
        if activation is None:
            return np.stack([p, p], axis=-1), p
        activations = Activations.of(sample.values, activation)
        share = np.stack([separation_shares(activations, of_pool).share for of_pool in (sample.similar, sample.matched)], -1)
        if sample.is_selected.any() and n_permutations:
            rng = np.random.default_rng([seed, sample.layer])
            null = _permuted_excess(activations.take(sample.is_selected), sample, n_permutations, rng)
            p[sample.is_selected] = permutation_p_value(np.abs(share @ (1, -1))[sample.is_selected], np.abs(null))
        return share, p

    share, p = (np.stack(part) for part in zip(*each_layer(of_layer, tokens.layers), strict=True))
    return xr.Dataset(
        {
            "functional_share": ((LAYER, NEURON, "pool"), share),
            "functional_excess": ((LAYER, NEURON), share[..., 0] - share[..., 1]),
            "p_value": ((LAYER, NEURON), p),
            "q_value": ((LAYER, NEURON), benjamini_hochberg(p)),
        },
        coords={LAYER: tokens.layers[LAYER].values, "pool": list(POOLS)},
        attrs=pairs.attrs | {"n_permutations": n_permutations, "seed": seed},
    )


def functional_table(differentiation: xr.Dataset, selection: Selection) -> pd.DataFrame:
    """The functional share of every neuron, as a tidy table.

    Parameters
    ----------
    differentiation : Dataset
        Of `functional_differentiation`.
    selection : Selection

    Returns
    -------
    DataFrame
        One row a (layer, neuron): `selected`, `similar_share` and `matched_share`, `functional_excess`, `p_value`, `q_value`.
    """
    share = differentiation["functional_share"]
    columns = {f"{pool}_share": share.sel(pool=pool, drop=True) for pool in POOLS}
    columns |= {name: differentiation[name] for name in ("functional_excess", "p_value", "q_value")}
    frame = xr.Dataset(columns).to_dataframe().reset_index()
    frame.insert(2, "selected", selection.mask(differentiation[LAYER].values).ravel())
    return frame


def _permuted_excess(
    activations: Activations, sample: Sample, n_permutations: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(permutation, neuron) The excess with the tokens permuted, the same way for all neurons; 0 where nothing is separated."""
    null = []
    for _ in range(n_permutations):
        order = rng.permutation(activations.whole.shape[1])
        similar, matched = (
            separation_shares(activations, order[of_pool]).share for of_pool in (sample.similar, sample.matched)
        )
        null.append(np.nan_to_num(similar - matched))
    return np.stack(null)
