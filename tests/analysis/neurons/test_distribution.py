from __future__ import annotations

import dask.array
import numpy as np
import pytest
import xarray as xr

import analysis
from analysis.kernels.transport import wasserstein_to_normal


def test_labels_survive_and_values_are_the_kernels(store):
    layer = store["preactivation"].sel(checkpoint=4000)
    distance = analysis.wasserstein_distance(layer)
    assert distance.dims == ("layer", "neuron")
    assert distance.coords["checkpoint"] == 4000
    expected = wasserstein_to_normal(layer.isel(layer=2).values, axis=0).distance
    np.testing.assert_allclose(distance.isel(layer=2).values, expected)


def test_lazy_equals_eager():
    values = np.random.default_rng(0).gamma(2, size=(50, 6))
    eager = analysis.wasserstein_distance(xr.DataArray(values, dims=("token", "neuron")))
    lazy = analysis.wasserstein_distance(xr.DataArray(dask.array.from_array(values, chunks=(20, 2)), dims=("token", "neuron")))
    assert lazy.chunks is not None
    np.testing.assert_allclose(lazy.compute().values, eager.values, rtol=1e-12)


def test_a_planted_neuron_is_found():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(2000, 300))
    values[:, 123] = np.where(rng.random(2000) < 0.1, -4, 0.4) + 0.1 * rng.normal(size=2000)
    found = analysis.entanglement(xr.DataArray(values, dims=("token", "neuron")))
    assert int(found["wasserstein_distance"].argmax("neuron")) == 123
    shape = analysis.shape_statistics(xr.DataArray(values, dims=("token", "neuron")))
    assert shape["negative_frac"].values[123] == pytest.approx((values[:, 123] < 0).mean())


def test_a_planted_neuron_is_always_found():
    """In 100 layers of Gaussian neurons, one of them with a few percent of its values in a mode of their own."""
    for seed in range(100):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(64, 1500)).astype(np.float32)
        planted = int(rng.integers(64))
        values[planted] = np.where(rng.random(1500) < rng.uniform(0.03, 0.3), -3, 0) + 0.5 * values[planted]
        distance = analysis.wasserstein_distance(xr.DataArray(values, dims=("neuron", "token")))
        assert int(distance.argmax("neuron")) == planted, seed


def test_share_on_the_negative_side_follows_the_tail():
    rng = np.random.default_rng(2)
    tail = rng.exponential(size=(4000, 1))
    negative = xr.DataArray(np.where(rng.random((4000, 1)) < 0.2, -3 * tail, 0.5), dims=("token", "neuron"))
    share = analysis.entanglement(negative)["negative_wasserstein_frac"]
    mirrored = analysis.entanglement(-negative)["negative_wasserstein_frac"]
    np.testing.assert_allclose((share + mirrored).values, 1, atol=1e-9)


def test_wrong_dim_is_named():
    with pytest.raises(ValueError, match="its dims are a, neuron"):
        analysis.wasserstein_distance(xr.DataArray(np.zeros((2, 2)), dims=("a", "neuron")))
