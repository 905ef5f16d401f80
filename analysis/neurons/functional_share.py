"""The functional share of negative differentiation as a statistic of every neuron at every checkpoint."""

from __future__ import annotations

import contextlib

import numpy as np
import xarray as xr

from actstore.errors import SelectionError
from actstore.store.schema import Field
from analysis.kernels.activations import ACTIVATIONS
from analysis.neurons.registry import OF_NEURONS, Sampling, add_statistics
from analysis.pairs.functional import functional_differentiation
from analysis.pairs.similarity import TooFewTokensError, pairs_at_checkpoints

_FIELDS = {
    "functional_share": Field(
        OF_NEURONS, "float64", "share of the separation of similar inputs that the negative side contributes"
    ),
    "functional_excess": Field(OF_NEURONS, "float64", "functional share of similar inputs less that of matched pairs"),
}


def functional_shares(store: xr.Dataset, *, seed: int = 0) -> xr.Dataset:
    """The functional share and its excess of every neuron, layer and checkpoint, from pairs found at each checkpoint.

    Parameters
    ----------
    store : Dataset
        A store of `actstore extract`, with all its dims.
    seed : int
        Of `find_pairs`.

    Returns
    -------
    Dataset
        `functional_share` and `functional_excess` (checkpoint, layer, neuron), as of `functional_differentiation`. NaN where
        the text is too short for pairs, or the non-linearity is not known.
    """
    values = {name: np.full([store.sizes[dim] for dim in OF_NEURONS], np.nan) for name in _FIELDS}
    if store.attrs.get("nonlinearity") in ACTIVATIONS and "mlp_input" in store:
        with contextlib.suppress(TooFewTokensError):  # other errors, as of damaged files, are none to be silent about
            for index, (step, pairs) in enumerate(pairs_at_checkpoints(store, seed=seed)):
                with contextlib.suppress(SelectionError):  # a layer has no pair with a match at this checkpoint
                    shares = functional_differentiation(store, pairs, None, checkpoint=step, n_permutations=0)
                    values["functional_share"][index] = shares["functional_share"].sel(pool="similar").values
                    values["functional_excess"][index] = shares["functional_excess"].values
    coords = {key: coord for key, coord in store.coords.items() if set(coord.dims) <= set(OF_NEURONS)}
    return xr.Dataset({name: (OF_NEURONS, values[name], spec.attrs) for name, spec in _FIELDS.items()}, coords)


def _statistics(store: xr.Dataset, sampling: Sampling) -> xr.Dataset:
    return functional_shares(store, seed=sampling.seed)


add_statistics("functional share", _FIELDS, _statistics, __name__)
