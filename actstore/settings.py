"""Settings files: TOML into frozen dataclasses, a wrong key or value named with the nearest valid one."""

from __future__ import annotations

import re
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

from actstore import bounds
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
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))  # some editors write a byte order mark
    except OSError as error:
        raise ActstoreError(f"cannot read the {what} {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ActstoreError(f"{path} is not valid TOML: {error}") from None
    except RecursionError:
        raise ActstoreError(f"{path} nests too deep; write its tables flat") from None
    except ValueError:  # what Python refuses to read as a number
        raise ActstoreError(f"{path} has an integer of more than {bounds.LONGEST_INTEGER:,} digits; shorten it") from None


def build(kind: type[T], values: Any, what: str, path: str | Path) -> T:
    """A dataclass from a table; a field of many values takes a single one too.

    Raises
    ------
    ActstoreError
        If a key is unknown or missing, or a value is of another type or out of bounds.
    """
    if not isinstance(values, dict):
        name = what.removeprefix("key of ")
        raise ActstoreError(f"{located(path, name.strip('[]').partition(' of ')[0])}: {name} must be a table, got {values!r}")
    known = {spec.name: spec for spec in fields(kind)}  # type: ignore[arg-type]
    unknown = next((key for key in values if key not in known), None)
    if unknown is not None:
        raise UnknownNameError(what, unknown, known, located(path, unknown))
    missing = [k for k, s in known.items() if s.default is MISSING and s.default_factory is MISSING and k not in values]
    if missing:
        raise ActstoreError(f"{path} lacks {', '.join(missing)}")
    typed = {key: _typed(value, str(known[key].type), f"{located(path, key, value)}: {key}") for key, value in values.items()}
    try:
        return kind(**typed)
    except SettingError as error:
        raise ActstoreError(f"{located(path, error.key, values.get(error.key))}: {error}") from None


def tables(values: Any, what: str, path: str | Path, key: str) -> list[dict[str, Any]]:
    """The tables under a key: several in double brackets, or a single one.

    Raises
    ------
    ActstoreError
        If it holds anything else.
    """
    several = values if isinstance(values, list) else [values]
    if not all(isinstance(table, dict) for table in several):
        raise ActstoreError(f"{located(path, key)}: {what} must be a table, or several in double brackets")
    return several


def located(path: str | Path, key: str, value: Any = None) -> str:
    """The file's name, with the line where the key is first set, to that value if it is anywhere on one line."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    setting = re.compile(rf"\s*(?:\[+\s*)?(?:[\w-]+\.)*[\"']?{re.escape(key)}[\"']?\s*[=\]]")
    numbers = [number for number, line in enumerate(lines, 1) if setting.match(line)]
    exact = (number for number in numbers if value is not None and _sets(lines[number - 1], value))
    number = next(exact, numbers[0] if numbers else None)
    return f"{path}, line {number}" if number else str(path)


def _sets(line: str, value: Any) -> bool:
    """Whether a line sets a key to a value; the text is compared, as NaN equals nothing."""
    try:
        found = tomllib.loads("value" + line[line.index("=") :])["value"]
    except ValueError:
        return False
    return repr(found) == repr(value)


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
