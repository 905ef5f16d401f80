"""The user's file system: names that may be paths, bytes that must last, and what it says when something cannot be done."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actstore.errors import StoreError


def existing(name: str) -> Path | None:
    """The path that a name on the command line stands for, None if there is nothing there."""
    try:
        path = Path(name).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):  # too long a name, an unknown ~user, a null byte
        return None


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


def write_synced(path: Path, text: str) -> None:
    """Write a small file under its final name only when whole and on disk, and make the name last too."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        sync(file.fileno())
    partial.replace(path)
    sync_path(path.parent)


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
        reason = error.strerror or str(error)
        raise StoreError(f"cannot {verb} {path}: {reason}{_room(path)}; make space or choose another path") from error


def _room(path: Path) -> str:
    folder = next((p for p in path.absolute().parents if existing(str(p))), None)
    return "" if folder is None else f" ({shutil.disk_usage(folder).free / 2**20:,.0f} MiB free there)"
