"""Zarr stores on disk: creating, filling, sealing, verifying and opening them.

Owns the files. A store is written under `NAME.partial` and gets its final name only when it is
whole. What is there before the first block (labels, metadata) is prepared beside it, and every
file of that is known by its checksum from then on. Imports neither torch nor transformers.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec
from zarr.errors import ZarrUserWarning

from actstore.errors import ActstoreError, StoreError, StoreExistsError
from actstore.files import claim, disk_errors, existing, lock, remove, sync_path, sync_paths, write_synced
from actstore.signals import begin_work
from actstore.store.checked import checked_store, compressors, damaged_files, every_chunk
from actstore.store.layout import ArrayLayout
from actstore.store.ledger import Contents, Ledger, Seal, digests_below, file_digest, has_ledger
from actstore.store.manifest import MANIFEST, damaged
from actstore.store.reader import with_fast_reading
from actstore.store.schema import CHECKPOINT, CONDITION, FIELDS, SCHEMA_VERSION, Selection
from actstore.store.shards import problem, tail_problem

_CONFIG = "configuration"
_IDENTITY = ("model", "site")
"""Attributes of a store that each of its arrays carries, so that statistics and selections made from it name them."""
PathLike = str | os.PathLike[str]


def partial_path(path: PathLike) -> Path:
    """The folder of a store that is not whole yet: its data, its ledger and a lock."""
    path = Path(path)
    return Path(f"{path if path.name else path.absolute()}.partial")


def is_complete(path: PathLike, configuration: Mapping[str, Any]) -> bool:
    """Whether a finished store with exactly this configuration is already there.

    Raises
    ------
    StoreError
        If something else is there.
    """
    path = Path(path)
    with disk_errors(path, "read"):
        if not path.exists():
            return False
    stored = read_configuration(path)
    if stored is None:
        raise StoreError(
            f"{path} exists and is no store of actstore, or its metadata (zarr.json) are damaged; choose another --store or move it away"
        )
    differences = _differences(stored, _normal(configuration))
    if differences:
        raise StoreError(
            f"{path} exists with another configuration ({'; '.join(differences)}); choose another path or remove it first"
        )
    return True


def _normal(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """As it reads back from JSON."""
    return dict(json.loads(json.dumps(configuration)))


def _differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    keys = sorted({*stored, *wanted})
    return [
        f"{key}: stored {stored.get(key)!r}, asked {wanted.get(key)!r}" for key in keys if stored.get(key) != wanted.get(key)
    ]


def read_configuration(path: PathLike) -> dict[str, Any] | None:
    """The configuration a store was made with, None if it is no store."""
    try:
        attrs = json.loads((Path(path) / "zarr.json").read_text())["attributes"]
        return dict(attrs[_CONFIG])
    except (OSError, ValueError, KeyError):
        return None


@dataclass(frozen=True)
class Workspace:
    """Folders of a store that is being written: its arrays, their seals, files not yet whole."""

    data: Path
    ledger: Path
    scratch: Path


class StoreWriter:
    """A store being written; a context manager. `finish` gives it its final name.

    Parameters
    ----------
    path : path
        The store's final name.
    configuration : mapping
        What the store is made from; kept in it and compared when it is found again.
    attrs : mapping
        Attributes of the group.
    axes : callable, optional
        Writes what must be there before the first block. With it the store is resumable: sealed
        blocks are kept, over an error and over the next start. Without it an error removes
        everything.
    shared : bool
        Whether other processes may write other blocks at the same time.

    Raises
    ------
    StoreError
        If another process is writing the store, an unfinished store of another configuration is
        in the way, or the folder cannot be written.
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
                with self._alone():
                    self._open(configuration, attrs, axes)
            except BaseException:
                self._lock_file.close()
                raise

    def _lock(self, shared: bool) -> None:
        """Hold the lock file while writing; the system frees it if this process dies."""
        if not lock(self._lock_file, shared=shared):
            raise StoreError(f"{self.path} is being written by another process; wait for it or choose another path")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Set-up and finish are done by one of several workers, while the others wait."""
        with (self.partial / "setup").open("w") as file:
            lock(file, wait=True)
            yield

    def _open(
        self, configuration: Mapping[str, Any], attrs: Mapping[str, Any], axes: Callable[[StoreWriter], None] | None
    ) -> None:
        if self.path.exists():
            remove(self.partial)
            raise StoreExistsError(f"{self.path} is already there; run the same command again to see what it is")
        self._attrs = {"schema_version": SCHEMA_VERSION, **attrs, _CONFIG: _normal(configuration)}
        self._axes = axes
        if self.resumable and ((self.shared and self._prepared) or self.ledger.seals()):
            stored = self._prepared.get(_CONFIG) or read_configuration(self.workspace.data) or {}
            differences = _differences(stored, _normal(configuration))
            if differences:
                raise StoreError(
                    f"{self.partial} is unfinished with another configuration ({'; '.join(differences)}); "
                    "finish it with its own command, remove it, or choose another path"
                )
            self._mend()
        else:
            for folder in (self.workspace.ledger, self.workspace.data):
                shutil.rmtree(folder, ignore_errors=True)
            self._prepare()
        self.group = zarr.open_group(self.workspace.data, mode="r+")

    def _prepare(self) -> None:
        """Write what is there before the first block beside the data, and put in place what of it is not there yet."""
        folder = self.workspace.scratch / "prepared"
        shutil.rmtree(folder, ignore_errors=True)
        self.group = zarr.open_group(folder, mode="w", zarr_format=3)
        self.group.attrs.update(self._attrs)
        if self._axes is not None:
            self._axes(self)
        checksums = digests_below(folder)
        absent = [name for name, checksum in checksums.items() if not self._has(name, checksum)]
        sync_paths(folder / name for name in absent)
        for name in absent:
            target = self.workspace.data / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (folder / name).replace(target)
        sync_paths(self._folders_of(absent))
        shutil.rmtree(folder)
        self.__dict__.pop("_prepared", None)
        write_synced(self.partial / "ready", json.dumps({_CONFIG: self._attrs[_CONFIG], "files": checksums}))

    @cached_property
    def _prepared(self) -> dict[str, Any]:
        """The configuration, and the checksums of the files, that `_prepare` left; empty if that is not known."""
        try:
            prepared = dict(json.loads((self.partial / "ready").read_text(encoding="utf-8")))
            return prepared if {_CONFIG, "files"} <= prepared.keys() else {}
        except (OSError, ValueError, TypeError):
            return {}

    def _mend(self) -> None:
        """Write again what was prepared and is damaged or gone."""
        files = self._prepared.get("files", {"": ""})
        if any(not self._has(name, checksum) for name, checksum in files.items()):
            self._prepare()

    def _folders_of(self, names: Iterable[str]) -> set[Path]:
        """The folders of files of the store, and those above them within it."""
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

    def holds(self, seal: Seal, layouts: Mapping[str, ArrayLayout], checkpoint: int = 0, *, every_byte: bool = False) -> bool:
        """Whether what a seal covers is on disk: its files by their checksums, its shards by size, place and index.

        Parameters
        ----------
        seal : Seal
        layouts : mapping of str to ArrayLayout
            Sharded arrays among the seal's names; the others are files below the store.
        checkpoint : int
            Place of the seal's checkpoint on its dim.
        every_byte : bool
            Whether the chunks of shards are read, too.
        """
        for name, checksum in seal.checksums.items():
            layout = layouts.get(name)
            if layout is None:
                if not self._has(name, checksum):
                    return False
                continue
            shard = seal.start // layout.shard_tokens
            path = self.workspace.data / layout.key(checkpoint, shard)
            if (problem if every_byte else tail_problem)(layout, path, seal.checkpoint, shard, checksum):
                return False
        return True

    def finish(self, is_whole: Callable[[], bool] = lambda: True, close: Callable[[], None] = lambda: None) -> bool:
        """Give the store its final name, once every block is there; whether it has it.

        Parameters
        ----------
        is_whole : callable
            Whether every block is sealed and on disk.
        close : callable
            Writes what can only be known when all blocks are there.
        """
        with disk_errors(self.partial):
            try:
                with self._alone():
                    if not self.path.exists() and is_whole():
                        if self.resumable:
                            self._mend()
                            self.group = zarr.open_group(self.workspace.data, mode="r+")
                        close()
                        self._close()
                        self.workspace.data.replace(self.path)
                        sync_path(self.path.absolute().parent)
                        remove(self.partial)
            except FileNotFoundError:  # another worker was the last, and has cleared the workspace
                if not self.path.exists():
                    raise
        return self.path.exists()

    def _close(self) -> None:
        """Consolidate the metadata, and write the ledger of all files."""
        for path in self.workspace.data.rglob("*.partial"):  # Zarr's own, of a process that was killed
            path.unlink()
        coordinates = [
            name for name in sorted(self.group.array_keys()) if len(FIELDS[name].dims) == 1 and name not in FIELDS[name].dims
        ]
        self.group.attrs["coordinates"] = " ".join(coordinates)  # the CF convention, so that xarray sets them
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ZarrUserWarning)  # consolidated metadata is not in the v3 specification yet
            zarr.consolidate_metadata(self.workspace.data, zarr_format=3)
        sharded = _sharded(self.group)
        seals = {place: seal for place, seal in self.ledger.seals().items() if seal.checksums.keys() & sharded.keys()}
        files = digests_below(self.workspace.data, [f"{name}/c" for name in sharded])
        sync_paths({self.workspace.data / name for name in files} | self._folders_of(files))
        Contents(seals, files).keep(self.workspace.data)
        sync_path(self.workspace.data)

    def _attributes(self, name: str, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Of an array: what the schema says of it, and whose it is where it is more than a label."""
        is_label = len(FIELDS[name].dims) == 1
        identity = {} if is_label else {key: self._attrs[key] for key in _IDENTITY if key in self._attrs}
        return {**FIELDS[name].attrs, **identity, **(more or {})}

    def write(self, name: str, values: np.ndarray) -> None:
        """Write one whole array of the schema: a coordinate, or a readout."""
        spec = FIELDS[name]
        dtype: Any = np.dtypes.StringDType() if spec.dtype == "str" else spec.dtype
        values = np.asarray(values).astype(dtype)
        chunks = tuple(
            1 if dim in (CHECKPOINT, CONDITION) else max(1, n) for dim, n in zip(spec.dims, values.shape, strict=True)
        )
        with disk_errors(self.partial), every_chunk():
            array = self.group.create_array(
                name, shape=values.shape, chunks=chunks if values.ndim > 1 else tuple(max(1, n) for n in values.shape),
                dtype=dtype, compressors=compressors(), dimension_names=spec.dims, attributes=self._attributes(name), overwrite=True,
            )  # fmt: skip
            array[...] = values

    def allot(self, name: str, shape: tuple[int, ...]) -> None:
        """Create an array of the schema to be filled cell by cell: one chunk a (checkpoint, condition)."""
        spec = FIELDS[name]
        with disk_errors(self.partial):
            self.group.create_array(
                name, shape=shape, chunks=(1, 1, *(max(1, n) for n in shape[2:])), dtype=spec.dtype,
                compressors=compressors(), dimension_names=spec.dims, attributes=self._attributes(name),
                fill_value=np.nan if spec.dtype.startswith("float") else 0,
            )  # fmt: skip

    def fill(self, cell: tuple[int, int], arrays: Mapping[str, Any]) -> dict[str, str]:
        """Fill one cell of several such arrays; their files, which are on disk then, with their digests."""
        names = []
        with disk_errors(self.partial), every_chunk():
            for name, values in arrays.items():
                array: Any = self.group[name]
                array[cell] = values
                names.append("/".join(map(str, (name, "c", *cell, *(0,) * (array.ndim - 2)))))
            sync_paths({self.workspace.data / name for name in names} | self._folders_of(names))
            return {name: file_digest(self.workspace.data / name) for name in names}

    def declare(self, layout: ArrayLayout, attrs: Mapping[str, Any] | None = None) -> None:
        """Create a sharded array, whose shard files are written by `shards.ShardWriter`; `attrs` go before the schema's."""
        spec = FIELDS[layout.name]
        with disk_errors(self.partial):
            self.group.create_array(
                layout.name, shape=layout.shape, chunks=layout.chunks, shards=layout.shards, dtype=layout.dtype,
                compressors=Crc32cCodec(), fill_value=np.nan, dimension_names=spec.dims,
                attributes=self._attributes(layout.name, attrs),
            )  # fmt: skip


