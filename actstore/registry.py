"""Registries: what users may add to by a name, from this package or from a module of their own.

A module registers when it is imported. Those of this package lie in one room each, and are imported when the registry is
first asked. Others are named as plugins (`actstore.plugins`).
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from actstore import plugins
from actstore.errors import ActstoreError, UnknownNameError

T = TypeVar("T")


def caller_module() -> str:
    """The module that calls the function that calls this."""
    return str(sys._getframe(2).f_globals["__name__"])


_REGISTRIES: list[Registry[Any]] = []


def kinds_of(module: str) -> set[str]:
    """What kinds of things a plugin, or a module of it, has registered."""
    return {
        registry.kind
        for registry in _REGISTRIES
        if any(name == module or name.startswith(f"{module}.") for name in registry.modules())
    }


class Registry(Generic[T]):
    """Named things of one kind.

    Parameters
    ----------
    kind : str
        What they are, as messages say it.
    home : str
        The module, or the package of modules, that registers those of this package.
    """

    def __init__(self, kind: str, home: str) -> None:
        self._kind, self._home = kind, home
        self._entries: dict[str, T] = {}
        self._modules: dict[str, str] = {}
        self._is_loaded = False
        _REGISTRIES.append(self)

    @property
    def kind(self) -> str:
        """What they are."""
        return self._kind

    def add(self, name: str, entry: T, module: str) -> None:
        """Register under a name; a module that is imported again replaces its own.

        Raises
        ------
        ActstoreError
            If another module has registered that name.
        """
        owner = self._modules.get(name, module)
        if owner != module:
            raise ActstoreError(f"the {self._kind} {name!r} of {module} is already registered by {owner}; give it another name")
        self._entries[name], self._modules[name] = entry, module

    def __getitem__(self, name: str) -> T:
        entries = self.entries
        if name not in entries:
            raise UnknownNameError(self._kind, name, entries)
        return entries[name]

    @property
    def entries(self) -> Mapping[str, T]:
        """All that are registered: those of this package by module, then others, in the order in which they were."""
        if not self._is_loaded:
            self._is_loaded = True
            self._load()
        return MappingProxyType(dict(sorted(self._entries.items(), key=lambda entry: self._rank(entry[0]))))

    def _rank(self, name: str) -> tuple[bool, str]:
        module = self._modules[name]
        is_ours = module == self._home or module.startswith(f"{self._home}.")
        return not is_ours, module if is_ours else ""

    def _load(self) -> None:
        home = import_module(self._home)
        for module in pkgutil.iter_modules(getattr(home, "__path__", ())):
            import_module(f"{self._home}.{module.name}")
        plugins.load_installed()

    def modules(self) -> set[str]:
        """Every module that has registered something."""
        return set(self._modules.values())

    def modules_of(self, names: Iterable[str]) -> set[str]:
        """The modules that registered these names; a name that is not registered has none."""
        return {self._modules[name] for name in names if name in self._modules}
