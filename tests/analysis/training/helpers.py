"""Small arrays over training, and selections of their neurons."""

from __future__ import annotations

import numpy as np
import xarray as xr

from actstore.selection.selection import Selection


def selection(neurons, n_neurons=4):
    return Selection(neurons, "top", "wasserstein_distance", 0.5, "m", "site", "", 20, n_neurons)


SELECTION = selection({0: (0, 1), 1: (2, 3)})


def over_training(values, steps, duplicate_of=None):
    """(checkpoint, layer, neuron), or with `hidden`, as a store has it."""
    dims = ("checkpoint", "layer", *(("hidden",) if np.ndim(values) == 4 else ()), "neuron")
    coords = {"checkpoint": steps, "layer": range(np.shape(values)[1])}
    return xr.DataArray(values, coords | {"duplicate_of": ("checkpoint", duplicate_of or [-1] * len(steps))}, dims)


def everything(n_neurons, n_layers=1):
    return selection({layer: tuple(range(n_neurons)) for layer in range(n_layers)}, n_neurons)