def verify(path: PathLike) -> list[str]:
    """Recompute every checksum of a store, of a dataset of analysis results, or of a whole folder of these; what is wrong.

    Every byte of every file is read, and files that do not belong in a store are named.

    Returns
    -------
    list of str
        One line a damaged, missing or added shard or file; empty for a sound store.

    Raises
    ------
    StoreError
        If there is no store, or it has no ledger.
    """
    root = Path(path)
    if not has_ledger(root):
        if existing(str(root / MANIFEST)):
            return _damaged_results(root)
        if read_configuration(root) is None:
            open_store(root)  # says why there is none
        raise StoreError(f"{path} has no ledger, so there is nothing to verify it by")
    try:
        contents = Contents.of(root)
    except StoreError as error:
        return [str(error)]
    assert contents is not None
    with disk_errors(root, "read"):
        return damaged_files(root, contents) + (_damaged_shards(root, contents) if contents.seals else [])


def _damaged_results(folder: Path) -> list[str]:
    """What is wrong with the tables, the datasets and the selections of a results folder."""
    groups = (path for path in sorted(folder.glob("*.zarr")) if has_ledger(path))
    selections = (what for path in sorted((folder / "selections").glob("*.json")) if (what := _damaged_selection(path)))
    return damaged(folder) + [f"{group.name}: {what}" for group in groups for what in verify(group)] + list(selections)


