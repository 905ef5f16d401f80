"""The user's file system: names that may be paths, bytes that must last, folders that are ours, and what it says when it refuses."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from actstore.errors import ActstoreError, StoreError
from actstore.signals import begin_work

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MARKER = ".actstore"
"""In a folder that this package made, and may remove."""
_SYNCS = 16
_SHOWN = 200
"""Characters of a path that a message repeats."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NAME = re.compile(r"\w[\w.-]{0,99}")


def existing(name: str) -> Path | None:
    """The path that a name on the command line stands for, None if there is nothing there."""
    try:
        path = Path(name).expanduser()
        return path if name and path.exists() else None
    except (OSError, RuntimeError, ValueError):  # too long a name, an unknown ~user, a null byte
        return None


def looks_like_path(name: str) -> bool:
    """Whether a name that stands for nothing was meant as a path: no short name and no `owner/name` looks so."""
    return name.startswith((".", "~", "/")) or name.count("/") > 1 or "\\" in name


def sync(file: int) -> None:
    """Wait until an open file's bytes are on disk."""
    getattr(os, "fdatasync", os.fsync)(file)  # macOS and Windows have the slower one only


def sync_path(path: Path) -> None:
    """Wait until a file's bytes are on disk, or the names in a folder."""
    if path.is_dir() and os.name == "nt":  # a folder cannot be opened there
        return
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file) if path.is_dir() else sync(file)
    finally:
        os.close(file)


def sync_paths(paths: Iterable[Path]) -> None:
    """As `sync_path`, of many: files, then folders, several at a time, which a disk waits for together."""
    folders: dict[bool, set[Path]] = {False: set(), True: set()}
    for path in paths:
        folders[path.is_dir()].add(path)
    with ThreadPoolExecutor(_SYNCS, thread_name_prefix="actstore-sync") as pool:
        for group in folders.values():
            for _ in pool.map(sync_path, sorted(group)):
                pass


def sync_below(folder: Path) -> None:
    """Wait until a folder with all in it, and below, is on disk."""
    sync_paths([*folder.rglob("*"), folder])


def write_synced(path: Path, text: str) -> None:
    """Write a small file under its final name only when whole and on disk, and make the name last too."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            sync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    sync_path(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder, with those above it, under names that last."""
    new = [folder, *folder.absolute().parents]
    new = new[: next(place for place, path in enumerate(new) if path.exists())]
    folder.mkdir(parents=True, exist_ok=True)
    for path in new:
        sync_path(path.absolute().parent)


def checked_name(name: str, what: str) -> str:
    """A name that becomes a folder's: letters, digits, `_`, `.` and `-`, beginning with none of the last two.

    Raises
    ------
    ActstoreError
        If it is none, such as a path.
    """
    if _NAME.fullmatch(name) is None:
        raise ActstoreError(
            f"{what} must be at most 100 letters, digits, '.', '_' or '-', and begin with none of '.' and '-'; got {name!r}"
        )
    return name


def claim(folder: Path) -> None:
    """Make a folder ours: a new or empty one, or one that was.

    Raises
    ------
    StoreError
        If it holds what this package did not write.
    """
    make_folder(folder)
    refuse_foreign(folder)
    (folder / MARKER).touch()
    sync_path(folder)


def remove(folder: Path) -> None:
    """Remove a folder of ours; it is known as ours until nothing else is in it, wherever this is broken off."""
    (folder / MARKER).touch()  # a finished store is known by its ledger, which goes with the rest
    sync_path(folder)
    for path in folder.iterdir():
        if path.name != MARKER:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    sync_path(folder)  # else power loss may keep something else and take the marker
    shutil.rmtree(folder)


def refuse_foreign(path: Path) -> None:
    """Leave alone what is not ours; a folder with nothing in it is nobody's loss.

    Raises
    ------
    StoreError
        If this package did not write it.
    """
    is_empty = path.is_dir() and not any(path.iterdir())
    if not (is_empty or (path / MARKER).exists() or (path / "ledger" / "zarr.json").exists()):
        raise StoreError(f"{path} is in the way and was not written by actstore; move it away, or choose another path")


def lock(file: IO[str], *, shared: bool = False, wait: bool = False) -> bool:
    """Hold an open file until it is closed; the system frees it if this process dies. Whether it could be had.

    Raises
    ------
    StoreError
        On a system that has no such locks.
    """
    if fcntl is None:
        raise StoreError("this system has no file locks (Windows): stores can be read here, and must be written elsewhere")
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Work in a folder that is made if need be, and in which no other process of ours works meanwhile.

    Raises
    ------
    StoreError
        If one does, or the folder cannot be written.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    with file:
        begin_work()
        if fcntl is not None and not lock(file):
            raise StoreError(f"{folder} is being written by another process; wait for it, or choose another folder")
        yield


@contextmanager
def disk_errors(path: Path, verb: str = "write") -> Iterator[None]:
    """Turn what the file system says into one line with the mend.

    Raises
    ------
    StoreError
        If it refuses.
    """
    try:
        yield
    except OSError as error:
        reason, shown = error.strerror or str(error), str(path)
        if len(shown) > _SHOWN:
            shown = f"{shown[:_SHOWN]}…"
        mend = f"{_room(path)}; make space or choose another path" if error.errno in _FULL else "; choose another path"
        raise StoreError(f"cannot {verb} {shown}: {reason}{mend}") from error


def _room(path: Path) -> str:
    folder = next((p for p in path.absolute().parents if existing(str(p))), None)
    return "" if folder is None else f" ({shutil.disk_usage(folder).free / 2**20:,.0f} MiB free there)"
