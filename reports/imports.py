"""The files of this project that a module imports, directly or through others: what the result of a step depends on."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parent.parent
_PACKAGES = ("actstore", "analysis", "reports")


@cache
def imported_files(module: str) -> tuple[Path, ...]:
    """The module's own file and all files of this project that it imports, directly or not, sorted.

    Imports inside functions count; those for type checkers alone do not. No module is run.

    Raises
    ------
    ModuleNotFoundError
        If this project has no such module.
    """
    if _file(module) is None:
        raise ModuleNotFoundError(f"no module {module!r} in this project", name=module)
    files: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = _file(name)
        if name in files or file is None:
            continue
        files[name] = file
        waiting += [name.rpartition(".")[0], *_imports(file)]  # a package's own file is run before its modules
    return tuple(sorted(set(files.values())))


def _file(module: str) -> Path | None:
    """The source of a module of this project; None for any other name."""
    if module.partition(".")[0] not in _PACKAGES:
        return None
    path = _ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@cache
def _imports(file: Path) -> frozenset[str]:
    """Names of modules, and of what is imported from them, which may be modules too."""
    names: set[str] = set()
    for node in _nodes(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it, without those under `if TYPE_CHECKING`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield from _nodes(child)
