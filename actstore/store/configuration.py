"""What a store was made from, kept in it and compared when it is found again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONFIGURATION = "configuration"
"""Attribute of a store that holds it."""
PathLike = str | os.PathLike[str]


def partial_path(path: PathLike) -> Path:
    """The folder of a store that is not whole yet: its data, its ledger and a lock."""
    path = Path(path)
    return Path(f"{path if path.name else path.absolute()}.partial")


def read_configuration(path: PathLike) -> dict[str, Any] | None:
    """The configuration a store was made with, None if it is no store."""
    try:
        attrs = json.loads((Path(path) / "zarr.json").read_text())["attributes"]
        return dict(attrs[CONFIGURATION])
    except (OSError, ValueError, KeyError):
        return None


def normal(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """As it reads back from JSON."""
    return dict(json.loads(json.dumps(configuration)))


def differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """The keys whose values differ, with both; a key within a table as `table.key`."""
    stored, wanted = _flat(stored), _flat(wanted)
    keys = sorted({*stored, *wanted})
    return [
        f"{key}: stored {stored.get(key)!r}, asked {wanted.get(key)!r}" for key in keys if stored.get(key) != wanted.get(key)
    ]


def _flat(configuration: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for key, value in configuration.items():
        is_table = isinstance(value, Mapping) and bool(value)
        entries |= _flat(value, f"{prefix}{key}.") if is_table else {f"{prefix}{key}": value}
    return entries
