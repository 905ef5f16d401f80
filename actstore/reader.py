"""Reading sharded arrays lazily, by xarray's indexing.

Owns the fast way in: because chunks are not compressed, every chunk's place in its file is
known, and several are read at a time, straight into the result. Every chunk that is read is
checked by its CRC-32C. Values are those that Zarr gives.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import google_crc32c
import numpy as np
import xarray as xr
from xarray.backends.common import BackendArray
from xarray.core import indexing

from actstore.errors import StoreError
from actstore.layout import ArrayLayout

_THREADS = 16
"""More than processors: they wait for the disk, which is fastest with many requests at once."""


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="actstore-read")


os.register_at_fork(after_in_child=_pool.cache_clear)  # a child has no threads


class ShardedArray(BackendArray):
    """One sharded array (checkpoint, layer, token, column) or (checkpoint, token) of a store.

    Parameters
    ----------
    root : Path
        The store.
    layout : ArrayLayout
    """

    def __init__(self, root: Path, layout: ArrayLayout) -> None:
        self._root, self._layout = root, layout
        self.shape, self.dtype = layout.shape, layout.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        picked = [np.atleast_1d(np.arange(size)[part]) for part, size in zip(key, self.shape, strict=True)]
        if len(picked) == 2:  # as if of one layer and one column
            picked = [picked[0], np.zeros(1, int), picked[1], np.zeros(1, int)]
        values = np.empty([len(part) for part in picked], self.dtype)
        parts = list(self._parts(*picked))
        for _ in _pool().map(lambda part: self._fill(values, *part), parts):
            pass
        kept = tuple(0 if np.ndim(part) == 0 and not isinstance(part, slice) else slice(None) for part in key)
        return values[kept] if len(key) == 4 else values[:, 0, :, 0][kept]

    def _parts(
        self, checkpoints: np.ndarray, layers: np.ndarray, tokens: np.ndarray, columns: np.ndarray
    ) -> Iterator[tuple[Path, int, tuple[int, int], _Run, _Run]]:
        """Each chunk that holds something: its file and number, and where its tokens and columns go."""
        token_groups = list(_grouped(tokens, self._layout.shard_tokens))
        column_groups = list(_grouped(columns, self._layout.width))
        for i, checkpoint in enumerate(checkpoints):
            for shard, token_run in token_groups:
                path = self._root / self._layout.key(int(checkpoint), shard)
                for j, layer in enumerate(layers):
                    for column, column_run in column_groups:
                        chunk = int(layer) * self._layout.n_columns + column
                        yield path, chunk, (i, j), token_run, column_run

    def _fill(self, values: np.ndarray, path: Path, chunk: int, place: tuple[int, int], tokens: _Run, columns: _Run) -> None:
        layout = self._layout
        target = values[place][tokens.to, columns.to]
        if tokens.is_all(layout.shard_tokens) and columns.is_all(layout.width) and target.flags.c_contiguous:
            self._read_chunk(path, chunk, target)
            return
        buffer = np.empty((layout.shard_tokens, layout.width), layout.dtype)
        self._read_chunk(path, chunk, buffer)
        target[...] = buffer[tokens.of][:, columns.of]

    def _read_chunk(self, path: Path, chunk: int, into: np.ndarray) -> None:
        size = self._layout.chunk_bytes
        start = chunk * (size + 4)
        stored = bytearray(4)
        try:
            file = os.open(path, os.O_RDONLY)
            try:
                if hasattr(os, "posix_fadvise"):  # read no further ahead than this chunk
                    os.posix_fadvise(file, start, size + 4, os.POSIX_FADV_RANDOM)
                n_read = os.preadv(file, [into, stored], start)  # type: ignore[list-item]
            finally:
                os.close(file)
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}; run `actstore verify`") from None
        view = into.view()
        view.flags.writeable = False
        if n_read != size + 4 or google_crc32c.value(view) != int.from_bytes(stored, "little"):
            raise StoreError(f"the checksum of {path} differs: it is damaged; run `actstore verify`")


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


def with_fast_reading(dataset: xr.Dataset, root: Path, layouts: dict[str, ArrayLayout]) -> xr.Dataset:
    """The dataset, its sharded arrays read by `ShardedArray`."""
    return dataset.assign({
        name: (dataset[name].dims, indexing.LazilyIndexedArray(ShardedArray(root, layout)), dataset[name].attrs)
        for name, layout in layouts.items()
    })  # fmt: skip
