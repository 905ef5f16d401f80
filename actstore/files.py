"""The user's file system: names that may be paths, and what it says when something cannot be done."""

from __future__ import annotations

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
