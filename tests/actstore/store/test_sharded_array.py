"""The fast way to read gives the same values as Zarr, for every indexer."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import ZstdCodec

from actstore.config import ExtractConfig, TextConfig
from actstore.errors import StoreError
from actstore.extraction.run import extract
from actstore.store import layout, sharded_array
from actstore.store.opening import open_store
from actstore.verification import verify
from tests.helpers import QUIET


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharded_array") / "s.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "_SHARD_TOKENS", 200)
        extract(ExtractConfig("pico-neox", "64,4000", text=TextConfig(tokens=700)), folder, QUIET)
    return folder


def indexers(size):
    """An integer, a slice, or a list in any order, with repetitions."""
    return st.one_of(
        st.integers(0, size - 1),
        st.slices(size).filter(lambda part: part.step is None or part.step > 0),
        st.lists(st.integers(0, size - 1), min_size=1, max_size=12),
    )


@settings(max_examples=80, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("name", ["preactivation", "mlp_input", "surprisal"])
def test_any_selection_is_that_of_zarr(path, name, data):
    fast, plain = open_store(path)[name], xr.open_zarr(path, chunks=None)[name]
    chosen = {dim: data.draw(indexers(size), label=dim) for dim, size in plain.sizes.items()}
    ours, theirs = fast.isel(chosen), plain.isel(chosen)
    assert ours.dims == theirs.dims
    np.testing.assert_array_equal(ours.values, theirs.values)


def test_masks_and_labels(path):
    fast, plain = open_store(path), xr.open_zarr(path, chunks=None)
    nouns = np.flatnonzero(fast["upos"].values == "NOUN")
    ours, theirs = (s["preactivation"].sel(checkpoint=4000, layer=[3, 1]).isel(token=nouns) for s in (fast, plain))
    np.testing.assert_array_equal(ours.values, theirs.values)
    assert ours.attrs == theirs.attrs
    assert ours.attrs["model"] == "pico-neox", "statistics keep the model"


def test_attributes_are_those_that_xarray_gives(path):
    ours, theirs = open_store(path), xr.open_zarr(path)
    assert ours.attrs == theirs.attrs
    assert {name: array.attrs for name, array in ours.variables.items()} == {n: a.attrs for n, a in theirs.variables.items()}


@pytest.mark.parametrize("encoding", ["unchanged", "in other chunks", "compressed"])
def test_a_copy_that_xarray_wrote_has_the_same_values(path, tmp_path, encoding):
    """Zarr puts chunks into shards in its own order, and does not copy the ledger."""
    plain = xr.open_zarr(path).load()
    if encoding == "in other chunks":
        plain = plain.drop_encoding()
    codecs = {"preactivation": {"compressors": ZstdCodec()}} if encoding == "compressed" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fixed-length strings and consolidated metadata are not in the specification yet
        plain.to_zarr(tmp_path / "copy.zarr", encoding=codecs)
    copy = open_store(tmp_path / "copy.zarr")
    for name, array in open_store(path).data_vars.items():
        np.testing.assert_array_equal(copy[name].values, array.values)
    np.testing.assert_array_equal(
        copy["preactivation"][1, 2, 5:300:7, [3, 1]].values, plain["preactivation"][1, 2, 5:300:7, [3, 1]].values
    )
    with pytest.raises(StoreError, match="no ledger"):
        verify(tmp_path / "copy.zarr")


def test_short_reads_are_continued(path, monkeypatch):
    """A file system may return fewer bytes than requested."""
    expected = xr.open_zarr(path)["mlp_input"].values

    class ShortReads(io.FileIO):
        def readinto(self, view):
            return super().readinto(memoryview(view)[:100])

    monkeypatch.setattr(sharded_array.io, "FileIO", ShortReads)
    np.testing.assert_array_equal(open_store(path)["mlp_input"].values, expected)


def test_nothing_is_read_before_values_are_asked_for(path, tmp_path):
    import shutil

    copy = tmp_path / "s.zarr"
    shutil.copytree(path, copy)
    shutil.rmtree(copy / "preactivation" / "c" / "0")
    store = open_store(copy)
    chosen = store["preactivation"].isel(checkpoint=1, neuron=slice(0, 3))
    assert np.isfinite(chosen.values).all()
    with pytest.raises(StoreError, match="cannot read"):
        store["preactivation"].isel(checkpoint=0).load()
