"""Reading the sharded arrays of a sealed store lazily, by xarray's indexing.

Owns the fast way to read: chunks are not compressed, so the position of each one in its file is
known, and several are read at a time, directly into the result. The index and the identity of each
file are compared with the ledger, and each chunk with its CRC-32C. Values are the same as Zarr's. A
store that another program wrote has no ledger and is read by Zarr.
"""

from __future__ import annotations

import functools
import io
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import google_crc32c
import numpy as np
import xarray as xr
from xarray.backends.common import BackendArray
from xarray.core import indexing

from actstore.errors import StoreError
from actstore.store.layout import ArrayLayout
from actstore.store.ledger import Seal
from actstore.store.schema import CHECKPOINT
from actstore.store.shards import tail_problem

_N_THREADS = 16
"""More than processors: threads wait for the disk, which is fastest with many requests at once."""


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_N_THREADS, thread_name_prefix="actstore-read")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child has no threads


class ShardedArray(BackendArray):
    """One sharded array (checkpoint, layer, token, column) or (checkpoint, token) of a store.

    Parameters
    ----------
    root : Path
        The store.
    layout : ArrayLayout
    steps : sequence of int
        Training step of every checkpoint.
    checksums : mapping of (int, int) to str
        (training step, first row) → checksum of the shard.
    """

    def __init__(self, root: Path, layout: ArrayLayout, steps: Sequence[int], checksums: Mapping[tuple[int, int], str]) -> None:
        self._root, self._layout, self._steps, self._checksums = root, layout, steps, checksums
        self._checked: dict[tuple[int, int], tuple[int, ...]] = {}
        self.shape, self.dtype = layout.shape, layout.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        indices = [np.atleast_1d(np.arange(size)[indexer]) for indexer, size in zip(key, self.shape, strict=True)]
        if len(indices) == 2:  # as if of one layer and one column
            indices = [indices[0], np.zeros(1, int), indices[1], np.zeros(1, int)]
        values = np.empty([len(part) for part in indices], self.dtype)
        parts = list(self._parts(*indices))
        for _ in _pool().map(self._check, {file for file, *_ in parts}):
            pass
        for _ in _pool().map(lambda part: self._fill(values, *part), parts):
            pass
        squeeze = tuple(0 if np.ndim(part) == 0 and not isinstance(part, slice) else slice(None) for part in key)
        return values[squeeze] if len(key) == 4 else values[:, 0, :, 0][squeeze]

    def _parts(
        self, checkpoints: np.ndarray, layers: np.ndarray, tokens: np.ndarray, columns: np.ndarray
    ) -> Iterator[tuple[tuple[int, int], int, tuple[int, int], _Run, _Run]]:
        """Each chunk to be read: its file (checkpoint, shard), its number, and where its values go in the result."""
        token_runs = list(_runs(tokens, self._layout.shard_tokens))
        column_runs = list(_runs(columns, self._layout.width))
        products = itertools.product(enumerate(checkpoints), token_runs, enumerate(layers), column_runs)
        for (i, checkpoint), (shard, token_run), (j, layer), (column, column_run) in products:
            chunk = int(layer) * self._layout.n_columns + column
            yield (int(checkpoint), shard), chunk, (i, j), token_run, column_run

    def _path(self, file: tuple[int, int]) -> Path:
        return self._root / self._layout.key(*file)

    def _check(self, file: tuple[int, int]) -> None:
        """Compare a file's index and identity with the ledger, again only if the file changes."""
        path, (checkpoint_index, shard) = self._path(file), file
        try:
            state = os.stat(path)
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}; run `actstore verify`") from None
        version = (state.st_ino, state.st_size, state.st_mtime_ns)
        if self._checked.get(file) == version:
            return
        step = self._steps[checkpoint_index]
        checksum = self._checksums.get((step, self._layout.rows(shard)[0]))
        if checksum is None:
            raise StoreError(f"{path} is in no sealed block; run `actstore verify`")
        if problem := tail_problem(self._layout, path, step, shard, checksum):
            raise StoreError(f"{path} is not what was sealed: {problem}; run `actstore verify`, and make the store again")
        self._checked[file] = version

    def _fill(
        self, values: np.ndarray, file: tuple[int, int], chunk: int, cell: tuple[int, int], tokens: _Run, columns: _Run
    ) -> None:
        """Read a chunk into the result, whose `cell` is its (checkpoint, layer)."""
        layout = self._layout
        target = values[cell][tokens.target, columns.target]
        if tokens.is_all(layout.shard_tokens) and columns.is_all(layout.width) and target.flags.c_contiguous:
            self._read_chunk(self._path(file), chunk, target)
            return
        buffer = np.empty((layout.shard_tokens, layout.width), layout.dtype)
        self._read_chunk(self._path(file), chunk, buffer)
        target[...] = buffer[tokens.source][:, columns.source]

    def _read_chunk(self, path: Path, chunk: int, buffer: np.ndarray) -> None:
        checksum = bytearray(4)
        try:
            with io.FileIO(path) as file:
                start = chunk * (self._layout.chunk_bytes + 4)
                if hasattr(os, "posix_fadvise"):  # read no further ahead than this chunk
                    os.posix_fadvise(file.fileno(), start, self._layout.chunk_bytes + 4, os.POSIX_FADV_RANDOM)
                file.seek(start)
                is_complete = _read_into(file, buffer.data.cast("B")) and _read_into(file, memoryview(checksum))
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}; run `actstore verify`") from None
        view = buffer.view()
        view.flags.writeable = False
        if not is_complete or google_crc32c.value(view) != int.from_bytes(checksum, "little"):
            raise StoreError(f"the checksum of {path} differs: it is damaged; run `actstore verify`")


