"""Settings files: TOML into frozen dataclasses, a wrong key or value named with the nearest valid one."""

from __future__ import annotations

import re
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

from actstore.errors import ActstoreError, SettingError, UnknownNameError

T = TypeVar("T")
_TYPES: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


def read_toml(path: str | Path, what: str) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises
    ------
    ActstoreError
        If it cannot be read or is no TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ActstoreError(f"cannot read the {what} {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ActstoreError(f"{path} is not valid TOML: {error}") from None


def build(kind: type[T], values: Any, what: str, path: str | Path) -> T:
    """A dataclass from a table; a field of many values takes a single one too.

    Raises
    ------
    ActstoreError
        If a key is unknown or missing, or a value is of another type or out of bounds.
    """
    if not isinstance(values, dict):
        raise ActstoreError(f"{path}: {what.removeprefix('key of ')} must be a table")
    known = {spec.name: spec for spec in fields(kind)}  # type: ignore[arg-type]
    unknown = next((key for key in values if key not in known), None)
    if unknown is not None:
        raise UnknownNameError(what, unknown, known, located(path, unknown))
    missing = [k for k, s in known.items() if s.default is MISSING and s.default_factory is MISSING and k not in values]
    if missing:
        raise ActstoreError(f"{path} lacks {', '.join(missing)}")
    typed = {key: _typed(value, str(known[key].type), f"{located(path, key)}: {key}") for key, value in values.items()}
    try:
        return kind(**typed)
    except SettingError as error:
        raise ActstoreError(f"{located(path, error.key)}: {error}") from None


def located(path: str | Path, key: str) -> str:
    """The file's name, with the line where the key is first set."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    setting = re.compile(rf"\s*(\[+\s*)?[\"']?{re.escape(key)}[\"']?\s*[=\]]")
    number = next((number for number, line in enumerate(lines, 1) if setting.match(line)), None)
    return f"{path}, line {number}" if number else str(path)


def _typed(value: Any, type_name: str, what: str) -> Any:
    """The value as its field's type has it; types that are no setting pass."""
    name = type_name.removesuffix(" | None")
    if name.startswith("tuple["):
        element = name.removeprefix("tuple[").removesuffix(", ...]")
        many = value if isinstance(value, (list, tuple)) else [value]
        return tuple(_typed(one, element, what) for one in many)
    expected = _TYPES.get(name)
    if expected is not None and (not isinstance(value, expected) or (isinstance(value, bool) and name != "bool")):
        raise ActstoreError(f"{what} must be {name}, got {value!r}")
    return value
