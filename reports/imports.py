"""Which files of this project a module imports, and those in turn: what a step's result depends on."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parent.parent
_PACKAGES = ("actstore", "analysis", "reports")


@cache
def imported_files(module: str) -> tuple[Path, ...]:
    """The module's own file and all that it imports of this project, directly or not, sorted.

    Imports inside functions count, those for type checkers alone do not. Nothing is run.

    Raises
    ------
    ModuleNotFoundError
        If this project has no such module.
    """
    if _file(module) is None:
        raise ModuleNotFoundError(f"no module {module!r} in this project", name=module)
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = _file(name)
        if name in seen or file is None:
            continue
        seen.add(name)
        waiting += [name.rpartition(".")[0], *_imports(file)]  # a package's own file is run before its modules
    return tuple(sorted(file for name in seen if (file := _file(name)) is not None))


def _file(module: str) -> Path | None:
    """The source of a module of this project; None for a name of anything else."""
    if module.partition(".")[0] not in _PACKAGES:
        return None
    path = _ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@cache
def _imports(file: Path) -> frozenset[str]:
    names: set[str] = set()
    for node in _run(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """Every node but those under `if TYPE_CHECKING`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield from _run(child)
