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


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """The keys whose values differ, with both values."""
    keys = sorted({*stored, *asked})
    return [f"{key}: stored {stored.get(key)!r}, asked {asked.get(key)!r}" for key in keys if stored.get(key) != asked.get(key)]
