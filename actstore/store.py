"""Zarr stores on disk: creating, filling, sealing and opening them.

Owns the files. A store is written under `NAME.partial` and gets its final name only when it is
whole. Imports neither torch nor transformers.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec
from zarr.errors import ZarrUserWarning

from actstore.errors import StoreError, StoreExistsError
from actstore.files import disk_errors, existing
from actstore.layout import ArrayLayout
from actstore.ledger import Ledger, file_checksum, keep, kept
from actstore.reader import with_fast_reading
from actstore.schema import CHECKPOINT, CONDITION, FIELDS, SCHEMA_VERSION
from actstore.shards import problem

_CONFIG = "configuration"
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
        raise StoreError(f"{path} exists and is not a store of actstore; choose another --store or move it away")
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
        with disk_errors(self.partial):
            self.partial.mkdir(parents=True, exist_ok=True)
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
        try:
            fcntl.flock(self._lock_file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"{self.path} is being written by another process; wait for it or choose another path") from None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Set-up and finish are done by one of several workers, while the others wait."""
        with (self.partial / "setup").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _open(
        self, configuration: Mapping[str, Any], attrs: Mapping[str, Any], axes: Callable[[StoreWriter], None] | None
    ) -> None:
        if self.path.exists():
            shutil.rmtree(self.partial)
            raise StoreExistsError(f"{self.path} is already there; run the same command again to see what it is")
        ready = self.partial / "ready"
        if self.resumable and ready.exists() and (self.shared or self.ledger.seals()):
            differences = _differences(read_configuration(self.workspace.data) or {}, _normal(configuration))
            if differences:
                raise StoreError(
                    f"{self.partial} is unfinished with another configuration ({'; '.join(differences)}); "
                    "finish it with its own command, remove it, or choose another path"
                )
            self.group = zarr.open_group(self.workspace.data, mode="r+")
            return
        shutil.rmtree(self.workspace.ledger, ignore_errors=True)
        self.group = zarr.open_group(self.workspace.data, mode="w", zarr_format=3)
        self.group.attrs.update({"schema_version": SCHEMA_VERSION, **attrs, _CONFIG: _normal(configuration)})
        if axes is not None:
            axes(self)
            ready.touch()

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is not None and not (self.resumable and (self.shared or self.ledger.seals())):
                shutil.rmtree(self.partial, ignore_errors=True)
        finally:
            self._lock_file.close()

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
                        close()
                        self._consolidate()
                        self.workspace.data.replace(self.path)
                        shutil.rmtree(self.partial)
            except FileNotFoundError:  # another worker was the last, and has cleared the workspace
                if not self.path.exists():
                    raise
        return self.path.exists()

    def _consolidate(self) -> None:
        coordinates = [
            name for name in sorted(self.group.array_keys()) if len(FIELDS[name].dims) == 1 and name not in FIELDS[name].dims
        ]
        self.group.attrs["coordinates"] = " ".join(coordinates)  # the CF convention, so that xarray sets them
        blocks = [seal for seal in self.ledger.seals().values() if seal.checksums]
        keep(self.group, blocks, _file_checksums(self.workspace.data, _sharded(self.group)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ZarrUserWarning)  # consolidated metadata is not in the v3 specification yet
            zarr.consolidate_metadata(self.workspace.data, zarr_format=3)

    def write(self, name: str, values: np.ndarray) -> None:
        """Write one whole array of the schema: a coordinate, or a readout."""
        spec = FIELDS[name]
        dtype: Any = np.dtypes.StringDType() if spec.dtype == "str" else spec.dtype
        values = np.asarray(values).astype(dtype)
        chunks = tuple(
            1 if dim in (CHECKPOINT, CONDITION) else max(1, n) for dim, n in zip(spec.dims, values.shape, strict=True)
        )
        with disk_errors(self.partial):
            array = self.group.create_array(
                name, shape=values.shape, chunks=chunks if values.ndim > 1 else tuple(max(1, n) for n in values.shape),
                dtype=dtype, dimension_names=spec.dims, attributes=spec.attrs, overwrite=True,
            )  # fmt: skip
            array[...] = values

    def allot(self, name: str, shape: tuple[int, ...]) -> None:
        """Create an array of the schema to be filled cell by cell: one chunk a (checkpoint, condition)."""
        spec = FIELDS[name]
        with disk_errors(self.partial):
            self.group.create_array(
                name, shape=shape, chunks=(1, 1, *(max(1, n) for n in shape[2:])), dtype=spec.dtype, dimension_names=spec.dims,
                attributes=spec.attrs, fill_value=np.nan if spec.dtype.startswith("float") else 0,
            )  # fmt: skip

    def put(self, name: str, cell: tuple[int, int], values: Any) -> None:
        """Fill one cell of such an array."""
        with disk_errors(self.partial):
            array: Any = self.group[name]
            array[cell] = values

    def declare(self, layout: ArrayLayout) -> None:
        """Create a sharded array, whose shard files are written by `shards.ShardWriter`."""
        spec = FIELDS[layout.name]
        with disk_errors(self.partial):
            self.group.create_array(
                layout.name, shape=layout.shape, chunks=layout.chunks, shards=layout.shards, dtype=layout.dtype,
                compressors=Crc32cCodec(), fill_value=np.nan, dimension_names=spec.dims, attributes=spec.attrs,
            )  # fmt: skip


def verify(path: PathLike) -> list[str]:
    """Recompute every checksum of a store; what is damaged or missing, in words.

    Every byte of every file is read, but for the root's metadata, which hold the checksums.

    Returns
    -------
    list of str
        One line a damaged shard or file; empty for a sound store.

    Raises
    ------
    StoreError
        If there is no store, or it has no ledger.
    """
    root = Path(path)
    if read_configuration(root) is None:
        open_store(root)  # says why there is none
    group = zarr.open_group(root, mode="r")
    if not (root / "ledger").is_dir():
        raise StoreError(f"{path} has no ledger, so there is nothing to verify it by")
    sharded = _sharded(group)
    seals, expected = kept(group)
    found = _file_checksums(root, sharded)
    wrong = [
        f"{name}: {'the file is missing' if name not in found else 'the checksum differs'}"
        for name, checksum in expected.items()
        if found.get(name) != checksum
    ]
    if wrong or not seals:
        return wrong
    steps = [int(step) for step in np.asarray(group[CHECKPOINT])]
    for (step, start), seal in seals.items():
        for name, checksum in seal.checksums.items():
            layout = sharded[name]
            file = root / layout.key(steps.index(step), start // layout.shard_tokens)
            if what := problem(layout, file, checksum):
                wrong.append(f"{name} of checkpoint {step}, tokens {start} to {seal.stop - 1}: {what}")
    n_tokens = len(steps) * sharded["surprisal"].shape[1]
    missing = n_tokens - sum(seal.stop - seal.start for seal in seals.values())
    return wrong + ([f"{missing:,} tokens are in no sealed block"] if missing else [])


def _file_checksums(root: Path, sharded: Mapping[str, ArrayLayout]) -> dict[str, str]:
    """Name → CRC-32C of every array's file but the shards, which the seals cover."""
    found = {}
    for file in sorted(root.rglob("*")):
        name = file.relative_to(root)
        is_shard = name.parts[0] in sharded and name.name != "zarr.json"
        if file.is_file() and len(name.parts) > 1 and name.parts[0] != "ledger" and not is_shard:
            found[name.as_posix()] = file_checksum(file)
    return found


def _sharded(group: zarr.Group) -> dict[str, ArrayLayout]:
    return {name: _layout_of(group, name) for name, array in group.arrays() if array.shards is not None}


def _layout_of(group: zarr.Group, name: str) -> ArrayLayout:
    array: Any = group[name]
    return ArrayLayout(name, array.shape, array.shards[2 if array.ndim == 4 else 1], array.dtype)


def open_store(path: PathLike) -> xr.Dataset:
    """A store as a lazy, labelled Dataset.

    Raises
    ------
    StoreError
        If there is none, or a newer version of this package wrote it.
    """
    path = Path(path)
    if read_configuration(path) is None:
        if existing(str(partial_path(path))):
            raise StoreError(f"{path} is not finished ({partial_path(path)} is); run its command again")
        raise StoreError(f"no store at {path}; make one with `actstore extract` or `actstore ablate`")
    dataset = xr.open_zarr(path, chunks=None)  # lazy without a task graph: a store may have millions of chunks
    version = dataset.attrs["schema_version"]
    if version > SCHEMA_VERSION:
        raise StoreError(f"{path} has schema version {version}, this package reads up to {SCHEMA_VERSION}; upgrade actstore")
    dataset = with_fast_reading(dataset, path, _sharded(zarr.open_group(path, mode="r")))
    # Plain Python strings: pandas and older numpy functions do not take numpy's new string dtype.
    try:
        strings = {name: coord.astype(object).load() for name, coord in dataset.coords.items() if coord.dtype.kind == "T"}
    except Exception as error:  # a decoder fails in its own way
        raise StoreError(f"the labels of {path} are damaged ({error}); see `actstore verify`, and extract again") from error
    labelled: xr.Dataset = dataset.assign_coords(strings)
    for array in labelled.data_vars.values():
        array.attrs["model"] = labelled.attrs["model"]  # statistics keep it, and selections by them name it
    return labelled
