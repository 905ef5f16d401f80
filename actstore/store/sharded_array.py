"""Reading the sharded arrays of a sealed store lazily, by xarray's indexing.

Owns the fast way in: because chunks are not compressed, every chunk's place in its file is
known, and several are read at a time, straight into the result. Of every file that is read the
index and the place are held against the ledger, of every chunk its CRC-32C. Values are those that
Zarr gives. A store that another program wrote has no ledger and is read by Zarr.
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

_THREADS = 16
"""More than processors: they wait for the disk, which is fastest with many requests at once."""


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="actstore-read")


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
        picked = [np.atleast_1d(np.arange(size)[part]) for part, size in zip(key, self.shape, strict=True)]
        if len(picked) == 2:  # as if of one layer and one column
            picked = [picked[0], np.zeros(1, int), picked[1], np.zeros(1, int)]
        values = np.empty([len(part) for part in picked], self.dtype)
        parts = list(self._parts(*picked))
        for _ in _pool().map(self._check, {file for file, *_ in parts}):
            pass
        for _ in _pool().map(lambda part: self._fill(values, *part), parts):
            pass
        kept = tuple(0 if np.ndim(part) == 0 and not isinstance(part, slice) else slice(None) for part in key)
        return values[kept] if len(key) == 4 else values[:, 0, :, 0][kept]

    def _parts(
        self, checkpoints: np.ndarray, layers: np.ndarray, tokens: np.ndarray, columns: np.ndarray
    ) -> Iterator[tuple[tuple[int, int], int, tuple[int, int], _Run, _Run]]:
        """Each chunk that holds something: its file (checkpoint, shard) and number, and where its tokens and columns go."""
        token_groups = list(_grouped(tokens, self._layout.shard_tokens))
        column_groups = list(_grouped(columns, self._layout.width))
        for i, checkpoint in enumerate(checkpoints):
            for shard, token_run in token_groups:
                for j, layer in enumerate(layers):
                    for column, column_run in column_groups:
                        chunk = int(layer) * self._layout.n_columns + column
                        yield (int(checkpoint), shard), chunk, (i, j), token_run, column_run

    def _path(self, file: tuple[int, int]) -> Path:
        return self._root / self._layout.key(*file)

    def _check(self, file: tuple[int, int]) -> None:
        """Hold a file's index and place against the ledger, once for as long as it does not change."""
        path, (checkpoint, shard) = self._path(file), file
        try:
            state = os.stat(path)
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}; run `actstore verify`") from None
        identity = (state.st_ino, state.st_size, state.st_mtime_ns)
        if self._checked.get(file) == identity:
            return
        step = self._steps[checkpoint]
        checksum = self._checksums.get((step, self._layout.rows(shard)[0]))
        if checksum is None:
            raise StoreError(f"{path} is in no sealed block; run `actstore verify`")
        if what := tail_problem(self._layout, path, step, shard, checksum):
            raise StoreError(f"{path} is not what was sealed: {what}; run `actstore verify`, and make the store again")
        self._checked[file] = identity

    def _fill(
        self, values: np.ndarray, file: tuple[int, int], chunk: int, place: tuple[int, int], tokens: _Run, columns: _Run
    ) -> None:
        layout = self._layout
        target = values[place][tokens.to, columns.to]
        if tokens.is_all(layout.shard_tokens) and columns.is_all(layout.width) and target.flags.c_contiguous:
            self._read_chunk(self._path(file), chunk, target)
            return
        buffer = np.empty((layout.shard_tokens, layout.width), layout.dtype)
        self._read_chunk(self._path(file), chunk, buffer)
        target[...] = buffer[tokens.of][:, columns.of]

    def _read_chunk(self, path: Path, chunk: int, into: np.ndarray) -> None:
        stored = bytearray(4)
        try:
            with io.FileIO(path) as file:
                start = chunk * (self._layout.chunk_bytes + 4)
                if hasattr(os, "posix_fadvise"):  # read no further ahead than this chunk
                    os.posix_fadvise(file.fileno(), start, self._layout.chunk_bytes + 4, os.POSIX_FADV_RANDOM)
                file.seek(start)
                is_whole = _read_into(file, into.data.cast("B")) and _read_into(file, memoryview(stored))
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}; run `actstore verify`") from None
        view = into.view()
        view.flags.writeable = False
        if not is_whole or google_crc32c.value(view) != int.from_bytes(stored, "little"):
            raise StoreError(f"the checksum of {path} differs: it is damaged; run `actstore verify`")


def _read_into(file: io.RawIOBase, view: memoryview) -> bool:
    """Fill a buffer from where the file is, in as many reads as it takes; False at its end."""
    while len(view):
        n_read = file.readinto(view)
        if not n_read:
            return False
        view = view[n_read:]
    return True


class _Run(NamedTuple):
    """Entries `of` a chunk that go `to` neighbouring entries of the result."""

    to: slice
    of: slice | np.ndarray

    def is_all(self, size: int) -> bool:
        """Whether it is a whole chunk in its order."""
        return isinstance(self.of, slice) and self.of == slice(0, size)


def _grouped(picked: np.ndarray, size: int) -> Iterator[tuple[int, _Run]]:
    """Picked indices, chunk by chunk of `size`: the chunk's number and what of it goes where."""
    edges = [0, *(np.flatnonzero(np.diff(picked // size)) + 1), len(picked)] if len(picked) else []
    in_order = len(picked) and bool((np.diff(picked) == 1).all())  # a slice then: no copy
    for start, stop in itertools.pairwise(edges):
        number = int(picked[start]) // size
        first = int(picked[start]) - number * size
        of = slice(first, first + int(stop - start)) if in_order else picked[start:stop] - number * size
        yield number, _Run(slice(int(start), int(stop)), of)


def with_fast_reading(
    dataset: xr.Dataset, root: Path, layouts: Mapping[str, ArrayLayout], seals: Mapping[tuple[int, int], Seal]
) -> xr.Dataset:
    """The dataset of a sealed store, its sharded arrays read by `ShardedArray`."""
    steps = [int(step) for step in dataset[CHECKPOINT].values]
    arrays = {}
    for name, layout in layouts.items():
        checksums = {place: seal.checksums[name] for place, seal in seals.items() if name in seal.checksums}
        lazy = indexing.LazilyIndexedArray(ShardedArray(root, layout, steps, checksums))
        arrays[name] = (dataset[name].dims, lazy, dataset[name].attrs)
    return dataset.assign(arrays)