def _damaged_selection(path: Path) -> str:
    """What is wrong with a selection; empty if nothing is."""
    try:
        Selection.load(path)
    except ActstoreError as error:
        return str(error)
    return ""


def _damaged_shards(root: Path, contents: Contents) -> list[str]:
    """What is wrong with the files that the seals cover."""
    try:
        group = zarr.open_group(root, mode="r")
        layouts = _sharded(group)
        steps = [int(step) for step in np.asarray(group[CHECKPOINT])]
    except Exception as error:  # damaged metadata fail in any way; the file itself is named before
        return [f"the shards cannot be checked, because the metadata cannot be read ({error})"]
    wrong, known = [], set()
    for (step, start), seal in contents.seals.items():
        for name, checksum in seal.checksums.items():
            if name not in layouts or step not in steps:
                wrong.append(f"{name} of checkpoint {step}, tokens from {start}: the metadata do not name it")
                continue
            layout = layouts[name]
            shard = start // layout.shard_tokens
            key = layout.key(steps.index(step), shard)
            known.add(key)
            if what := problem(layout, root / key, step, shard, checksum):
                wrong.append(f"{name} of checkpoint {step}, tokens {start} to {seal.stop - 1}: {what}")
    n_tokens = len(steps) * layouts["surprisal"].shape[1] if "surprisal" in layouts else 0
    missing = n_tokens - sum(seal.stop - seal.start for seal in contents.seals.values())
    wrong += [f"{missing:,} tokens are in no sealed block"] if missing else []
    files = (file for name in layouts for file in (root / name / "c").rglob("*") if file.is_file())
    added = sorted({file.relative_to(root).as_posix() for file in files} - known)
    return wrong + [f"{name}: the file is no part of what was sealed" for name in added]


