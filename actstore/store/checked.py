"""Reading a finished Zarr group with every file compared with its ledger.

Owns the check on reading, for stores and for analysis results: a file that is damaged, missing,
replaced or added later raises an error and never gives a number.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Self

import zarr
from zarr.abc.store import ByteRequest, Store
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.storage import LocalStore, WrapperStore

from actstore.errors import StoreError
from actstore.store.ledger import LEDGER, Contents, digest, digests_below, file_digest

_Request = tuple[str, BufferPrototype, ByteRequest | None]


class CheckedStore(WrapperStore[Store]):
    """A Zarr store that compares each file with its digest when it is read.

    Parameters
    ----------
    store : zarr Store
    root : Path
        For messages.
    files : mapping of str to str
        File → digest.
    sharded : set of str
        Arrays whose files are not in `files`: their chunks have checksums of their own.
    """

    def __init__(self, store: Store, root: Path, files: Mapping[str, str], sharded: AbstractSet[str]) -> None:
        super().__init__(store)
        self._root, self._files, self._sharded = root, files, sharded

    def _with_store(self, store: Store) -> Self:
        return type(self)(store, self._root, self._files, self._sharded)

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """A file's bytes.

        Raises
        ------
        StoreError
            If they are not the sealed ones.
        """
        prototype = prototype or default_buffer_prototype()
        expected = self._files.get(key)
        if expected is None and key.partition("/")[0] in self._sharded | {LEDGER}:
            return await self._store.get(key, prototype, byte_range)
        content = await self._store.get(key, prototype)
        if expected is None and content is None:  # Zarr asks for names that need not exist
            return None
        _compare(self._root / key, expected, None if content is None else digest(content.to_bytes()))
        return content if byte_range is None else await self._store.get(key, prototype, byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Bytes of several files, each checked."""
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def _get_many(self, requests: Iterable[_Request]) -> AsyncGenerator[tuple[str, Buffer | None], None]:
        for key, prototype, byte_range in requests:
            yield key, await self.get(key, prototype, byte_range)


def compressors() -> list[Any]:
    """The codecs of arrays without shards: Zarr's own compression, and a checksum that every reader of Zarr checks."""
    return [ZstdCodec(level=0), Crc32cCodec()]


def every_chunk() -> Any:
    """A context in which Zarr also writes chunks that hold only the fill value, so that a missing chunk is damage."""
    return zarr.config.set({"array.write_empty_chunks": True})


def checked_store(root: Path, contents: Contents | None) -> Store:
    """A group for reading, checked if it has a ledger; its metadata are checked at once.

    Raises
    ------
    StoreError
        If metadata are not the sealed ones.
    """
    store = LocalStore(root, read_only=True)
    if contents is None:
        return store
    for name, expected in contents.files.items():
        if name.endswith("zarr.json"):  # Zarr reads only those of the root, which repeat the others
            path = root / name
            _compare(path, expected, file_digest(path) if path.is_file() else None)
    return CheckedStore(store, root, contents.files, contents.sharded)


def _compare(path: Path, expected: str | None, actual: str | None) -> None:
    if actual is None:
        raise StoreError(f"{path} is missing; see `actstore verify`, and make it again")
    if expected is None:
        raise StoreError(f"{path} is no part of what was sealed; see `actstore verify`, and remove it")
    if actual != expected:
        raise StoreError(
            f"the checksum of {path} differs: it is damaged, or another program changed it; "
            "see `actstore verify`, and make it again"
        )


def seal_group(root: Path) -> None:
    """Write the ledger of a complete group without shards, from its files."""
    Contents({}, digests_below(root, [LEDGER])).keep(root)


def damaged_files(root: Path, contents: Contents) -> list[str]:
    """The damaged, missing and added files of a sealed group, in words. Shards are not read."""
    present = digests_below(root, [LEDGER, *(f"{name}/c" for name in contents.sharded)])
    damaged = [
        f"{name}: {'the file is missing' if name not in present else 'the checksum differs'}"
        for name, expected in contents.files.items()
        if present.get(name) != expected
    ]
    return damaged + [f"{name}: the file is no part of what was sealed" for name in present if name not in contents.files]
