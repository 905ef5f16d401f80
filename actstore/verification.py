"""Checking that every byte of a store, a dataset or a results folder is the one that was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import zarr

from actstore.errors import ActstoreError, StoreError
from actstore.files import disk_errors, existing
from actstore.selection.selection import Selection
from actstore.store.checked import damaged_files
from actstore.store.configuration import PathLike, read_configuration
from actstore.store.layout import layouts_of
from actstore.store.ledger import Contents, has_ledger
from actstore.store.manifest import MANIFEST, damaged
from actstore.store.opening import open_store
from actstore.store.schema import CHECKPOINT
from actstore.store.shards import shard_problem


def verify(path: PathLike) -> list[str]:
    """Recompute every checksum of a store, a dataset of analysis results, or a results folder.

    Reads every byte of every file. Files that were added to a store are named, too.

    Parameters
    ----------
    path : path

    Returns
    -------
    list of str
        One line for each damaged, missing or added shard or file; empty for a sound store.

    Raises
    ------
    StoreError
        If there is no store, or the store has no ledger.
    """
    root = Path(path)
    if not has_ledger(root):
        if existing(str(root / MANIFEST)):
            return _damaged_results(root)
        if read_configuration(root) is None:
            open_store(root)  # raises, and says why this is no store
        raise StoreError(f"{path} has no ledger, so there is nothing to verify it by")
    try:
        contents = Contents.of(root)
    except StoreError as error:
        return [str(error)]
    assert contents is not None
    with disk_errors(root, "read"):
        return damaged_files(root, contents) + (_damaged_shards(root, contents) if contents.seals else [])


def _damaged_results(folder: Path) -> list[str]:
    """The damaged tables, datasets and selections of a results folder, in words."""
    groups = (path for path in sorted(folder.glob("*.zarr")) if has_ledger(path))
    selections = map(_selection_problem, sorted((folder / "selections").glob("*.json")))
    in_groups = [f"{group.name}: {problem}" for group in groups for problem in verify(group)]
    return damaged(folder) + in_groups + list(filter(None, selections))


def _selection_problem(path: Path) -> str:
    """Why a selection file cannot be read; empty if it can."""
    try:
        Selection.load(path)
    except ActstoreError as error:
        return str(error)
    return ""


def _damaged_shards(root: Path, contents: Contents) -> list[str]:
    """The damaged, missing and added shards of a store, in words."""
    try:
        group = zarr.open_group(root, mode="r")
        layouts = layouts_of(group)
        steps = [int(step) for step in np.asarray(group[CHECKPOINT])]
    except Exception as error:  # damaged metadata can raise anything; their file is already named by its digest
        return [f"the shards cannot be checked, because the metadata cannot be read ({error})"]
    damaged_shards, sealed_files = [], set()
    for (step, start), seal in contents.seals.items():
        for name, checksum in seal.checksums.items():
            if name not in layouts or step not in steps:
                damaged_shards.append(f"{name} of checkpoint {step}, tokens from {start}: the metadata do not name it")
                continue
            layout = layouts[name]
            shard = start // layout.shard_tokens
            key = layout.key(steps.index(step), shard)
            sealed_files.add(key)
            if problem := shard_problem(layout, root / key, step, shard, checksum):
                damaged_shards.append(f"{name} of checkpoint {step}, tokens {start} to {seal.stop - 1}: {problem}")
    n_tokens = len(steps) * layouts["surprisal"].shape[1] if "surprisal" in layouts else 0
    n_unsealed = n_tokens - sum(seal.stop - seal.start for seal in contents.seals.values())
    unsealed = [f"{n_unsealed:,} tokens are in no sealed block"] if n_unsealed else []
    files = (file for name in layouts for file in (root / name / "c").rglob("*") if file.is_file())
    added = sorted({file.relative_to(root).as_posix() for file in files} - sealed_files)
    return damaged_shards + unsealed + [f"{name}: the file is no part of what was sealed" for name in added]
