"""Writing Zarr stores: creating, filling and sealing them, and giving them their final name.

Owns the files. A store is written under `NAME.partial` and gets its final name only when it is
complete. The files that come before the first block (labels, metadata) are prepared in a scratch
folder, and their checksums are recorded. Imports neither torch nor transformers.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec
from zarr.errors import ZarrUserWarning

from actstore.errors import StoreError, StoreExistsError
from actstore.files import claim, disk_errors, lock, remove, sync_path, sync_paths, write_synced
from actstore.signals import begin_work
from actstore.store.checked import compressors, every_chunk
from actstore.store.configuration import CONFIGURATION, PathLike, differences, normal, partial_path, read_configuration
from actstore.store.layout import ArrayLayout, layouts_of
from actstore.store.ledger import Contents, Ledger, Seal, digests_below, file_digest
from actstore.store.schema import CHECKPOINT, CONDITION, FIELDS, SCHEMA_VERSION
from actstore.store.shards import shard_problem, tail_problem

_IDENTITY = ("model", "site")
"""Attributes of a store that each of its arrays also has, so that statistics and selections of it name their model and site."""


def _is_label(name: str) -> bool:
    """Whether an array of the schema labels a dim."""
    return len(FIELDS[name].dims) == 1


def is_complete(path: PathLike, configuration: Mapping[str, Any]) -> bool:
    """Whether the path is a finished store with exactly this configuration.

    Raises
    ------
    StoreError
        If the path is something else.
    """
    path = Path(path)
    with disk_errors(path, "read"):
        if not path.exists():
            return False
    stored = read_configuration(path)
    if stored is None:
        raise StoreError(
            f"{path} exists and is no store of actstore, or its metadata (zarr.json) are damaged; "
            "choose another --store or move it away"
        )
    changed = differences(stored, normal(configuration))
    if changed:
        raise StoreError(
            f"{path} exists with another configuration ({'; '.join(changed)}); choose another path or remove it first"
        )
    return True


@dataclass(frozen=True)
class Workspace:
    """Folders of a store that is being written: its arrays, their seals, and incomplete files."""

    data: Path
    ledger: Path
    scratch: Path


class StoreWriter:
    """Writes a store; a context manager. `finish` gives the store its final name.

    Parameters
    ----------
    path : path
        The store's final name.
    configuration : mapping
        What the store is made from; the store keeps it, and later runs compare it with theirs.
    attrs : mapping
        Attributes of the group.
    axes : callable, optional
        Writes what must exist before the first block. With `axes` the store is resumable: sealed
        blocks stay after an error, and the next run continues from them. Without, an error removes
        everything.
    shared : bool
        Whether other processes may write other blocks at the same time.

    Raises
    ------
    StoreError
        If another process is writing the store, there is an unfinished store of another
        configuration, or the folder cannot be written.
    """

    def __init__(
        self,
        path: PathLike,
        configuration: Mapping[str, Any],
        attrs: Mapping[str, Any],
        axes: Callable[[StoreWriter], None] | None = None,
        *,
        shared: bool = False,
    ) -> None:
        self.path, self.partial, self.resumable, self.shared = Path(path), partial_path(path), axes is not None, shared
        self.workspace = Workspace(self.partial / "data", self.partial / "ledger", self.partial / "scratch")
        self.ledger = Ledger(self.workspace.ledger)
        begin_work()
        with disk_errors(self.partial):
            claim(self.partial)
            self._lock_file = (self.partial / "lock").open("w")
            try:
                self._lock(shared)
                with self._setup_lock():
                    self._open(configuration, attrs, axes)
            except BaseException:
                self._lock_file.close()
                raise

    def _lock(self, shared: bool) -> None:
        if not lock(self._lock_file, shared=shared):
            raise StoreError(f"{self.path} is being written by another process; wait for it or choose another path")

    @contextmanager
    def _setup_lock(self) -> Iterator[None]:
        """Let one of several workers set up or finish the store, while the others wait."""
        with (self.partial / "setup").open("w") as file:
            lock(file, wait=True)
            yield

    def _open(
        self, configuration: Mapping[str, Any], attrs: Mapping[str, Any], axes: Callable[[StoreWriter], None] | None
    ) -> None:
        if self.path.exists():
            remove(self.partial)
            raise StoreExistsError(f"{self.path} is already there; run the same command again to see what it is")
        self._attrs = {"schema_version": SCHEMA_VERSION, **attrs, CONFIGURATION: normal(configuration)}
        self._axes = axes
        if self.resumable and ((self.shared and self._prepared) or self.ledger.seals()):
            stored = self._prepared.get(CONFIGURATION) or read_configuration(self.workspace.data) or {}
            changed = differences(stored, normal(configuration))
            if changed:
                raise StoreError(
                    f"{self.partial} is unfinished with another configuration ({'; '.join(changed)}); "
                    "finish it with its own command, remove it, or choose another path"
                )
            self._mend()
        else:
            for folder in (self.workspace.ledger, self.workspace.data):
                shutil.rmtree(folder, ignore_errors=True)
            self._prepare()
        self.group = zarr.open_group(self.workspace.data, mode="r+")

    def _prepare(self) -> None:
        """Write what comes before the first block into the scratch folder, and move the missing files to the data."""
        folder = self.workspace.scratch / "prepared"
        shutil.rmtree(folder, ignore_errors=True)
        self.group = zarr.open_group(folder, mode="w", zarr_format=3)
        self.group.attrs.update(self._attrs)
        if self._axes is not None:
            self._axes(self)
        checksums = digests_below(folder)
        missing = [name for name, checksum in checksums.items() if not self._has(name, checksum)]
        sync_paths(folder / name for name in missing)
        for name in missing:
            target = self.workspace.data / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (folder / name).replace(target)
        sync_paths(self._folders_of(missing))
        shutil.rmtree(folder)
        self.__dict__.pop("_prepared", None)
        write_synced(self.partial / "ready", json.dumps({CONFIGURATION: self._attrs[CONFIGURATION], "files": checksums}))

    @cached_property
    def _prepared(self) -> dict[str, Any]:
        """The configuration and the checksums of files that `_prepare` recorded; empty if there is no valid record."""
        try:
            prepared = dict(json.loads((self.partial / "ready").read_text(encoding="utf-8")))
            return prepared if {CONFIGURATION, "files"} <= prepared.keys() else {}
        except (OSError, ValueError, TypeError):
            return {}

    def _mend(self) -> None:
        """Write prepared files again if any is damaged or missing."""
        files = self._prepared.get("files", {"": ""})
        if any(not self._has(name, checksum) for name, checksum in files.items()):
            self._prepare()

    def _folders_of(self, names: Iterable[str]) -> set[Path]:
        """The folders of these files, up to the store's own."""
        return {self.workspace.data / folder for name in names for folder in Path(name).parents}

    def _has(self, name: str, checksum: str) -> bool:
        path = self.workspace.data / name
        return path.is_file() and file_digest(path) == checksum

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is not None and not (self.resumable and (self.shared or self.ledger.seals())):
                with suppress(OSError):
                    remove(self.partial)
        finally:
            self._lock_file.close()

    def holds(
        self, seal: Seal, layouts: Mapping[str, ArrayLayout], checkpoint_index: int = 0, *, every_byte: bool = False
    ) -> bool:
        """Whether all that a seal covers is on disk: files by their checksums, shards by size, identity and index.

        Parameters
        ----------
        seal : Seal
        layouts : mapping of str to ArrayLayout
            Sharded arrays among the seal's names; the others are files below the store.
        checkpoint_index : int
            Index of the seal's checkpoint on its dim.
        every_byte : bool
            Whether to read the chunks of shards, too.
        """
        for name, checksum in seal.checksums.items():
            layout = layouts.get(name)
            if layout is None:
                if not self._has(name, checksum):
                    return False
                continue
            shard = seal.start // layout.shard_tokens
            path = self.workspace.data / layout.key(checkpoint_index, shard)
            if (shard_problem if every_byte else tail_problem)(layout, path, seal.checkpoint, shard, checksum):
                return False
        return True

    def finish(self, is_complete: Callable[[], bool] = lambda: True, close: Callable[[], None] = lambda: None) -> bool:
        """Give the store its final name, if every block is complete.

        Parameters
        ----------
        is_complete : callable
            Whether every block is sealed and on disk.
        close : callable
            Writes what is only known when all blocks are complete.

        Returns
        -------
        bool
            Whether the store has its final name.
        """
        with disk_errors(self.partial):
            try:
                with self._setup_lock():
                    if not self.path.exists() and is_complete():
                        if self.resumable:
                            self._mend()
                            self.group = zarr.open_group(self.workspace.data, mode="r+")
                        close()
                        self._close()
                        self.workspace.data.replace(self.path)
                        sync_path(self.path.absolute().parent)
                        remove(self.partial)
            except FileNotFoundError:  # another worker has finished the store and removed the workspace
                if not self.path.exists():
                    raise
        return self.path.exists()

    def _close(self) -> None:
        """Consolidate the metadata, and write the ledger of all files."""
        for path in self.workspace.data.rglob("*.partial"):  # incomplete files of Zarr, left by a process that was killed
            path.unlink()
        labels = [name for name in sorted(self.group.array_keys()) if _is_label(name) and name not in FIELDS[name].dims]
        self.group.attrs["coordinates"] = " ".join(labels)  # the CF convention, by which xarray makes them coordinates
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ZarrUserWarning)  # consolidated metadata is not in the v3 specification yet
            zarr.consolidate_metadata(self.workspace.data, zarr_format=3)
        sharded = layouts_of(self.group)
        seals = {key: seal for key, seal in self.ledger.seals().items() if seal.checksums.keys() & sharded.keys()}
        files = digests_below(self.workspace.data, [f"{name}/c" for name in sharded])
        sync_paths({self.workspace.data / name for name in files} | self._folders_of(files))
        Contents(seals, files).keep(self.workspace.data)

    def _array_attrs(self, name: str) -> dict[str, Any]:
        """Attributes of an array: those of the schema, and model and site unless it is a label."""
        identity = {} if _is_label(name) else {key: self._attrs[key] for key in _IDENTITY if key in self._attrs}
        return {**FIELDS[name].attrs, **identity}

    def _create(self, name: str, attrs: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """Create an array of the schema; `attrs` replace those of the schema."""
        attributes = {**self._array_attrs(name), **(attrs or {})}
        options = {"compressors": compressors(), **options}
        return self.group.create_array(name, dimension_names=FIELDS[name].dims, attributes=attributes, **options)

    def write(self, name: str, values: np.ndarray) -> None:
        """Write a whole array of the schema: a coordinate, or a readout."""
        spec = FIELDS[name]
        dtype: Any = np.dtypes.StringDType() if spec.dtype == "str" else spec.dtype
        values = np.asarray(values).astype(dtype)
        task_dims = (CHECKPOINT, CONDITION) if values.ndim > 1 else ()  # a label is one chunk
        chunks = tuple(1 if dim in task_dims else max(1, n) for dim, n in zip(spec.dims, values.shape, strict=True))
        with disk_errors(self.partial), every_chunk():
            array = self._create(name, shape=values.shape, chunks=chunks, dtype=dtype, overwrite=True)
            array[...] = values

    def allot(self, name: str, shape: tuple[int, ...]) -> None:
        """Create an array of the schema that is filled task by task: one chunk for each (checkpoint, condition)."""
        dtype = FIELDS[name].dtype
        chunks = (1, 1, *(max(1, n) for n in shape[2:]))
        fill_value = np.nan if dtype.startswith("float") else 0
        with disk_errors(self.partial):
            self._create(name, shape=shape, chunks=chunks, dtype=dtype, fill_value=fill_value)

    def fill(self, index: tuple[int, int], arrays: Mapping[str, Any]) -> dict[str, str]:
        """Fill several such arrays at one (checkpoint, condition).

        Returns file → digest; the files are on disk then.
        """
        names = []
        with disk_errors(self.partial), every_chunk():
            for name, values in arrays.items():
                array: Any = self.group[name]
                array[index] = values
                names.append("/".join(map(str, (name, "c", *index, *(0,) * (array.ndim - 2)))))
            sync_paths({self.workspace.data / name for name in names} | self._folders_of(names))
            return {name: file_digest(self.workspace.data / name) for name in names}

    def declare(self, layout: ArrayLayout, attrs: Mapping[str, Any] | None = None) -> None:
        """Create a sharded array, whose files `shards.ShardWriter` writes; `attrs` replace those of the schema."""
        extents = {"shape": layout.shape, "chunks": layout.chunks, "shards": layout.shards}
        encoding = {"dtype": layout.dtype, "compressors": Crc32cCodec(), "fill_value": np.nan}
        with disk_errors(self.partial):
            self._create(layout.name, attrs, **extents, **encoding)
