"""Settings: dataclasses that say each field's default, bounds and help once, and TOML files that fill them.

Owns the checks of a value's type, and the messages for a wrong key or value, with its line in the file. The same classes
give the options of the command line (`actstore.cli.options`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, dataclass_transform, get_args, get_origin, get_type_hints

from actstore import bounds
from actstore.errors import ActstoreError, SettingError, UnknownNameError

T = TypeVar("T")
Check = Callable[[str, Any], None]
"""Takes the name of a setting and its value, or each of its values; raises `SettingError`."""
_ACCEPTED: dict[type, tuple[type, ...]] = {str: (str,), int: (int,), float: (int, float), bool: (bool,)}


def setting(
    description: str,
    *,
    default: Any = MISSING,
    default_factory: Any = MISSING,
    check: Check | None = None,
    choices: Sequence[str] = (),
    is_path: bool = False,
    is_some: bool = False,
) -> Any:
    """A field of a settings class.

    Parameters
    ----------
    description : str
        What it is: its help on the command line, and its entry in the class's documentation.
    default, default_factory
        As in `dataclasses.field`.
    check : callable, optional
        Refuses a value; of a field of many values, each.
    choices : sequence of str
        The only values that there are.
    is_path : bool
        Whether it may name something beside the file that sets it (`anchored`).
    is_some : bool
        Whether a field of many values must have one.

    Returns
    -------
    dataclasses.Field
    """
    metadata = {"description": description, "check": check, "choices": choices, "is_path": is_path, "is_some": is_some}
    return field(default=default, default_factory=default_factory, metadata=metadata)


@dataclass_transform(frozen_default=True, field_specifiers=(setting, field))
def with_settings(kind: type[T]) -> type[T]:
    """A frozen dataclass of `setting` fields, which checks them when an instance is made, and lists them in its documentation.

    Parameters
    ----------
    kind : type
        A class whose fields are `setting(…)`. Rules for several fields together are its `__post_init__`, called after these
        checks.

    Returns
    -------
    type
        The class, as a frozen dataclass.
    """
    together = kind.__dict__.get("__post_init__")

    def check(self: Any) -> None:
        for spec in fields(self):
            check_field(spec, getattr(self, spec.name))
        if together is not None:
            together(self)

    kind.__post_init__ = check  # type: ignore[attr-defined]
    settings_class = dataclass(frozen=True)(kind)
    entries = [f"    {spec.name} : {spec.type}\n        {_described(spec)}" for spec in fields(settings_class)]  # type: ignore[arg-type]
    settings_class.__doc__ = "\n".join([str(kind.__doc__).rstrip(), "", "    Attributes", "    ----------", *entries, "    "])
    return settings_class


def _described(spec: Field[Any]) -> str:
    """What the documentation says of a field."""
    text = str(spec.metadata.get("description", "")).rstrip(".")
    choices = spec.metadata.get("choices", ())
    text += f": {', '.join(choices)}" if choices else ""
    return f"{text}."


def check_field(spec: Field[Any], value: Any) -> None:
    """Refuse a value of a field, or one of its values.

    Raises
    ------
    SettingError
        If it is out of bounds, or none of the choices.
    """
    if spec.metadata.get("is_some") and not value:
        raise SettingError(spec.name, f"{spec.name} must name at least one; leave it out for the default")
    check, choices = spec.metadata.get("check"), spec.metadata.get("choices")
    for single in value if isinstance(value, tuple) else (value,):
        if choices:
            bounds.check_choice(spec.name, single, choices)
        if check is not None and single is not None:
            check(spec.name, single)


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


def build(kind: type[T], table: Any, path: str | Path, where: str = "", base: T | None = None) -> T:
    """Settings from a table, with the tables within it; a field of many values takes a single one too.

    Parameters
    ----------
    kind : type
        A settings class.
    table : dict
        Keys and values as TOML gives them, or settings that are built already.
    path : path
        The file, for messages.
    where : str
        The place of the table in the file, as messages say it: `[text]`; empty for the whole file.
    base : settings, optional
        Gives what the table leaves out.

    Raises
    ------
    ActstoreError
        If a key is unknown or missing, or a value is of another type or out of bounds.
    """
    if not isinstance(table, dict):
        raise ActstoreError(f"{located(path, _key_of(where))}: {where} must be a table, got {table!r}")
    specs = {spec.name: spec for spec in fields(kind)}  # type: ignore[arg-type]
    unknown = next((key for key in table if key not in specs), None)
    if unknown is not None:
        raise UnknownNameError(f"key of {where}" if where else "key", unknown, specs, located(path, unknown))
    missing = [key for key, spec in specs.items() if key not in table and base is None and _has_no_default(spec)]
    if missing:
        raise ActstoreError(f"{path} lacks {', '.join(missing)}")
    hints = get_type_hints(kind)
    values = {key: _typed(value, hints[key], key, path, where, specs[key]) for key, value in table.items()}
    try:
        return kind(**values) if base is None else replace(base, **values)  # type: ignore[type-var]
    except SettingError as error:
        raise ActstoreError(f"{located(path, error.key, table.get(error.key))}: {error}") from None


def _key_of(where: str) -> str:
    """`text` of `[text]`, or of `text of [[ablations]] 'a'`."""
    return where.partition(" of ")[0].removeprefix("the ").strip("[]")


def _has_no_default(spec: Field[Any]) -> bool:
    return spec.default is MISSING and spec.default_factory is MISSING


def _typed(value: Any, hint: Any, key: str, path: str | Path, where: str, spec: Field[Any]) -> Any:
    """A value as its field's type has it."""
    if get_origin(hint) is tuple:
        return _many(value, get_args(hint)[0], key, path, where, spec)
    if is_dataclass(hint):
        inner = f"{key} of {where}" if where else f"[{key}]"
        default: Any = None if spec.default_factory is MISSING else spec.default_factory()
        return value if isinstance(value, hint) else build(hint, value, path, inner, base=default)  # type: ignore[arg-type]
    kinds = [kind for kind in (get_args(hint) if isinstance(hint, UnionType) else (hint,)) if kind in _ACCEPTED]
    accepted = tuple(kind for name in kinds for kind in _ACCEPTED[name])
    if accepted and (not isinstance(value, accepted) or (isinstance(value, bool) and bool not in kinds)):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise ActstoreError(f"{located(path, key, value)}: {key} must be {names}, got {value!r}")
    return value


