"""The user's file system.

Owns names that may be paths, writing that survives a power loss, folders that belong to this
package, locks, and the messages of what the file system refuses.
"""

from __future__ import annotations

import errno
import itertools
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
"""A file in each folder that this package made, and may remove."""
_N_SYNC_THREADS = 16
_LONGEST_PATH = 200
"""Characters of a path that a message shows."""
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NAME = re.compile(r"\w[\w.-]{0,99}")


def existing(name: str) -> Path | None:
    """The path that a name on the command line stands for, None if it does not exist."""
    try:
        path = Path(name).expanduser()
        return path if name and path.exists() else None
    except (OSError, RuntimeError, ValueError):  # a name that is too long, an unknown ~user, a null byte
        return None


def looks_like_path(name: str) -> bool:
    """Whether a name was meant as a path: no short name and no `owner/name` has this form."""
    return name.startswith((".", "~", "/")) or name.count("/") > 1 or "\\" in name


def sync(file: int) -> None:
    """Wait until an open file's bytes are on disk."""
    getattr(os, "fdatasync", os.fsync)(file)  # macOS and Windows only have fsync, which is slower


def sync_path(path: Path) -> None:
    """Wait until the bytes of a file, or the names in a folder, are on disk."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open a folder
        return
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file) if path.is_dir() else sync(file)
    finally:
        os.close(file)


def sync_paths(paths: Iterable[Path]) -> None:
    """As `sync_path`, for many paths: first files, then folders, several at a time."""
    folders: dict[bool, set[Path]] = {False: set(), True: set()}
    for path in paths:
        folders[path.is_dir()].add(path)
    with ThreadPoolExecutor(_N_SYNC_THREADS, thread_name_prefix="actstore-sync") as pool:
        for group in folders.values():
            for _ in pool.map(sync_path, sorted(group)):
                pass


def sync_below(folder: Path) -> None:
    """Wait until a folder, with all below it, is on disk."""
    sync_paths([*folder.rglob("*"), folder])


def write_synced(path: Path, text: str) -> None:
    """Write a small file. It gets its name when its bytes are on disk; on return the name is on disk, too."""
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
    """Make a folder and those above it; on return their names are on disk."""
    missing = list(itertools.takewhile(lambda path: not path.exists(), (folder, *folder.absolute().parents)))
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_path(path.absolute().parent)


def checked_name(name: str, label: str) -> str:
    """A name that is safe as a folder's: letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`.

    Raises
    ------
    ActstoreError
        If it has another form, such as that of a path; `label` says in the message what it names.
    """
    if _NAME.fullmatch(name) is None:
        raise ActstoreError(
            f"{label} must be at most 100 letters, digits, '.', '_' or '-', and begin with none of '.' and '-'; got {name!r}"
        )
    return name


def claim(folder: Path) -> None:
    """Make a folder and mark it as this package's own.

    Raises
    ------
    StoreError
        If it holds files that this package did not write.
    """
    make_folder(folder)
    refuse_foreign(folder)
    (folder / MARKER).touch()
    sync_path(folder)


def remove(folder: Path) -> None:
    """Remove a folder of this package; the marker goes last, so that an interrupted removal can be repeated."""
    (folder / MARKER).touch()  # a finished store has a ledger in place of a marker, and the ledger may go first
    sync_path(folder)
    for path in folder.iterdir():
        if path.name != MARKER:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    sync_path(folder)  # otherwise a power loss may take the marker and leave other files
    shutil.rmtree(folder)


def refuse_foreign(path: Path) -> None:
    """Refuse a path that this package did not write; an empty folder is accepted.

    Raises
    ------
    StoreError
        If it holds files of another program.
    """
    is_empty = path.is_dir() and not any(path.iterdir())
    if not (is_empty or (path / MARKER).exists() or (path / "ledger" / "zarr.json").exists()):
        raise StoreError(f"{path} is in the way and was not written by actstore; move it away, or choose another path")


def lock(file: IO[str], *, shared: bool = False, wait: bool = False) -> bool:
    """Lock an open file until it is closed; the system frees the lock if this process dies.

    Returns
    -------
    bool
        False if another process holds the lock.

    Raises
    ------
    StoreError
        On a system without such locks (Windows).
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
    """Keep other processes of this package out of a folder, which is made if it is missing.

    Raises
    ------
    StoreError
        If another process holds it, or the folder cannot be written.
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
    """Turn an error of the file system into one line that says what to do.

    Raises
    ------
    StoreError
        On any `OSError`.
    """
    try:
        yield
    except OSError as error:
        reason, name = error.strerror or str(error), str(path)
        if len(name) > _LONGEST_PATH:
            name = f"{name[:_LONGEST_PATH]}…"
        is_full = error.errno in _DISK_FULL
        mend = f"{_free_space(path)}; make space or choose another path" if is_full else "; choose another path"
        raise StoreError(f"cannot {verb} {name}: {reason}{mend}") from error


def _free_space(path: Path) -> str:
    folder = next((p for p in path.absolute().parents if existing(str(p))), None)
    return "" if folder is None else f" ({shutil.disk_usage(folder).free / 2**20:,.0f} MiB free there)"
