"""The configuration that a store was made with; the store keeps it, and every later run compares it with its own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONFIGURATION = "configuration"
"""Attribute of a store that holds its configuration."""
PathLike = str | os.PathLike[str]


def partial_path(path: PathLike) -> Path:
    """The folder of an unfinished store: its data, its ledger and a lock."""
    path = Path(path)
    return Path(f"{path if path.name else path.absolute()}.partial")


def read_configuration(path: PathLike) -> dict[str, Any] | None:
    """The configuration that a store was made with, None if there is no store."""
    try:
        attrs = json.loads((Path(path) / "zarr.json").read_text())["attributes"]
        return dict(attrs[CONFIGURATION])
    except (OSError, ValueError, KeyError):
        return None


def normal(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as it reads back from JSON."""
    return dict(json.loads(json.dumps(configuration)))


def differences(stored: Mapping[str, Any], requested: Mapping[str, Any]) -> list[str]:
    """The keys whose values differ, with both values; a key within a table is `table.key`."""
    stored, requested = _flat(stored), _flat(requested)
    pairs = {key: (stored.get(key), requested.get(key)) for key in sorted({*stored, *requested})}
    return [f"{key}: stored {old!r}, asked {new!r}" for key, (old, new) in pairs.items() if old != new]


def _flat(configuration: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for key, value in configuration.items():
        is_table = isinstance(value, Mapping) and bool(value)
        entries |= _flat(value, f"{prefix}{key}.") if is_table else {f"{prefix}{key}": value}
    return entries
