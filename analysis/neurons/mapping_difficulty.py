"""Mapping difficulty: how far a neuron drives similar inputs apart.

Owns the choice of input pairs; the arithmetic is in `analysis.kernels.mapping`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from actstore.errors import StoreError
from actstore.store.schema import CHECKPOINT, HIDDEN, LAYER, NEURON, TOKEN, Field
from analysis.kernels.mapping import MappingDifficulty
from analysis.kernels.mapping import mapping_difficulty as _kernel
from analysis.labels import each_layer, text_tokens
from analysis.neurons.registry import OF_NEURONS, Sampling, add_statistics

N_PAIRS = 8192
_FIELDS = {
    "mapping_difficulty": Field(
        OF_NEURONS, "float64", "mean normalised output distance over normalised input distance of random pairs"
    ),
    "output_scale": Field(OF_NEURONS, "float64", "median output distance of the sampled pairs, N_y"),
    "input_scale": Field((CHECKPOINT, LAYER), "float64", "largest input distance of the sampled pairs, N_x"),
    "n_identical_pairs": Field((CHECKPOINT, LAYER), "int64", "sampled pairs with the same input, left out"),
}


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
    See `analysis.kernels.mapping.mapping_difficulty`. Pairs whose inputs are the same up to rounding are left out and
    counted. There are many in a layer whose input depends on the token alone (layer 0 with a parallel residual and
    rotary positions). Works a layer at a time.

    References
    ----------
    Sawmya et al. (2025), eq. 3; Kong et al. (2026), section 2.
    """
    if any(preactivation.sizes.get(dim) != mlp_input.sizes.get(dim) for dim in (CHECKPOINT, LAYER, TOKEN)):
        raise StoreError("preactivation and mlp_input differ in checkpoint, layer or token; take both from one store")
    pairs = random_pairs(preactivation.sizes[TOKEN], n_pairs, np.random.default_rng(seed))
    used, pairs = np.unique(pairs, return_inverse=True)  # other tokens are not read
    data = xr.Dataset({"preactivation": preactivation, "mlp_input": mlp_input}).isel({TOKEN: used})

    def of_layer(layer: xr.Dataset) -> MappingDifficulty:
        inputs, outputs = layer["mlp_input"].transpose(TOKEN, HIDDEN), layer["preactivation"].transpose(TOKEN, NEURON)
        return _kernel(inputs.values, outputs.values, pairs)

    has_checkpoints = CHECKPOINT in data.dims
    over = (CHECKPOINT, LAYER) if has_checkpoints else (LAYER,)
    checkpoints = [data.isel({CHECKPOINT: i}) for i in range(data.sizes[CHECKPOINT])] if has_checkpoints else [data]
    results = [each_layer(of_layer, checkpoint) for checkpoint in checkpoints]

    def column(name: str) -> NDArray[Any]:
        values = np.stack([[getattr(layer, name) for layer in layers] for layers in results])
        return values if has_checkpoints else values[0]

    coords = {name: coord for name, coord in data.coords.items() if {TOKEN, HIDDEN}.isdisjoint(coord.dims)}
    scales = {
        "output_scale": ((*over, NEURON), column("output_scale")),
        "input_scale": (over, column("input_scale")),
        "n_identical_pairs": (over, column("n_identical")),
    }
    return xr.DataArray(
        column("difficulty"),
        dims=(*over, NEURON),
        name="mapping_difficulty",
        coords=coords | {name: (dims, values, _FIELDS[name].attrs) for name, (dims, values) in scales.items()},
        attrs=_FIELDS["mapping_difficulty"].attrs | {"n_pairs": n_pairs, "seed": seed},
    )


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


def _of_store(store: xr.Dataset, sampling: Sampling) -> xr.Dataset:
    text = text_tokens(store)
    difficulty = mapping_difficulty(text["preactivation"], text["mlp_input"], n_pairs=sampling.n_pairs, seed=sampling.seed)
    return difficulty.to_dataset().reset_coords(["output_scale", "input_scale", "n_identical_pairs"])


add_statistics("mapping difficulty", _FIELDS, _of_store, __name__)
