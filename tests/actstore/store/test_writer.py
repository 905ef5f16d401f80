from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr

from actstore.errors import StoreError
from actstore.store.configuration import partial_path
from actstore.store.layout import ArrayLayout
from actstore.store.ledger import Seal
from actstore.store.opening import open_store
from actstore.store.shards import ShardWriter
from actstore.store.writer import StoreWriter, is_complete

CONFIG = {"model": "m", "tokens": 10}


def write(path, config=CONFIG):
    values = np.arange(120, dtype=np.float16).reshape(1, 2, 10, 6)
    array = ArrayLayout("preactivation", values.shape, 4, values.dtype)
    with StoreWriter(path, config, {"model": "m"}) as writer:
        writer.declare(array)
        for shard in range(3):
            start, stop = array.rows(shard)
            file = ShardWriter(array, writer.workspace.data / array.key(0, shard), writer.workspace.scratch / "x", 3, shard)
            file.append(values[0, :, start:stop])
            writer.ledger.add(Seal(3, start, stop, "", {array.name: file.finish()}))
        writer.write("upos", np.array(["DET", ""] * 5))
        writer.write("checkpoint", np.array([3]))
        assert writer.finish()
    return values


def test_a_store_is_read_with_labels(tmp_path):
    values = write(tmp_path / "s.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_zarr(tmp_path / "s.zarr")
    np.testing.assert_array_equal(dataset["preactivation"].values, values)
    assert dataset["preactivation"].dims == ("checkpoint", "layer", "token", "neuron")
    assert dataset["preactivation"].attrs["units"] == "1"
    assert "upos" in dataset.coords
    assert open_store(tmp_path / "s.zarr")["upos"].values.tolist() == ["DET", ""] * 5


def test_a_damaged_chunk_is_noticed(tmp_path):
    write(tmp_path / "s.zarr")
    chunk = next(p for p in sorted((tmp_path / "s.zarr" / "preactivation" / "c").rglob("*")) if p.is_file())
    raw = bytearray(chunk.read_bytes())
    raw[2] ^= 1
    chunk.write_bytes(raw)
    with pytest.raises(StoreError, match="checksum"):
        open_store(tmp_path / "s.zarr")["preactivation"].load()


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), StoreWriter(tmp_path / "s.zarr", CONFIG, {}):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_another_configuration_is_refused_with_the_difference(tmp_path):
    path = tmp_path / "s.zarr"
    assert not is_complete(path, CONFIG)
    write(path)
    assert is_complete(path, CONFIG)
    with pytest.raises(StoreError, match="tokens: stored 10, asked 20"):
        is_complete(path, CONFIG | {"tokens": 20})


def test_a_folder_of_another_program_is_left_alone(tmp_path):
    (tmp_path / "s.zarr").mkdir()
    with pytest.raises(StoreError, match=r"is no store of actstore, .* move it away"):
        is_complete(tmp_path / "s.zarr", CONFIG)


def test_missing_and_unfinished_stores_say_so(tmp_path):
    with pytest.raises(StoreError, match="no store at"):
        open_store(tmp_path / "s.zarr")
    partial_path(tmp_path / "s.zarr").mkdir()
    with pytest.raises(StoreError, match="not finished"):
        open_store(tmp_path / "s.zarr")


def test_a_path_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        StoreWriter(tmp_path / "file" / "s.zarr", CONFIG, {})
