"""Checks that a file in the hub's cache has the content that the hub has.

Owns the digests of downloaded files, and the record of files that were checked: each file is read for
its digest once, not at every start.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from pathlib import Path

_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REPOSITORY = ("models--", "datasets--")
_RECORD = "actstore-verified"


def is_sound(path: Path, digest: str = "") -> bool:
    """Whether a file's content has its digest.

    Parameters
    ----------
    path : Path
        A file of the hub's cache.
    digest : str
        SHA-256 of a large file, or git's SHA-1 of a small one, as the hub states them; by default the
        name of the file in which the cache stores the content.

    Returns
    -------
    bool
        True also if no digest is known.

    Notes
    -----
    A file that was checked is not read again until its size or time of change differs.
    """
    content = path.resolve()
    digest = digest or content.name
    if not content.exists():  # a link without its content
        return False
    if not _DIGEST.fullmatch(digest):
        return True
    state = content.stat()
    version, record = f"{state.st_size} {state.st_mtime_ns}", _record(path, digest)
    with contextlib.suppress(OSError):
        if record.read_bytes() == version.encode():  # bytes, as a damaged record may be no text
            return True
    if _digest_of(content, state.st_size, len(digest)) != digest:
        return False
    with contextlib.suppress(OSError):  # in a read-only cache files are checked every time
        record.parent.mkdir(exist_ok=True)
        partial = record.with_name(f"{record.name}.{os.getpid()}")
        partial.write_text(version)
        partial.replace(record)
    return True


def drop(path: Path) -> None:
    """Remove a file from the cache: its content and the link to it."""
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _record(path: Path, digest: str) -> Path:
    """The record that a file of the cache was checked, in the folder of its repository."""
    root = next((folder for folder in path.parents if folder.name.startswith(_REPOSITORY)), path.parent)
    return root / _RECORD / digest


def _digest_of(path: Path, size: int, length: int) -> str:
    """SHA-256 of a file for 64 characters, git's SHA-1 for 40."""
    with path.open("rb") as file:
        if length == 64:
            return hashlib.file_digest(file, "sha256").hexdigest()
        return hashlib.file_digest(file, lambda: hashlib.sha1(b"blob %d\0" % size)).hexdigest()