def _read_into(file: io.RawIOBase, view: memoryview) -> bool:
    """Fill a buffer from the file's current position, in as many reads as needed; False if the file ends before."""
    while len(view):
        n_read = file.readinto(view)
        if not n_read:
            return False
        view = view[n_read:]
    return True


class _Run(NamedTuple):
    """Entries `source` of a chunk that go to the neighbouring entries `target` of the result."""

    target: slice
    source: slice | np.ndarray

    def is_all(self, size: int) -> bool:
        """Whether the run is the whole chunk, in its order."""
        return isinstance(self.source, slice) and self.source == slice(0, size)


def _runs(indices: np.ndarray, size: int) -> Iterator[tuple[int, _Run]]:
    """The indices that lie in the same chunk of `size`, with the number of that chunk."""
    edges = [0, *(np.flatnonzero(np.diff(indices // size)) + 1), len(indices)] if len(indices) else []
    is_consecutive = len(indices) and bool((np.diff(indices) == 1).all())  # then a slice, which needs no copy
    for start, stop in itertools.pairwise(edges):
        number = int(indices[start]) // size
        first = int(indices[start]) - number * size
        source = slice(first, first + int(stop - start)) if is_consecutive else indices[start:stop] - number * size
        yield number, _Run(slice(int(start), int(stop)), source)


def with_fast_reading(
    dataset: xr.Dataset, root: Path, layouts: Mapping[str, ArrayLayout], seals: Mapping[tuple[int, int], Seal]
) -> xr.Dataset:
    """The dataset of a sealed store, with its sharded arrays read by `ShardedArray`."""
    steps = [int(step) for step in dataset[CHECKPOINT].values]
    arrays = {}
    for name, layout in layouts.items():
        checksums = {key: seal.checksums[name] for key, seal in seals.items() if name in seal.checksums}
        lazy = indexing.LazilyIndexedArray(ShardedArray(root, layout, steps, checksums))
        arrays[name] = (dataset[name].dims, lazy, dataset[name].attrs)
    return dataset.assign(arrays)
