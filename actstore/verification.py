"""Whether every byte of a store, a dataset or a results folder is what was written."""

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
from actstore.store.shards import problem


def verify(path: PathLike) -> list[str]:
    """Recompute every checksum of a store, of a dataset of analysis results, or of a whole folder of these; what is wrong.

    Every byte of every file is read, and files that do not belong in a store are named.

    Parameters
    ----------
    path : path

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
        layouts = layouts_of(group)
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
