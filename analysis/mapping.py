"""Mapping difficulty: how far a neuron drives similar inputs apart.

Owns the choice of input pairs; the arithmetic is in `analysis.kernels.mapping`.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from actstore.errors import StoreError
from actstore.schema import CHECKPOINT, FIELDS, HIDDEN, LAYER, NEURON, TOKEN
from analysis.kernels.mapping import MappingDifficulty
from analysis.kernels.mapping import mapping_difficulty as _kernel
from analysis.labels import each_layer

N_PAIRS = 8192


def mapping_difficulty(
    preactivation: xr.DataArray, mlp_input: xr.DataArray, *, n_pairs: int = N_PAIRS, seed: int = 0
) -> xr.DataArray:
    """Mean ratio of a neuron's normalised output distance to the normalised distance of its inputs.

    Parameters
    ----------
    preactivation : DataArray
        (layer, token, neuron), or with `checkpoint`.
    mlp_input : DataArray
        The same with `hidden` for `neuron`.
    n_pairs : int
        Random pairs of tokens, the same for every layer and checkpoint.
    seed : int
        Seed of the pairs.

    Returns
    -------
    DataArray
        The dims without `token`, float64, at least 0; NaN for a neuron whose median output
        distance is 0. Coords `output_scale` (N_y, as the result), `input_scale` (N_x) and
        `n_identical_pairs` (without `neuron`); attrs `n_pairs`, `seed`.

    Raises
    ------
    StoreError
        If the arrays do not belong together, or hold fewer than two tokens.

    Notes
    -----
    See `analysis.kernels.mapping.mapping_difficulty`. Inputs that are the same to rounding are left
    out and counted: a layer whose input depends on the token alone (layer 0 with a parallel
    residual and rotary positions) has many. Works a layer at a time.

    References
    ----------
    Sawmya et al. (2025), eq. 3; Kong et al. (2026), section 2.
    """
    if any(preactivation.sizes.get(dim) != mlp_input.sizes.get(dim) for dim in (CHECKPOINT, LAYER, TOKEN)):
        raise StoreError("preactivation and mlp_input differ in checkpoint, layer or token; take both from one store")
    pairs = random_pairs(preactivation.sizes[TOKEN], n_pairs, np.random.default_rng(seed))
    used, pairs = np.unique(pairs, return_inverse=True)  # nothing else is read
    data = xr.Dataset({"preactivation": preactivation, "mlp_input": mlp_input}).isel({TOKEN: used})
    if CHECKPOINT not in data.dims:
        return _over_layers(data, pairs, seed)
    steps = (data.isel({CHECKPOINT: index}) for index in range(data.sizes[CHECKPOINT]))
    parts = [_over_layers(step, pairs, seed) for step in steps]
    return xr.concat(parts, CHECKPOINT, coords="different", compat="equals")


def _over_layers(data: xr.Dataset, pairs: NDArray[np.int64], seed: int) -> xr.DataArray:
    def one(layer: xr.Dataset) -> MappingDifficulty:
        return _kernel(
            layer["mlp_input"].transpose(TOKEN, HIDDEN).values, layer["preactivation"].transpose(TOKEN, NEURON).values, pairs
        )

    found = each_layer(one, data)
    coords = {name: coord for name, coord in data.coords.items() if {TOKEN, HIDDEN}.isdisjoint(coord.dims)}
    by_layer = {
        "output_scale": ((LAYER, NEURON), [part.output_scale for part in found]),
        "input_scale": ((LAYER,), [part.input_scale for part in found]),
        "n_identical_pairs": ((LAYER,), [part.n_identical for part in found]),
    }
    return xr.DataArray(
        np.stack([part.difficulty for part in found]), dims=(LAYER, NEURON), name="mapping_difficulty",
        coords=coords | {name: (dims, values, FIELDS[name].attrs) for name, (dims, values) in by_layer.items()},
        attrs=FIELDS["mapping_difficulty"].attrs | {"n_pairs": len(pairs), "seed": seed},
    )  # fmt: skip


def random_pairs(n_tokens: int, n_pairs: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Pairs (pair, 2) of two different tokens.

    Raises
    ------
    StoreError
        If there are fewer than two tokens.
    """
    if n_tokens < 2:
        raise StoreError(f"pairs need at least two tokens, the store has {n_tokens}; extract more with --tokens")
    first = rng.integers(0, n_tokens, size=n_pairs)
    return np.stack([first, (first + rng.integers(1, n_tokens, size=n_pairs)) % n_tokens], axis=1)
