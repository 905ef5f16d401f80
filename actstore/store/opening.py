"""Opening a finished store as labelled arrays.

Owns the reading side, and the messages for paths that are no store. Imports neither torch nor
transformers, and writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr
import zarr

from actstore.errors import StoreError
from actstore.files import existing
from actstore.store.checked import checked_store
from actstore.store.configuration import PathLike, partial_path, read_configuration
from actstore.store.layout import layouts_of
from actstore.store.ledger import Contents
from actstore.store.schema import SCHEMA_VERSION
from actstore.store.sharded_array import with_fast_reading


def open_store(path: PathLike) -> xr.Dataset:
    """Open a store as a lazy, labelled Dataset; all values are checked against its ledger when they are read.

    A store without a ledger, such as a copy that xarray wrote, is read by Zarr without checks.

    Parameters
    ----------
    path : path
        A finished store of `actstore extract` or `actstore ablate`.

    Returns
    -------
    Dataset
        With the dims, dtypes and units that `actstore.store.schema` names.

    Raises
    ------
    StoreError
        If there is no store, another version of this package wrote it, or its metadata are damaged.
        Reading values raises it, too, if these are damaged or missing.
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
            layouts = layouts_of(zarr.open_group(checked, mode="r"))
            dataset = with_fast_reading(dataset, path, layouts, contents.seals)
        # Plain Python strings: pandas and older numpy functions do not take numpy's new string dtype.
        strings = {name: coord.astype(object).load() for name, coord in dataset.coords.items() if coord.dtype.kind == "T"}
    except StoreError:
        raise
    except Exception as error:  # decoders raise errors of many kinds
        raise StoreError(f"the labels of {path} are damaged ({error}); see `actstore verify`, and make it again") from error
    labelled: xr.Dataset = dataset.assign_coords(strings)
    return labelled


def _no_store(path: Path) -> str:
    if existing(str(partial_path(path))):
        return f"{path} is not finished ({partial_path(path)} is); run its command again"
    if existing(str(path / "zarr.json")):
        return f"{path} is no store of actstore, or its metadata (zarr.json) are damaged; make it again by its own command"
    if existing(str(path / "entanglement.zarr")):
        return f"{path} is a results folder, not a store; name one of `actstore extract` or `actstore ablate`"
    return f"no store at {path}; make one with `actstore extract` or `actstore ablate`"


def kind_of(dataset: xr.Dataset) -> str:
    """The kind of a dataset, in words, with the command that writes it."""
    if "is_edited" in dataset.variables:
        return "a store of `actstore ablate`"
    if "preactivation" in dataset.variables:
        return "a store of `actstore extract`"
    if "wasserstein_distance" in dataset.variables:
        return "statistics of `actstore entanglement`"
    return "results of the analysis" if "schema_version" not in dataset.attrs else "an incomplete store"


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