def _sharded(group: zarr.Group) -> dict[str, ArrayLayout]:
    return {name: _layout_of(group, name) for name, array in group.arrays() if array.shards is not None}


def _layout_of(group: zarr.Group, name: str) -> ArrayLayout:
    array: Any = group[name]
    return ArrayLayout(name, array.shape, array.shards[2 if array.ndim == 4 else 1], array.dtype)


def open_store(path: PathLike) -> xr.Dataset:
    """A store as a lazy, labelled Dataset; what is read of it is held against its ledger.

    A store without a ledger, such as one that xarray wrote again, is read by Zarr alone.

    Raises
    ------
    StoreError
        If there is none, another version of this package wrote it, or its metadata are damaged.
        Reading values raises it where these are damaged or missing.
    """
    path = Path(path)
    contents = Contents.of(path)
    if contents is None and read_configuration(path) is None:
        raise StoreError(_no_store(path))
    checked = checked_store(path, contents)
    try:
        dataset = xr.open_zarr(checked, chunks=None)  # lazy without a task graph: a store may have millions of chunks
        if "schema_version" not in dataset.attrs:
            raise StoreError(f"{path} is {kind_of(dataset)}, not a store; name one of `actstore extract` or `actstore ablate`")
        _check_version(path, dataset.attrs)
        if contents is not None and contents.seals:
            layouts = _sharded(zarr.open_group(checked, mode="r"))
            dataset = with_fast_reading(dataset, path, layouts, contents.seals)
        # Plain Python strings: pandas and older numpy functions do not take numpy's new string dtype.
        strings = {name: coord.astype(object).load() for name, coord in dataset.coords.items() if coord.dtype.kind == "T"}
    except StoreError:
        raise
    except Exception as error:  # a decoder fails in its own way
        raise StoreError(f"the labels of {path} are damaged ({error}); see `actstore verify`, and make it again") from error
    labelled: xr.Dataset = dataset.assign_coords(strings)
    return labelled


def _no_store(path: Path) -> str:
    if existing(str(partial_path(path))):
        return f"{path} is not finished ({partial_path(path)} is); run its command again"
    if existing(str(path / "zarr.json")):
        return f"{path} is no store of actstore, or its metadata (zarr.json) are damaged; make it again by its own command"
    if existing(str(path / "entanglement.zarr")):
        return f"{path} is a results folder of `python -m analysis`, not a store; name one of `actstore extract` or `actstore ablate`"
    return f"no store at {path}; make one with `actstore extract` or `actstore ablate`"


def kind_of(dataset: xr.Dataset) -> str:
    """What a dataset is, in words, with the command that makes such a one."""
    if "is_edited" in dataset.variables:
        return "a store of `actstore ablate`"
    if "preactivation" in dataset.variables:
        return "a store of `actstore extract`"
    if "wasserstein_distance" in dataset.variables:
        return "statistics of `python -m analysis entanglement`"
    return "results of `python -m analysis`" if "schema_version" not in dataset.attrs else "an incomplete store"


def _check_version(path: Path, attrs: Mapping[str, Any]) -> None:
    version = attrs.get("schema_version")
    if version == SCHEMA_VERSION:
        return
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise StoreError(f"{path} has schema version {version}, this package reads {SCHEMA_VERSION}; upgrade actstore")
    raise StoreError(
        f"{path} has schema version {version}, this package reads {SCHEMA_VERSION}; "
        "make it again with `actstore extract` or `actstore ablate`"
    )
