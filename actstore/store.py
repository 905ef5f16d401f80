"""Zarr stores on disk: creating, filling, sealing and opening them.

Owns the files. A store is written under `NAME.partial` and gets its final name only when it is
whole. Imports neither torch nor transformers.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec
from zarr.errors import ZarrUserWarning

from actstore.errors import StoreError
from actstore.ledger import Ledger, Seal, checksum, keep, kept
from actstore.schema import CHECKPOINT, FIELDS, SCHEMA_VERSION, TOKEN

_CONFIG = "configuration"
_DATA = "data"
_CHUNK_BYTES = 2**20
PathLike = str | os.PathLike[str]


def partial_path(path: PathLike) -> Path:
    """The folder of a store that is not whole yet: its data, its ledger and a lock."""
    path = Path(path)
    return path.with_name(path.name + ".partial")


def is_complete(path: PathLike, configuration: Mapping[str, Any]) -> bool:
    """Whether a finished store with exactly this configuration is already there.

    Raises
    ------
    StoreError
        If something else is there.
    """
    path = Path(path)
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


class StoreWriter:
    """A store being written by this process alone; a context manager that gives it its final name.

    Parameters
    ----------
    path : path
        The store's final name.
    configuration : mapping
        What the store is made from; kept in it and compared when it is found again.
    attrs : mapping
        Attributes of the group.
    shard : mapping of dim to int
        Extent of one shard along each dim that is not cut to 1.
    resumable : bool
        Whether blocks that the ledger names are kept, over an error and over the next start.
        Otherwise an error removes everything.

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
        shard: Mapping[str, int],
        *,
        resumable: bool = False,
    ) -> None:
        self.path = Path(path)
        self.partial = partial_path(path)
        self.shard = shard
        self.resumable = resumable
        self.ledger = Ledger(self.partial / "ledger")
        data = self.partial / _DATA
        with _disk_errors(self.partial):
            self.partial.mkdir(parents=True, exist_ok=True)
            self._lock()
            self.resumed = resumable and self._is_ours(configuration)
            if self.resumed:
                self.group = zarr.open_group(data, mode="r+")
                return
            shutil.rmtree(self.ledger.folder, ignore_errors=True)
            self.group = zarr.open_group(data, mode="w", zarr_format=3)
            self.group.attrs.update({"schema_version": SCHEMA_VERSION, **attrs, _CONFIG: _normal(configuration)})

    def _lock(self) -> None:
        """Hold the lock file while writing; the system frees it if this process dies."""
        self._lock_file = (self.partial / "lock").open("w")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock_file.close()
            raise StoreError(f"{self.path} is being written by another process; wait for it or choose another path") from None

    def _is_ours(self, configuration: Mapping[str, Any]) -> bool:
        """Whether an unfinished store with sealed blocks and this configuration is there."""
        if not self.ledger.seals():
            return False
        differences = _differences(read_configuration(self.partial / _DATA) or {}, _normal(configuration))
        if differences:
            self._lock_file.close()
            raise StoreError(
                f"{self.partial} is unfinished with another configuration ({'; '.join(differences)}); "
                "finish it with its own command, remove it, or choose another path"
            )
        return True

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._finish()
            elif not (self.resumable and self.ledger.seals()):
                shutil.rmtree(self.partial, ignore_errors=True)
        finally:
            self._lock_file.close()

    def _finish(self) -> None:
        coordinates = [
            name for name in sorted(self.group.array_keys()) if len(FIELDS[name].dims) == 1 and name not in FIELDS[name].dims
        ]
        with _disk_errors(self.partial), warnings.catch_warnings():
            self.group.attrs["coordinates"] = " ".join(coordinates)  # the CF convention, so that xarray sets them
            warnings.simplefilter("ignore", ZarrUserWarning)  # consolidated metadata is not in the v3 specification yet
            if self.resumable:
                keep(self.group, self.ledger.seals().values())
            zarr.consolidate_metadata(self.partial / _DATA, zarr_format=3)
            (self.partial / _DATA).replace(self.path)
            shutil.rmtree(self.partial)

    def seal(self, seal: Seal) -> None:
        """Record a block as finished."""
        with _disk_errors(self.partial):
            self.ledger.add(seal)

    def coordinate(self, name: str, values: np.ndarray) -> None:
        """Write one whole coordinate or small variable."""
        spec = FIELDS[name]
        dtype: Any = np.dtypes.StringDType() if spec.dtype == "str" else spec.dtype
        values = np.asarray(values).astype(dtype)
        with _disk_errors(self.partial):
            chunks = tuple(min(self.shard.get(dim, size), size) for dim, size in zip(spec.dims, values.shape, strict=True))
            array = self._create(name, spec.dims, values.shape, dtype, chunks, spec.attrs)
            array[...] = values

    def variable(self, name: str, sizes: Mapping[str, int], dtype: str | None = None) -> None:
        """Create a large variable, to be filled shard by shard.

        Parameters
        ----------
        name : str
            A field of the schema.
        sizes : mapping of dim to int
            Size of each of its dims.
        dtype : str, optional
            Another dtype than the schema's.
        """
        spec = FIELDS[name]
        dtype = dtype or spec.dtype
        shape = tuple(sizes[dim] for dim in spec.dims)
        shards = tuple(min(self.shard.get(dim, 1), sizes[dim]) for dim in spec.dims)
        with _disk_errors(self.partial):
            self._create(name, spec.dims, shape, dtype, _chunks(shards, dtype), spec.attrs, shards)

    def _create(
        self,
        name: str,
        dims: tuple[str, ...],
        shape: tuple[int, ...],
        dtype: Any,
        chunks: tuple[int, ...],
        attrs: Mapping[str, str],
        shards: tuple[int, ...] | None = None,
    ) -> Any:
        sealed = shards is not None
        return self.group.create_array(
            name,
            shape=shape,
            chunks=tuple(max(1, size) for size in chunks),
            shards=shards,
            dtype=dtype,
            compressors=Crc32cCodec() if sealed else "auto",
            fill_value=np.nan if sealed else None,
            dimension_names=dims,
            attributes=dict(attrs),
            overwrite=True,
        )

    def write(self, name: str, region: Mapping[str, slice], values: np.ndarray) -> None:
        """Write whole shards of a variable (never part of one: that is not safe), one at a time.

        Parameters
        ----------
        name : str
        region : mapping of dim to slice
            Where `values` go, with both ends; all of a dim that is not named.
        values : array
        """
        dims = FIELDS[name].dims
        start = [region[dim].start if dim in region else 0 for dim in dims]
        steps = [self.shard.get(dim, 1) for dim in dims]
        with _disk_errors(self.partial):
            array: Any = self.group[name]
            for corner in itertools.product(*(range(0, n, step) for n, step in zip(values.shape, steps, strict=True))):
                inside = tuple(slice(i, min(i + k, n)) for i, k, n in zip(corner, steps, values.shape, strict=True))
                target = tuple(slice(i + part.start, i + part.stop) for i, part in zip(start, inside, strict=True))
                if self.resumed:  # an interrupted write may have left half a shard, which zarr would read first
                    place = [str(part.start // step) for part, step in zip(target, steps, strict=True)]
                    self.partial.joinpath(_DATA, name, "c", *place).unlink(missing_ok=True)
                array[target] = values[inside]


def _chunks(shards: tuple[int, ...], dtype: str) -> tuple[int, ...]:
    """Chunks inside a shard: whole along all dims but the last, which is split to about 1 MiB.

    Reading some neurons of all tokens then reads little else.
    """
    *outer, inner = shards
    per_column = int(np.prod(outer)) * np.dtype(dtype).itemsize
    width = max(1, min(inner, _CHUNK_BYTES // per_column))
    while inner % width:  # chunks must tile the shard
        width -= 1
    return (*outer, width)


@contextmanager
def _disk_errors(path: Path) -> Any:
    """Turn what the file system says into one line with the mend."""
    try:
        yield
    except OSError as error:
        folder = next((p for p in (path, *path.parents) if p.exists()), Path("."))
        free = shutil.disk_usage(folder).free / 2**20
        reason = error.strerror or str(error)
        raise StoreError(
            f"cannot write {path}: {reason} ({free:,.0f} MiB free there); make space or choose another path"
        ) from error


def verify(path: PathLike) -> list[str]:
    """Recompute the checksum of every sealed block; what is damaged or missing, in words.

    Returns
    -------
    list of str
        One line a damaged block; empty for a sound store.

    Raises
    ------
    StoreError
        If there is no store, or it has no ledger.
    """
    store = open_store(path)
    seals = kept(zarr.open_group(path, mode="r"))
    if not seals:
        raise StoreError(f"{path} has no ledger, so there is nothing to verify it by")
    place = {int(step): index for index, step in enumerate(store[CHECKPOINT].values)}
    wrong = [
        f"{name} of checkpoint {step}, tokens {start} to {seal.stop - 1}: {problem}"
        for (step, start), seal in seals.items()
        for name, expected in seal.checksums.items()
        if (problem := _problem(store[name], place.get(step), start, seal.stop, expected))
    ]
    covered = sum(seal.stop - seal.start for seal in seals.values())
    missing = len(place) * store.sizes[TOKEN] - covered
    return wrong + ([f"{missing:,} tokens are in no sealed block"] if missing else [])


def _problem(array: xr.DataArray, index: int | None, start: int, stop: int, expected: str) -> str:
    if index is None:
        return "the checkpoint is not in the store"
    try:
        # Missing chunks read as NaN, so they fail the checksum too.
        values = array.isel({CHECKPOINT: slice(index, index + 1), TOKEN: slice(start, stop)}).values
    except (OSError, ValueError) as error:
        return str(error).splitlines()[0]
    return "" if checksum(values) == expected else "the checksum differs"


def open_store(path: PathLike) -> xr.Dataset:
    """A store as a lazy, labelled Dataset.

    Raises
    ------
    StoreError
        If there is none, or a newer version of this package wrote it.
    """
    path = Path(path)
    if read_configuration(path) is None:
        if partial_path(path).exists():
            raise StoreError(f"{path} is not finished ({partial_path(path)} is); run its command again")
        raise StoreError(f"no store at {path}; make one with `actstore extract` or `actstore ablate`")
    dataset = xr.open_zarr(path)
    version = dataset.attrs["schema_version"]
    if version > SCHEMA_VERSION:
        raise StoreError(f"{path} has schema version {version}, this package reads up to {SCHEMA_VERSION}; upgrade actstore")
    # Plain Python strings: pandas and older numpy functions do not take numpy's new string dtype.
    strings = {name: coord.astype(object).load() for name, coord in dataset.coords.items() if coord.dtype.kind == "T"}
    labelled: xr.Dataset = dataset.assign_coords(strings)
    return labelled
