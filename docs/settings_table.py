"""Tables of the keys of designs and studies, made from the fields of the settings classes.

In a page the directive `settings-table` names a class: its argument is the class's full name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from importlib import import_module
from typing import Any

import tomli_w
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

_HEAD = "| key | default | meaning |\n|---|---|---|"


def settings_table(name: str) -> str:
    """The keys of a settings class as a table in Markdown.

    Parameters
    ----------
    name : str
        Module and class, as in `actstore.config.TextConfig`.
    """
    module, _, kind = name.rpartition(".")
    rows = [f"| `{spec.name}` | {_default(spec)} | {_meaning(spec)} |" for spec in fields(getattr(import_module(module), kind))]
    return "\n".join([_HEAD, *rows])


def _meaning(spec: Field[Any]) -> str:
    """The field's description, with its choices where the description does not say them."""
    text, choices = spec.metadata["description"], [choice for choice in spec.metadata["choices"] if choice]
    if not all(choice in text for choice in choices):
        text += f" ({', '.join(choices)})"
    return str(text).replace("|", r"\|")


def _default(spec: Field[Any]) -> str:
    """The field's default as TOML; of a table, the keys whose defaults are not those of every such table."""
    if spec.default is MISSING and spec.default_factory is MISSING:
        return "needed"
    default = spec.default_factory() if spec.default is MISSING else spec.default  # type: ignore[misc]
    if default in (None, "", ()):
        return ""
    if is_dataclass(default):
        changed = {own.name: getattr(default, own.name) for own in fields(default) if getattr(default, own.name) != own.default}
        return ", ".join(f"`{key} = {_toml(value)}`" for key, value in changed.items())
    if isinstance(default, Sequence) and is_dataclass(default[0]):
        return ", ".join(f"`[{spec.name}.{entry.name}]`" for entry in default)  # readouts
    return f"`{_toml(default)}`"


def _toml(value: Any) -> str:
    """A value as TOML; several on one line."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return tomli_w.dumps({"key": value}).removeprefix("key = ").strip()


class SettingsTable(SphinxDirective):
    """The table of a settings class."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Read the table as the page is read."""
        return self.parse_text_to_nodes(settings_table(self.arguments[0]))
