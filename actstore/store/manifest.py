"""The checksums of a folder's files, by which a damaged, lost or changed table is detected.

Owns `checksums.json`. Files that it does not name, such as the user's own, are not checked.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from actstore.errors import StoreError
from actstore.files import write_synced
from actstore.store.ledger import digest, file_digest

MANIFEST = "checksums.json"


def record(folder: Path, name: str) -> None:
    """Add the checksum of a file below a folder to the folder's list."""
    _write(folder, {**_read(folder), name: file_digest(folder / name)})


def forget(folder: Path, name: str) -> None:
    """Remove a file from the list, before it is written again."""
    files = _read(folder)
    if files.pop(name, None) is not None:
        _write(folder, files)


def check(path: Path) -> None:
    """Compare a file with its folder's list.

    Raises
    ------
    StoreError
        If its content differs from the recorded one, or the list is damaged.
    """
    expected = _read(path.parent).get(path.name)
    if expected is not None and path.exists() and file_digest(path) != expected:
        raise StoreError(
            f"{path} is not what was written: it is damaged, or another program changed it; run its command again, "
            "or work on a copy under another name"
        )


def damaged(folder: Path) -> list[str]:
    """The recorded files of a folder that are damaged or missing, in words."""
    try:
        files = _read(folder)
    except StoreError as error:
        return [str(error)]
    problems = []
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{name}: the file is missing")
        elif file_digest(path) != expected:
            problems.append(f"{name}: the checksum differs")
    return problems


def _text(files: dict[str, str]) -> str:
    manifest: dict[str, Any] = {"files": dict(sorted(files.items()))}
    manifest["digest"] = digest(json.dumps(manifest).encode())
    return json.dumps(manifest, indent=1) + "\n"


def _write(folder: Path, files: dict[str, str]) -> None:
    write_synced(folder / MANIFEST, _text(files))


def _read(folder: Path) -> dict[str, str]:
    path = folder / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
        files = dict(json.loads(text)["files"])
        if _text(files) == text:
            return files
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise StoreError(
        f"{path} is damaged: nothing in {folder} can be checked; run the commands that wrote it again in a new folder"
    )
