"""Shard files: Zarr v3's sharding format, uncompressed with a CRC-32C for every chunk.

Owns these files' bytes. Chunks are not compressed, so the position of each one is known before its
values are: a shard is filled in runs of tokens as the model produces them, with only one run in
memory. Zarr reads these files like its own. Between the chunks and the index, where Zarr does not
read, is the shard's identity (array, checkpoint, rows, checksum), so that swapped files are detected.

Format: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import numpy as np

from actstore.files import sync, sync_path
from actstore.store.layout import IDENTITY_BYTES, ArrayLayout

_IDENTITY = struct.Struct("<8s16sqqqI")
_MAGIC = b"actshard"


class ShardWriter:
    """Writes a shard, which gets its final name when it is complete and on disk.

    Parameters
    ----------
    array : ArrayLayout
    path : Path
        The file's final name.
    partial : Path
        Its name until then, on the same file system.
    step : int
        Training step of its checkpoint.
    shard : int
        Its number along the rows.
    """

    def __init__(self, array: ArrayLayout, path: Path, partial: Path, step: int, shard: int) -> None:
        self.array, self.path, self.partial, self._step, self._shard = array, path, partial, step, shard
        self.n_tokens = 0
        self._crcs = [0] * array.n_chunks
        partial.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)

    def append(self, runs: np.ndarray) -> None:
        """Write the next tokens of every chunk.

        Parameters
        ----------
        runs : array (chunk, token, column)
            In C order.
        """
        array = self.array
        column_bytes = array.width * array.dtype.itemsize
        for index, run in enumerate(_frozen(runs)):
            offset = index * (array.chunk_bytes + 4) + self.n_tokens * column_bytes
            _write_all(self._file, run, offset)
            self._crcs[index] = google_crc32c.extend(self._crcs[index], run)
        self.n_tokens += runs.shape[1]
        self._flush()

    def finish(self) -> str:
        """Complete the chunks, write identity and index, wait for the disk, and give the file its name.

        Returns
        -------
        str
            Checksum of the shard: CRC-32C over its chunks' CRC-32C values.
        """
        array = self.array
        n_missing = array.shard_tokens - self.n_tokens
        padding = _frozen(np.zeros(n_missing * array.width * array.dtype.itemsize, np.uint8))
        crcs = [google_crc32c.extend(crc, padding) if n_missing else crc for crc in self._crcs]
        stride = array.chunk_bytes + 4
        for index, crc in enumerate(crcs):
            _write_all(self._file, crc.to_bytes(4, "little"), index * stride + array.chunk_bytes)
        checksum = _combined(crcs)
        _write_all(self._file, tail(array, self._step, self._shard, checksum), array.n_chunks * stride)
        self._flush()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.partial.replace(self.path)
        self._sync_names()
        self.close()
        return checksum

    def _sync_names(self) -> None:
        """Wait until the names of the file, and of the folders above it within its array, are on disk."""
        for folder in self.path.parents[: len(Path(self.array.key(0, 0)).parts)]:
            sync_path(folder)

    def _flush(self) -> None:
        """Wait for the disk, and free the page cache: otherwise each run takes new memory, which costs more than the write."""
        sync(self._file)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Close the file, and remove it if it is not complete."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self.partial.unlink(missing_ok=True)


def _frozen(values: np.ndarray) -> np.ndarray:
    """A read-only view, which the checksum library accepts without a copy."""
    view = values.view()
    view.flags.writeable = False
    return view


def _write_all(file: int, values: np.ndarray | bytes, offset: int) -> None:
    """Write at an offset; a full disk may accept only a part, and raises at the next call."""
    unwritten = memoryview(values).cast("B")  # type: ignore[arg-type]
    while len(unwritten):
        n_written = os.pwrite(file, unwritten, offset)
        unwritten, offset = unwritten[n_written:], offset + n_written


def tail(array: ArrayLayout, step: int, shard: int, checksum: str) -> bytes:
    """The bytes after a shard's chunks: its identity and Zarr's index, each followed by its own CRC-32C."""
    identity = _IDENTITY.pack(_MAGIC, array.name.encode(), step, *array.rows(shard), int(checksum, 16))
    return _with_crc(identity) + _index(array)


def _index(array: ArrayLayout) -> bytes:
    """Offset and length of every chunk, and their CRC-32C."""
    length = array.chunk_bytes + 4
    table = np.empty((array.n_chunks, 2), "<u8")
    table[:, 0] = np.arange(array.n_chunks, dtype="<u8") * length
    table[:, 1] = length
    return _with_crc(table.tobytes())


def _with_crc(values: bytes) -> bytes:
    return values + int(google_crc32c.value(values)).to_bytes(4, "little")


def _combined(crcs: list[int]) -> str:
    """Checksum of a shard, from those of its chunks."""
    return f"{google_crc32c.value(np.array(crcs, '<u4').tobytes()):08x}"


def tail_problem(array: ArrayLayout, path: Path, step: int, shard: int, checksum: str) -> str:
    """Why a shard's size, identity or index is not as sealed; empty if they are. Its chunks are not read."""
    try:
        size = path.stat().st_size
        if size != array.file_bytes:
            return f"the file has {size:,} bytes, not {array.file_bytes:,}"
        with path.open("rb") as file:
            file.seek(array.file_bytes - IDENTITY_BYTES - array.index_bytes)
            stored = file.read()
    except FileNotFoundError:
        return "the file is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    expected = tail(array, step, shard, checksum)
    if stored == expected:
        return ""
    if stored[IDENTITY_BYTES:] != expected[IDENTITY_BYTES:]:
        return "the index of the file differs"
    return _identity_problem(stored[:IDENTITY_BYTES], expected[:IDENTITY_BYTES])


def _identity_problem(stored: bytes, expected: bytes) -> str:
    """Why a shard's identity is not the expected one."""
    if stored != _with_crc(stored[:-4]) or not stored.startswith(_MAGIC):
        return "the place that it names is damaged"
    _, name, step, start, stop, _ = _IDENTITY.unpack(stored[:-4])
    if stored[: _IDENTITY.size - 4] == expected[: _IDENTITY.size - 4]:
        return "the checksum differs from the ledger's: it is of another run"
    return f"it belongs elsewhere: {name.rstrip(bytes(1)).decode()} of checkpoint {step}, rows {start} to {stop - 1}"


def shard_problem(array: ArrayLayout, path: Path, step: int, shard: int, checksum: str) -> str:
    """Why a shard's file is not as sealed; empty if every byte is."""
    if problem := tail_problem(array, path, step, shard, checksum):
        return problem
    crcs = []
    try:
        with path.open("rb") as file:
            for index, (values, stored) in enumerate(_chunks(array, file)):
                crcs.append(google_crc32c.value(values))
                if crcs[-1] != stored:
                    layer, column = divmod(index, array.n_columns)
                    return f"the checksum of layer {layer}, columns from {column * array.width}, differs"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "" if _combined(crcs) == checksum else "the checksum differs from the ledger's"


def _chunks(array: ArrayLayout, file: object) -> Iterator[tuple[bytes, int]]:
    read = file.read  # type: ignore[attr-defined]
    for _ in range(array.n_chunks):
        yield read(array.chunk_bytes), int.from_bytes(read(4), "little")