def _many(value: Any, hint: Any, key: str, path: str | Path, where: str, spec: Field[Any]) -> tuple[Any, ...]:
    """The values of a field of many."""
    if not is_dataclass(hint):
        singles = value if isinstance(value, (list, tuple)) else [value]
        return tuple(_typed(single, hint, key, path, where, spec) for single in singles)
    inner = f"the {key} of {where}" if where else f"[[{key}]]"
    tables = value if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(table, (dict, hint)) for table in tables):  # type: ignore[arg-type]
        raise ActstoreError(f"{located(path, key)}: {inner} must be a table, or several in double brackets")
    return tuple(build(hint, table, path, inner) if isinstance(table, dict) else table for table in tables)  # type: ignore[arg-type]


def anchored(value: T, folder: Path) -> T:
    """Settings in which every name of something beside their file is its absolute path.

    Parameters
    ----------
    value : settings, or a tuple of them
    folder : Path
        Of the file.
    """
    if isinstance(value, tuple):
        return tuple(anchored(single, folder) for single in value)  # type: ignore[return-value]
    if not is_dataclass(value):
        return value
    changed = {}
    for spec in fields(value):
        before = getattr(value, spec.name)
        after = _beside(before, folder) if spec.metadata.get("is_path") else anchored(before, folder)
        if after != before:
            changed[spec.name] = after
    return replace(value, **changed) if changed else value  # type: ignore[type-var]


def _beside(names: Any, folder: Path) -> Any:
    if isinstance(names, tuple):
        return tuple(_beside(name, folder) for name in names)
    return str((folder / names).resolve()) if names and (folder / names).exists() else names


def paths_in(value: Any) -> list[str]:
    """Every name in settings that may be a path."""
    if isinstance(value, tuple):
        return [path for single in value for path in paths_in(single)]
    if not is_dataclass(value):
        return []
    names = []
    for spec in fields(value):
        content = getattr(value, spec.name)
        if not spec.metadata.get("is_path"):
            names += paths_in(content)
        else:
            names += filter(None, content if isinstance(content, tuple) else (content,))
    return names


def table_of(value: Any) -> Any:
    """Settings as the tables of a TOML or JSON file; what has no value is left out."""
    if is_dataclass(value):
        entries = {spec.name: getattr(value, spec.name) for spec in fields(value)}
        return {name: table_of(entry) for name, entry in entries.items() if entry is not None}
    if isinstance(value, Mapping):
        return {name: table_of(entry) for name, entry in value.items() if entry is not None}
    return [table_of(single) for single in value] if isinstance(value, (list, tuple)) else value


def located(path: str | Path, key: str, value: Any = None) -> str:
    """The file's name, with the line where the key is first set, to that value if it is anywhere on one line."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    sets_key = re.compile(rf"\s*(?:\[+\s*)?(?:[\w-]+\.)*[\"']?{re.escape(key)}[\"']?\s*[=\]]")
    numbers = [number for number, line in enumerate(lines, 1) if sets_key.match(line)]
    exact = (number for number in numbers if value is not None and _sets(lines[number - 1], value))
    number = next(exact, numbers[0] if numbers else None)
    return f"{path}, line {number}" if number else str(path)


def _sets(line: str, value: Any) -> bool:
    """Whether a line sets a key to a value; the text is compared, as NaN equals nothing."""
    try:
        on_line = tomllib.loads("value" + line[line.index("=") :])["value"]
    except ValueError:
        return False
    return repr(on_line) == repr(value)
