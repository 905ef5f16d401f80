"""Reading sharded arrays lazily, by xarray's indexing.

Owns the fast way in: because chunks are not compressed, every chunk's place in its file is
known, and several are read at a time, straight into the result. Every chunk that is read is
checked by its CRC-32C. Values are those that Zarr gives.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import xarray as xr
from xarray.backends.common import BackendArray
from xarray.core import indexing

from actstore.errors import StoreError
from actstore.layout import ArrayLayout

_THREADS = 8


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
        with ThreadPoolExecutor(min(_THREADS, len(parts) or 1)) as pool:
            for _ in pool.map(lambda part: self._fill(values, *part), parts):
                pass
        kept = tuple(0 if np.ndim(part) == 0 and not isinstance(part, slice) else slice(None) for part in key)
        return values[kept] if len(key) == 4 else values[:, 0, :, 0][kept]

    def _parts(
        self, checkpoints: np.ndarray, layers: np.ndarray, tokens: np.ndarray, columns: np.ndarray
    ) -> Iterator[tuple[Path, int, tuple[int, int], tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]]:
        """Each chunk that holds something: its file and number, and where its tokens and columns go."""
        token_groups = list(_grouped(tokens, self._layout.shard_tokens))
        column_groups = list(_grouped(columns, self._layout.width))
        for i, checkpoint in enumerate(checkpoints):
            for shard, to_token, from_token in token_groups:
                path = self._root / self._layout.key(int(checkpoint), shard)
                for j, layer in enumerate(layers):
                    for column, to_column, from_column in column_groups:
                        chunk = int(layer) * self._layout.n_columns + column
                        yield path, chunk, (i, j), (to_token, from_token), (to_column, from_column)

    def _fill(
        self,
        values: np.ndarray,
        path: Path,
        chunk: int,
        place: tuple[int, int],
        tokens: tuple[np.ndarray, np.ndarray],
        columns: tuple[np.ndarray, np.ndarray],
    ) -> None:
        layout = self._layout
        target = values[place][tokens[0][0] : tokens[0][-1] + 1, columns[0][0] : columns[0][-1] + 1]
        whole = _is_all(tokens[1], layout.shard_tokens) and _is_all(columns[1], layout.width)
        if whole and target.flags.c_contiguous:
            self._read_chunk(path, chunk, target)
            return
        buffer = np.empty((layout.shard_tokens, layout.width), layout.dtype)
        self._read_chunk(path, chunk, buffer)
        target[...] = buffer[_as_slice(tokens[1])][:, _as_slice(columns[1])]

    def _read_chunk(self, path: Path, chunk: int, into: np.ndarray) -> None:
        size = self._layout.chunk_bytes
        stored = bytearray(4)
        try:
            file = os.open(path, os.O_RDONLY)
            try:
                n_read = os.preadv(file, [into, stored], chunk * (size + 4))  # type: ignore[list-item]
            finally:
                os.close(file)
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}; run `actstore verify`") from None
        view = into.view()
        view.flags.writeable = False
        if n_read != size + 4 or google_crc32c.value(view) != int.from_bytes(stored, "little"):
            raise StoreError(f"the checksum of {path} differs: it is damaged; run `actstore verify`")


def _grouped(picked: np.ndarray, size: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Neighbouring indices in one chunk: its number, their positions in the result and in the chunk."""
    edges = np.flatnonzero(np.diff(picked // size)) + 1
    for positions in np.split(np.arange(len(picked)), edges):
        if len(positions):
            number = int(picked[positions[0]]) // size
            yield number, positions, picked[positions] - number * size


def _is_all(inside: np.ndarray, size: int) -> bool:
    return len(inside) == size and bool((inside == np.arange(size)).all())


def _as_slice(inside: np.ndarray) -> slice | np.ndarray:
    """A slice where the indices are neighbours: no copy."""
    if (np.diff(inside) == 1).all():
        return slice(int(inside[0]), int(inside[-1]) + 1)
    return inside


def with_fast_reading(dataset: xr.Dataset, root: Path, layouts: dict[str, ArrayLayout]) -> xr.Dataset:
    """The dataset, its sharded arrays read by `ShardedArray`."""
    return dataset.assign({
        name: (dataset[name].dims, indexing.LazilyIndexedArray(ShardedArray(root, layout)), dataset[name].attrs)
        for name, layout in layouts.items()
    })  # fmt: skip
