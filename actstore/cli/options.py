"""Options that come from settings: each field of a settings class is an option, with its help, default and bounds."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, Field, fields
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from actstore import bounds
from actstore.cli.arguments import number, whole, with_bounds
from actstore.config import ExtractConfig, RunConfig, TextConfig
from actstore.settings import check_field

T = TypeVar("T")
_EXTRACTION = ("model", "checkpoints", "layers", "dtype")


def add_settings(
    parser: argparse._ActionsContainer,
    kind: type,
    only: Collection[str] = (),
    *,
    names: Mapping[str, str] | None = None,
    base: Any = None,
    optional: bool = False,
) -> list[str]:
    """Add an option for every field of a settings class.

    Parameters
    ----------
    parser : ArgumentParser or group
    kind : type
        The settings class.
    only : collection of str
        The fields that become options; all where it is empty.
    names : mapping of str to str, optional
        Field → the option's name, where that is not the field's.
    base : settings, optional
        Gives the defaults, in place of those of the class.
    optional : bool
        Whether an option that is not used is no attribute of the result.

    Returns
    -------
    list of str
        The attributes that the options set.
    """
    hints = get_type_hints(kind)
    added = []
    for spec in fields(kind):
        if only and spec.name not in only:
            continue
        name = (names or {}).get(spec.name, spec.name)
        default = _default_of(spec) if base is None else getattr(base, spec.name)
        options = _options_of(spec, hints[spec.name])
        required = default is MISSING and not optional
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            default=argparse.SUPPRESS if optional else None if required else default,
            required=required,
            help=_help(spec, default),
            **options,
        )
        added.append(name)
    return added


def _default_of(spec: Field[Any]) -> Any:
    return spec.default_factory() if spec.default_factory is not MISSING else spec.default


def _options_of(spec: Field[Any], hint: Any) -> dict[str, Any]:
    """How argparse reads a field's values."""
    if hint is bool:
        return {"action": "store_true"}
    several = get_origin(hint) is tuple
    kinds = get_args(hint) if several or isinstance(hint, UnionType) else (hint,)
    options: dict[str, Any] = {"type": _parser_of(spec, kinds)}
    if spec.metadata["choices"]:
        options["metavar"] = f"{{{','.join(spec.metadata['choices'])}}}"
    return options | ({"nargs": "+"} if several else {})


def _parser_of(spec: Field[Any], kinds: Collection[Any]) -> Callable[[str], Any]:
    """A parser of one value, which refuses what the settings class refuses, in the same words."""

    def parse(text: str) -> Any:
        value: Any = text
        if int in kinds and not (str in kinds and text.isalpha()):
            value = whole(spec.name)(text)
        elif float in kinds and not (str in kinds and text.isalpha()):
            value = number(text)
        with_bounds(check_field, spec, value)
        return value

    parse.__name__ = spec.name
    return parse


def _help(spec: Field[Any], default: Any) -> str:
    """The field's description, with its default where there is one to tell."""
    text = str(spec.metadata["description"])
    if default is MISSING or default is None or default is False or default == "":
        return text.replace("%", "%%")
    default_text = " ".join(map(str, default)) if isinstance(default, tuple) else default
    return f"{text} (default {default_text})".replace("%", "%%")


def from_options(kind: type[T], options: argparse.Namespace) -> T:
    """The settings that the options of all fields ask for."""
    values = {spec.name: getattr(options, spec.name) for spec in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def words_of(values: Any, *, names: Mapping[str, str] | None = None) -> list[str]:
    """The words of a command line that asks for settings: the reverse of `from_options`."""
    words = []
    for spec in fields(values):
        value = getattr(values, spec.name)
        if value is not None:
            option = f"--{(names or {}).get(spec.name, spec.name).replace('_', '-')}"
            words += [option, *map(str, value if isinstance(value, tuple) else (value,))]
    return words


def add_extract_options(parser: argparse.ArgumentParser) -> None:
    """Everything that an extraction's store depends on."""
    add_settings(parser, ExtractConfig, _EXTRACTION)
    add_settings(parser.add_argument_group("the text"), TextConfig)
    add_settings(parser.add_argument_group("how the model runs"), RunConfig)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def extract_config(options: argparse.Namespace) -> ExtractConfig:
    """The configuration that these options ask for."""
    own = {name: getattr(options, name) for name in _EXTRACTION}
    return ExtractConfig(**own, text=from_options(TextConfig, options), run=from_options(RunConfig, options))


def worker(text: str) -> tuple[int, int]:
    """A share `i/n` of the work."""
    index, slash, of = text.partition("/")
    if not slash:
        raise argparse.ArgumentTypeError(f"{text!r} is not i/n with 1 ≤ i ≤ n, e.g. 3/8")
    n_workers = whole("n of --worker i/n", 1, bounds.MOST_WORKERS)(of)
    return whole("i of --worker i/n", 1, n_workers)(index), n_workers
