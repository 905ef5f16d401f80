"""Analysis results on disk, which the report reads.

Owns the files of a results folder: Zarr groups, and tidy tables as CSV. The checksum of each is kept, and compared when
the file is read.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr
from zarr.errors import ZarrUserWarning
from zarr.storage import LocalStore

from actstore.errors import StoreError
from actstore.files import alone, claim, disk_errors, existing, refuse_foreign, remove, sync_below, sync_path
from actstore.selection.selection import Selection
from actstore.store import manifest
from actstore.store.checked import checked_store, compressors, every_chunk, seal_group
from actstore.store.ledger import Contents, has_ledger
from analysis.csv_text import defused, restored

ENTANGLEMENT, PAIRS, DIFFERENTIATION, PROFILES = "entanglement", "pairs", "differentiation", "profiles"
_MAKERS = {DIFFERENTIATION: "pairs", PROFILES: "atlas"}
"""Commands that leave a dataset of another name than theirs."""
_GZIP = {"method": "gzip", "mtime": 1}  # a constant time of writing, so that equal tables are equal files


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Write into a results folder while no other command does; a new folder that stays empty is removed again.

    Raises
    ------
    StoreError
        If another command is writing there, the folder cannot be made, or it is a store.
    """
    if has_ledger(folder):
        raise StoreError(f"{folder} is a store or dataset itself, and results within it would damage it; name another folder")
    is_new = existing(str(folder)) is None
    try:
        with alone(folder):
            yield
    finally:
        if is_new and existing(str(folder)) and [path.name for path in folder.glob("*")] == [".lock"]:
            shutil.rmtree(folder)


def save_table(table: pd.DataFrame, path: Path) -> None:
    """Write a tidy table; it has its final name only when it is complete."""
    partial = path.with_name(path.name + ".partial").absolute()  # pandas would read ~ as the user's home
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        defused(table).to_csv(partial, index=False, float_format="%.10g", compression=_GZIP if path.suffix == ".gz" else None)
        sync_path(partial)
        manifest.forget(path.parent, path.name)
        partial.replace(path)
        manifest.record(path.parent, path.name)


def load_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a tidy table.

    Raises
    ------
    StoreError
        If it is missing, or is not what was written.
    """
    manifest.check(Path(path))
    try:
        return restored(pd.read_csv(Path(path).absolute(), keep_default_na=False, na_values=[""]))
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}; run the command that writes it") from None
    except ValueError as error:
        raise StoreError(f"{path} is not a table: {error}") from None


def save_selection(selection: Selection, folder: Path, name: str) -> Path:
    """Write `selections/NAME.json` into a results folder."""
    key = f"selections/{name}.json"
    with disk_errors(folder / key):
        manifest.forget(folder, key)
        path = selection.save(folder / key)
        manifest.record(folder, key)
    return path


def save_dataset(data: xr.Dataset, folder: Path, name: str) -> None:
    """Write `NAME.zarr` into a results folder; it has its final name only when it is complete."""
    path, scratch = folder / f"{name}.zarr", folder / ".partial"
    # The Zarr v3 specification has no strings of fixed length.
    data = data.assign_coords({key: coord.astype(object) for key, coord in data.coords.items() if coord.dtype.kind == "U"})
    with disk_errors(path):
        claim(scratch)
        partial, previous = scratch / path.name, scratch / f"before-{path.name}"
        for leftover in (partial, previous):
            shutil.rmtree(leftover, ignore_errors=True)
        with warnings.catch_warnings(), every_chunk():
            warnings.simplefilter("ignore", ZarrUserWarning)  # consolidated metadata is not in the v3 specification yet
            encoding: dict[str, Any] = {str(key): {"compressors": compressors()} for key in data.variables}
            # Not a plain path: zarr would take a name such as ~ or ::x for the user's home or a URL.
            data.drop_encoding().to_zarr(LocalStore(partial), zarr_format=3, consolidated=True, encoding=encoding)
        sync_below(partial)
        seal_group(partial)
        if path.exists():
            refuse_foreign(path)
            path.rename(previous)
        partial.rename(path)
        sync_path(folder)
        remove(scratch)


def load_dataset(folder: str | os.PathLike[str], name: str) -> xr.Dataset:
    """Read `NAME.zarr` of a results folder, in memory.

    Raises
    ------
    StoreError
        If it is missing, or is not what was written.
    """
    path = Path(folder) / f"{name}.zarr"
    if not path.exists():
        command = _MAKERS.get(name, name)
        raise StoreError(f"no {path.name} in {folder}; run `actstore {command}` first")
    try:
        dataset: xr.Dataset = xr.open_zarr(checked_store(path, Contents.of(path)), chunks=None).load()
    except StoreError:
        raise
    except Exception as error:  # decoders raise errors of many kinds
        raise StoreError(f"{path} is damaged ({error}); run its command again") from error
    return dataset
