"""Analysis results on disk: what the report reads.

Owns the files of a results folder: Zarr groups, and tidy tables as CSV.
"""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path

import pandas as pd
import xarray as xr
from zarr.errors import ZarrUserWarning

from actstore.errors import StoreError

ENTANGLEMENT, PAIRS, DIFFERENTIATION = "entanglement", "pairs", "differentiation"
_GZIP = {"method": "gzip", "mtime": 1}  # without the time of writing, so that equal tables are equal files


def save_table(table: pd.DataFrame, path: Path) -> None:
    """Write a tidy table under its final name only when whole."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(partial, index=False, float_format="%.10g", compression=_GZIP if path.suffix == ".gz" else None)
        partial.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; make space or choose another folder") from None


def load_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a tidy table.

    Raises
    ------
    StoreError
        If it is not there.
    """
    try:
        return pd.read_csv(path, keep_default_na=False, na_values=[""])
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}; run `python -m analysis` first") from None
    except ValueError as error:
        raise StoreError(f"{path} is not a table: {error}") from None


def save_dataset(data: xr.Dataset, folder: Path, name: str) -> None:
    """Write `NAME.zarr` into a results folder, under its final name only when whole."""
    path, partial = folder / f"{name}.zarr", folder / f"{name}.zarr.partial"
    # Strings of fixed length have no place in the Zarr v3 specification.
    data = data.assign_coords({key: coord.astype(object) for key, coord in data.coords.items() if coord.dtype.kind == "U"})
    try:
        shutil.rmtree(partial, ignore_errors=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ZarrUserWarning)  # consolidated metadata is not in the v3 specification yet
            data.to_zarr(partial, zarr_format=3, consolidated=True)
        shutil.rmtree(path, ignore_errors=True)
        partial.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; make space or choose another folder") from None


def load_dataset(folder: str | os.PathLike[str], name: str) -> xr.Dataset:
    """Read `NAME.zarr` of a results folder, in memory.

    Raises
    ------
    StoreError
        If it is not there.
    """
    path = Path(folder) / f"{name}.zarr"
    if not path.exists():
        command = "pairs" if name in (PAIRS, DIFFERENTIATION) else "entanglement"
        raise StoreError(f"no {path.name} in {folder}; run `python -m analysis {command}` first")
    found: xr.Dataset = xr.open_zarr(path).load()
    return found
