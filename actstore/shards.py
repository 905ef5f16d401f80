"""Shard files: Zarr v3's sharding format, uncompressed with a CRC-32C for every chunk.

Owns these files' bytes. Because chunks are not compressed, every one has its place before its
values are known: a shard is filled in runs of tokens as a model produces them, with no more in
memory than one run, however long the shard. Zarr reads them like any of its own.

Format: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import numpy as np

from actstore.layout import ArrayLayout


class ShardWriter:
    """A shard being written; it gets its final name when it is whole and on disk.

    Parameters
    ----------
    array : ArrayLayout
    path : Path
        The file's final name.
    partial : Path
        Its name until then, on the same file system.
    """

    def __init__(self, array: ArrayLayout, path: Path, partial: Path) -> None:
        self.array, self.path, self.partial = array, path, partial
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
            place = index * (array.chunk_bytes + 4) + self.n_tokens * column_bytes
            _write_all(self._file, run, place)
            self._crcs[index] = google_crc32c.extend(self._crcs[index], run)
        self.n_tokens += runs.shape[1]
        self._flush()

    def finish(self) -> str:
        """Close the chunks, write the index, wait for the disk, and give the file its name.

        Returns
        -------
        str
            Checksum of the shard: CRC-32C over its chunks' CRC-32C values.
        """
        array = self.array
        missing = array.shard_tokens - self.n_tokens
        padding = _frozen(np.zeros(missing * array.width * array.dtype.itemsize, np.uint8))
        crcs = [google_crc32c.extend(crc, padding) if missing else crc for crc in self._crcs]
        stride = array.chunk_bytes + 4
        for index, crc in enumerate(crcs):
            _write_all(self._file, crc.to_bytes(4, "little"), index * stride + array.chunk_bytes)
        _write_all(self._file, _index(array), array.n_chunks * stride)
        self._flush()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.partial.replace(self.path)
        self.close()
        return _folded(crcs)

    def _flush(self) -> None:
        """Wait for the disk, and free the page cache: taking fresh memory for every run costs more than writing it."""
        os.fdatasync(self._file)
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Let go of the file, and remove what is not whole."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self.partial.unlink(missing_ok=True)


def _frozen(values: np.ndarray) -> np.ndarray:
    """A read-only view, which the checksum library takes without a copy."""
    view = values.view()
    view.flags.writeable = False
    return view


def _write_all(file: int, values: np.ndarray | bytes, place: int) -> None:
    """Write at a place; a full disk may take only a part, and says why at the next call."""
    rest = memoryview(values).cast("B")  # type: ignore[arg-type]
    while len(rest):
        written = os.pwrite(file, rest, place)
        rest, place = rest[written:], place + written


def _index(array: ArrayLayout) -> bytes:
    """Offset and length of every chunk, and their CRC-32C."""
    length = array.chunk_bytes + 4
    table = np.empty((array.n_chunks, 2), "<u8")
    table[:, 0] = np.arange(array.n_chunks, dtype="<u8") * length
    table[:, 1] = length
    raw: bytes = table.tobytes()
    return raw + int(google_crc32c.value(raw)).to_bytes(4, "little")


def _folded(crcs: list[int]) -> str:
    return f"{google_crc32c.value(np.array(crcs, '<u4').tobytes()):08x}"


def problem(array: ArrayLayout, path: Path, checksum: str) -> str:
    """What is wrong with a shard's file, byte by byte; empty if nothing is."""
    try:
        if path.stat().st_size != array.file_bytes:
            return f"the file has {path.stat().st_size:,} bytes, not {array.file_bytes:,}"
        crcs = []
        with path.open("rb") as file:
            for index, (values, stored) in enumerate(_chunks(array, file)):
                crcs.append(google_crc32c.value(values))
                if crcs[-1] != stored:
                    layer, column = divmod(index, array.n_columns)
                    return f"the checksum of layer {layer}, columns from {column * array.width}, differs"
            if file.read() != _index(array):
                return "the index of the file differs"
    except FileNotFoundError:
        return "the file is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "" if _folded(crcs) == checksum else "the checksum differs from the ledger's"


def _chunks(array: ArrayLayout, file: object) -> Iterator[tuple[bytes, int]]:
    read = file.read  # type: ignore[attr-defined]
    for _ in range(array.n_chunks):
        yield read(array.chunk_bytes), int.from_bytes(read(4), "little")
