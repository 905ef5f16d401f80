from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import analysis
from actstore.errors import UnknownNameError
from actstore.store.opening import open_store
from analysis import labels
from analysis.labels import at_checkpoint, each_layer, text_tokens
from tests.analysis.pairs.helpers import selection, toy_store


class Recorder(xr.backends.BackendArray):
    """A lazy array that records the bytes of each reading."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.reads = values, values.shape, values.dtype, []

    def __getitem__(self, key):
        from xarray.core import indexing

        def read(key):
            part = self.values[key]
            self.reads.append(part.nbytes)
            return part

        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, read)


def test_a_lazy_array_is_read_in_blocks(monkeypatch):
    from xarray.core import indexing

    values = np.random.default_rng(0).normal(size=(2, 3, 50, 200)).astype(np.float32)
    recorder = Recorder(values)
    dims = ("checkpoint", "layer", "token", "neuron")
    lazy = xr.DataArray(xr.Variable(dims, indexing.LazilyIndexedArray(recorder)))
    monkeypatch.setattr(labels, "_BLOCK_BYTES", 64 * 50 * 4)
    distance = analysis.wasserstein_distance(lazy)
    assert max(recorder.reads) <= 64 * 50 * 4
    assert sum(recorder.reads) == values.nbytes
    np.testing.assert_array_equal(distance.values, analysis.wasserstein_distance(xr.DataArray(values, dims=dims)).values)


def test_layers_are_in_memory_one_at_a_time(store, monkeypatch):
    loaded = []
    original = xr.Dataset.compute

    def compute(dataset, **options):
        loaded.append(dict(dataset.sizes))
        return original(dataset, **options)

    monkeypatch.setattr(xr.Dataset, "compute", compute)
    last = at_checkpoint(store)[["preactivation"]]
    means = each_layer(lambda layer: float(layer["preactivation"].mean()), last, lambda layer: layer.isel(neuron=[0, 1]))
    assert len(means) == 4
    assert all("layer" not in sizes and sizes["neuron"] == 2 for sizes in loaded)


def test_checkpoints_by_step(store):
    assert at_checkpoint(store)["checkpoint"].item() == 4000
    assert at_checkpoint(store, 64)["checkpoint"].item() == 64
    assert at_checkpoint(at_checkpoint(store))["checkpoint"].item() == 4000
    with pytest.raises(UnknownNameError, match="unknown checkpoint '65'"):
        at_checkpoint(store, 65)


def test_text_leaves_the_first_position_out(store):
    assert (text_tokens(store)["position"].values > 0).all()
    assert text_tokens(store).sizes["token"] == int((store["position"] > 0).sum())


@pytest.fixture(scope="module")
def cluster():
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        yield client


@pytest.mark.slow
def test_the_same_calls_on_a_cluster_of_two_processes(cluster, run_folder):
    """The store is on disk and chunked for Dask; the workers read it."""
    eager = open_store(run_folder / "store.zarr").isel(checkpoint=[2, 3])
    lazy = eager.chunk({"checkpoint": 1, "layer": 1, "neuron": 256})
    for function in (analysis.wasserstein_distance, analysis.entanglement, analysis.shape_statistics):
        result = function(lazy["preactivation"])
        assert result.chunks
        xr.testing.assert_allclose(result.compute(), function(eager["preactivation"]), rtol=1e-6)
    arrays = [(data["preactivation"], data["mlp_input"]) for data in (lazy, eager)]
    xr.testing.assert_allclose(*(analysis.mapping_difficulty(*pair, n_pairs=400) for pair in arrays))
    chunked, in_memory = (data["preactivation"] for data in (lazy, eager))
    distances = [analysis.distribution_distance(a.isel(checkpoint=0), a.isel(checkpoint=1)) for a in (chunked, in_memory)]
    assert distances[0].chunks
    xr.testing.assert_allclose(distances[0].compute(), distances[1])


@pytest.mark.slow
def test_pairs_and_atlas_on_a_cluster(cluster):
    eager = toy_store(n_layers=2)
    lazy = eager.chunk({"layer": 1, "token": 300})
    pairs = analysis.find_pairs(eager, n_neighbours=2)
    xr.testing.assert_identical(analysis.find_pairs(lazy, n_neighbours=2), pairs)
    cohort = selection({0: (1,), 1: (2, 3)})
    options = {"n_top": 20, "n_permutations": 9}
    differences = [analysis.pair_differentiation(data, pairs, cohort, **options) for data in (lazy, eager)]
    xr.testing.assert_allclose(*differences)
    tables = [analysis.neuron_atlas(data, cohort, pairs, n_permutations=10) for data in (lazy, eager)]
    assert tables[0].equals(tables[1])
