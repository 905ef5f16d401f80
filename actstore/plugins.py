"""Modules of the user's that register families, interventions, readouts, statistics or figures.

A plugin is named by the path of a `.py` file or by the name of a module. A package that is installed needs no naming: its
entry point in the group `actstore.plugins` is a module, loaded with ours.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from actstore.errors import ActstoreError, first_line

_GROUP = "actstore.plugins"


@cache
def load_installed() -> None:
    """Load the plugins of installed packages, once.

    Raises
    ------
    ActstoreError
        If one fails.
    """
    for point in entry_points(group=_GROUP):
        try:
            point.load()
        except Exception as error:
            raise ActstoreError(
                f"the installed plugin {point.value} fails: {first_line(error)}; mend or uninstall it"
            ) from error


def load(names: Iterable[str], folder: Path | None = None) -> tuple[str, ...]:
    """Load plugins; the names by which they are found from anywhere.

    Parameters
    ----------
    names : iterable of str
        Paths of `.py` files, or names of modules.
    folder : Path, optional
        Where `NAME.py`, and relative paths, are looked for first.

    Raises
    ------
    ActstoreError
        If there is no such file or module, or it fails.
    """
    located = tuple(_located(name, folder) for name in names)
    for name in located:
        try:
            _load_file(Path(name)) if name.endswith(".py") else import_module(name)
        except ActstoreError:
            raise
        except Exception as error:
            raise ActstoreError(f"the plugin {name} fails: {type(error).__name__}: {first_line(error)}") from error
    return located


def _located(name: str, folder: Path | None) -> str:
    """The absolute path of a file, or the name of a module that can be imported."""
    file = name if name.endswith(".py") else f"{name}.py"
    for place in (folder, Path()):
        if place is not None and (place / file).is_file():
            return str((place / file).resolve())
    if name.endswith(".py") or _spec_of(name) is None:
        raise ActstoreError(
            f"no plugin {name!r}: there is no file {file} beside the design or study, and no module of that name"
        )
    return name


def _spec_of(name: str) -> importlib.machinery.ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def _load_file(path: Path) -> None:
    """Run a file as the module of its name, once for each state that it is in."""
    digest = hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
    loaded = sys.modules.get(path.stem)
    if loaded is not None and getattr(loaded, "__file__", None) != str(path):
        raise ActstoreError(f"the plugin {path} has the name of a module that is there already; rename the file")
    if getattr(loaded, "_plugin_digest", None) == digest:
        return
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.__dict__["_plugin_digest"] = digest
    sys.modules[path.stem] = module  # before it runs: dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise


def module_of(name: str) -> str:
    """The module that a plugin is, by the name that `load` gives it."""
    return Path(name).stem if name.endswith(".py") else name


def files_of(module: str) -> list[Path]:
    """The source files of a module that was loaded: what results that it has a part in depend on."""
    spec = getattr(sys.modules.get(module), "__spec__", None)
    if spec is None or spec.origin is None:
        return []
    return sorted(Path(spec.origin).parent.rglob("*.py")) if spec.submodule_search_locations else [Path(spec.origin)]


def digests(modules: Iterable[str]) -> dict[str, str]:
    """Module → digest of its source, for the configuration of a store; those of this package are known by its version."""
    result = {}
    for module in sorted(set(modules)):
        if not module.startswith("actstore."):
            digest = hashlib.blake2b(digest_size=8)
            for file in files_of(module):
                digest.update(file.read_bytes())
            result[module] = digest.hexdigest()
    return result
