"""The rules of the house: one-way flow, and no torch where none is needed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import actstore
import analysis
from tests import public_api
from tests.helpers import NO_TORCH

ROOT = Path(__file__).parent.parent
PACKAGES = ("actstore", "analysis", "reports")
_ROW = re.compile(r"\| `([\w.]+)`( \*)? \|[^|]*\|(.*)\|")
_TABLE = [match for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines() if (match := _ROW.fullmatch(line))]
STANDS_ON = {match[1]: set(re.findall(r"`([\w.]+)`", match[3])) for match in _TABLE}
"""Room → the rooms that it may import, as CONTRIBUTING.md says."""
NEEDS_TORCH = {match[1] for match in _TABLE if match[2]}
ENTRIES = ("__init__", "__main__")
"""Files of a package that gather what is in it."""
BASICS = {
    "actstore": ("actstore", ("lazy", "signals", "errors", "bounds", "files", "settings", "config", "registry", "plugins")),
    "analysis": ("analysis.results", ("results", "labels", "belonging", "csv_text", "config", "contrasts")),
}
"""Package → the room that these of its files belong to."""


def modules() -> dict[str, Path]:
    """Name → file of every module."""
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in files}


def room_of(module: str) -> str:
    package, _, rest = module.partition(".")
    if package == "reports" or not rest:
        return package
    own, names = BASICS[package]
    first = rest.partition(".")[0]
    return own if first in names else f"{package}.{first}"


def imports_of(file: Path) -> set[str]:
    """Every module of ours that a file imports, anywhere in it."""
    all_modules, names = modules(), set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name for name in whole if name in all_modules or f"{name}.__init__" in all_modules} or {node.module}
    return {name for name in names if name.partition(".")[0] in PACKAGES}


ROOMED = {name: file for name, file in modules().items() if not (name.count(".") == 1 and name.endswith(ENTRIES))}


def test_every_file_is_in_a_room_of_the_table():
    assert {room_of(name) for name in ROOMED} == set(STANDS_ON)


@pytest.mark.parametrize("module", sorted(ROOMED))
def test_a_room_imports_what_it_stands_on(module):
    room = room_of(module)
    assert {room_of(name) for name in imports_of(ROOMED[module])} - {room} <= STANDS_ON[room]


def test_functions_are_short_and_nothing_is_kept_from_the_formatter():
    """At most 40 lines of body, without the docstring."""
    too_long = []
    files = [file for folder in (*PACKAGES, "benchmarks", "tests") for file in (ROOT / folder).rglob("*.py")]
    for file in files:
        text = file.read_text()
        assert not re.search(r"# fmt: (skip|off)", text) or file == Path(__file__), file
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[ast.get_docstring(node) is not None :]
                n_lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                too_long += [f"{file.relative_to(ROOT)}:{node.name}"] * (n_lines > 40)
    assert not too_long


def test_rooms_stand_on_those_above_them_in_the_table():
    """So there is no circle, and nothing imports backwards."""
    above: set[str] = set()
    for room, under in STANDS_ON.items():
        assert under <= above, room
        above.add(room)


def test_every_import_of_the_table_is_there():
    used: dict[str, set[str]] = {room: set() for room in STANDS_ON}
    for name, file in ROOMED.items():
        used[room_of(name)] |= {room_of(imported) for imported in imports_of(file)} - {room_of(name)}
    assert used == STANDS_ON


def test_what_needs_no_torch_can_be_imported_without_it():
    """Each with all that comes along."""
    free = [name for name in modules() if name not in ROOMED or room_of(name) not in NEEDS_TORCH]
    code = f"""{NO_TORCH}
import importlib
for name in {[name.removesuffix(".__init__") for name in free]!r}:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_analysis_runs_without_torch(run_folder, tmp_path):
    code = f"""{NO_TORCH}
from analysis.__main__ import main
results, store, ablation = {str(tmp_path)!r}, {str(run_folder / "store.zarr")!r}, {str(run_folder / "ablation.zarr")!r}
assert main(["entanglement", "--store", store, "--out", results]) == 0
for command in ("pairs", "atlas", "dynamics"):
    options = ["--pair-tokens", "600"] if command == "pairs" else []
    assert main([command, "--store", store, "--results", results, *options]) == 0
assert main(["tables", "--store", ablation, "--out", results]) == 0
assert main(["surprisal", "--store", ablation, "--out", results, "--replicates", "50"]) == 0
assert "torch" not in sys.modules and "transformers" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_actstore_loads_no_torch():
    code = "import sys, actstore, actstore.cli.main; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_public_names_are_loaded_when_they_are_asked_for():
    """And none of them is hidden by a module of the same name, whatever was imported before."""
    code = """
import sys, analysis
assert not {"numpy", "pandas"} & set(sys.modules)
import importlib, pkgutil, types
for module in pkgutil.walk_packages(analysis.__path__, "analysis."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
for name in analysis.__all__:
    assert not isinstance(getattr(analysis, name), types.ModuleType), name
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", [actstore, analysis], ids=lambda package: package.__name__)
def test_public_names_are_those_that_type_checkers_see(package):
    tree = ast.parse(Path(package.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == package._HOMES


def test_public_names_and_signatures():
    """What users write in their notebooks; a change is meant, or it is none. `python -m tests.public_api` writes it anew."""
    assert public_api.text() == public_api.FILE.read_text()


@pytest.mark.parametrize("package", [actstore, analysis], ids=lambda package: package.__name__)
def test_public_functions_are_documented(package):
    for name in package.__all__:
        text = getattr(package, name).__doc__
        assert text, name
        if isinstance(getattr(package, name), type) and issubclass(getattr(package, name), Exception):
            continue
        assert "Parameters" in text or "Attributes" in text, name
        assert "Returns" in text or "Raises" in text or "Attributes" in text, name
