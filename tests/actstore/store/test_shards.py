"""The shard format: Zarr reads, and itself writes, the same chunks as are written run by run."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import Crc32cCodec

from actstore.store.layout import IDENTITY_BYTES, ArrayLayout
from actstore.store.shards import ShardWriter, shard_problem


def chunked(values: np.ndarray, array: ArrayLayout) -> np.ndarray:
    """(layer, token, column) as (chunk, token, column within chunk), the last chunk padded."""
    padded = np.pad(values, ((0, 0), (0, 0), (0, array.n_columns * array.width - values.shape[2])))
    parts = padded.reshape(len(values), values.shape[1], array.n_columns, array.width)
    return np.ascontiguousarray(parts.transpose(0, 2, 1, 3).reshape(array.n_chunks, values.shape[1], array.width))


def write(array, values, folder, cuts=()):
    """Write all shards of a checkpoint, each in several runs; returns their checksums."""
    checksums = []
    for shard, start in enumerate(range(0, array.shape[2], array.shard_tokens)):
        part = values[:, start : start + array.shard_tokens]
        writer = ShardWriter(array, folder / array.key(0, shard), folder / "scratch" / "x", 7, shard)
        edges = sorted({0, *(cut for cut in cuts if cut < part.shape[1]), part.shape[1]})
        for a, b in itertools.pairwise(edges):
            writer.append(chunked(part[:, a:b], array))
        checksums.append(writer.finish())
    return checksums


def declare(array, folder, **options):
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    extents = {"shape": array.shape, "chunks": array.chunks, "shards": array.shards}
    return group.create_array(array.name, **extents, dtype=array.dtype, compressors=Crc32cCodec(), fill_value=np.nan, **options)


@settings(max_examples=30, deadline=None)
@given(
    n_layers=st.integers(1, 3),
    n_tokens=st.integers(1, 40),
    n_columns=st.integers(1, 150),
    shard_tokens=st.integers(1, 40),
    dtype=st.sampled_from(["float16", "float32"]),
    cuts=st.sets(st.integers(1, 39)),
    seed=st.integers(0, 99),
)
def test_zarr_reads_appended_values(tmp_path_factory, n_layers, n_tokens, n_columns, shard_tokens, dtype, cuts, seed):
    folder = tmp_path_factory.mktemp("s") / "s.zarr"
    array = ArrayLayout("a", (1, n_layers, n_tokens, n_columns), min(shard_tokens, n_tokens), np.dtype(dtype))
    values = np.random.default_rng(seed).standard_normal(array.shape[1:]).astype(dtype)
    stored = declare(array, folder)
    checksums = write(array, values, folder, cuts)
    np.testing.assert_array_equal(stored[0], values)
    for shard, checksum in enumerate(checksums):
        path = folder / array.key(0, shard)
        assert path.stat().st_size == array.file_bytes
        assert shard_problem(array, path, 7, shard, checksum) == ""


def test_zarrs_own_writer_gives_the_same_chunks(tmp_path):
    """Zarr may store chunks in another order; sizes and values are the same."""
    array = ArrayLayout("a", (1, 2, 8, 128), 8, np.dtype("float16"))
    values = np.random.default_rng(0).standard_normal(array.shape[1:]).astype("float16")
    declare(array, tmp_path / "theirs")[0] = values
    declare(array, tmp_path / "ours")
    write(array, values, tmp_path / "ours")
    theirs, ours = ((tmp_path / name / array.key(0, 0)).read_bytes() for name in ("theirs", "ours"))
    assert len(theirs) + IDENTITY_BYTES == len(ours) == array.file_bytes
    chunk = array.chunk_bytes + 4
    assert {theirs[i * chunk : (i + 1) * chunk] for i in range(4)} == {ours[i * chunk : (i + 1) * chunk] for i in range(4)}


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        (5, "checksum of layer 0, columns from 0"),
        (1024 + 2, "checksum of layer 0, columns from 0"),
        (-3, "index"),
        (2 * 1028, "place that it names is damaged"),
        (2 * 1028 + 30, "place that it names is damaged"),
    ],
)
def test_every_byte_is_checked(tmp_path, offset, message):
    array = ArrayLayout("a", (1, 1, 8, 128), 8, np.dtype("float16"))
    (checksum,) = write(array, np.ones((1, 8, 128), "float16"), tmp_path)
    path = tmp_path / array.key(0, 0)
    raw = bytearray(path.read_bytes())
    raw[offset] ^= 1
    path.write_bytes(raw)
    assert message in shard_problem(array, path, 7, 0, checksum)


def test_a_short_and_a_missing_file(tmp_path):
    array = ArrayLayout("a", (1, 1, 8, 128), 8, np.dtype("float16"))
    (checksum,) = write(array, np.ones((1, 8, 128), "float16"), tmp_path)
    path = tmp_path / array.key(0, 0)
    path.write_bytes(path.read_bytes()[:-10])
    assert "bytes, not" in shard_problem(array, path, 7, 0, checksum)
    path.unlink()
    assert shard_problem(array, path, 7, 0, checksum) == "the file is missing"


def test_the_file_of_another_run_is_noticed(tmp_path):
    """Such a file is sound in itself; only the ledger shows the difference."""
    array = ArrayLayout("a", (1, 1, 8, 128), 8, np.dtype("float16"))
    (checksum,) = write(array, np.ones((1, 8, 128), "float16"), tmp_path)
    write(array, np.zeros((1, 8, 128), "float16"), tmp_path)
    assert "of another run" in shard_problem(array, tmp_path / array.key(0, 0), 7, 0, checksum)


def test_a_shard_that_lies_where_another_belongs_is_noticed(tmp_path):
    array = ArrayLayout("a", (1, 1, 16, 128), 8, np.dtype("float16"))
    first, second = write(array, np.random.default_rng(0).standard_normal((1, 16, 128)).astype("float16"), tmp_path)
    paths = [tmp_path / array.key(0, shard) for shard in (0, 1)]
    assert shard_problem(array, paths[1], 7, 0, first) == "it belongs elsewhere: a of checkpoint 7, rows 8 to 15"
    assert shard_problem(array, paths[0], 8, 0, first) == "it belongs elsewhere: a of checkpoint 7, rows 0 to 7"
    assert shard_problem(array, paths[1], 7, 1, second) == ""
