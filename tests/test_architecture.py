"""The rules of the house: one-way flow, and no torch where none is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import analysis
from tests.helpers import NO_TORCH

ROOT = Path(__file__).parent.parent
TORCH_FREE = {
    "actstore",
    *(
        f"actstore.{name}"
        for name in (
            "arguments",
            "bounds",
            "checked",
            "errors",
            "files",
            "ledger",
            "manifest",
            "matching",
            "schema",
            "selection",
            "settings",
            "statistics",
            "store",
        )
    ),
}


def imports_of(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("file", sorted((ROOT / "actstore").rglob("*.py")), ids=lambda p: p.stem)
def test_actstore_imports_no_later_room(file):
    assert not {name for name in imports_of(file) if name.split(".")[0] in ("analysis", "reports")}


@pytest.mark.parametrize("file", sorted((ROOT / "analysis").rglob("*.py")), ids=lambda p: p.stem)
def test_analysis_reads_only_schema_and_store(file):
    names = imports_of(file)
    assert not {name for name in names if name.split(".")[0] in ("reports", "torch", "transformers")}
    rooms = {".".join(name.split(".")[:2]) for name in names if name.startswith("actstore")}
    assert rooms <= TORCH_FREE


@pytest.mark.parametrize("file", sorted((ROOT / "reports").rglob("*.py")), ids=lambda p: p.stem)
def test_reports_never_import_models(file):
    names = imports_of(file)
    assert not {name for name in names if name.split(".")[0] in ("torch", "transformers")}
    rooms = {".".join(name.split(".")[:2]) for name in names if name.startswith("actstore")}
    assert rooms <= TORCH_FREE | {"actstore.builtin", "actstore.ablation.design", "actstore.ablation.preflight"}


def test_analysis_runs_without_torch(run_folder, tmp_path):
    code = f"""{NO_TORCH}
from pathlib import Path
import analysis.__main__
results = Path({str(tmp_path)!r})
assert analysis.__main__.main(["entanglement", "--store", {str(run_folder / "store.zarr")!r}, "--out", str(results)]) == 0
for command in ("pairs", "atlas", "dynamics"):
    options = ["--pair-tokens", "600"] if command == "pairs" else []
    assert analysis.__main__.main([command, "--store", {str(run_folder / "store.zarr")!r}, "--results", str(results), *options]) == 0
assert analysis.__main__.main(["tables", "--store", {str(run_folder / "ablation.zarr")!r}, "--out", str(results)]) == 0
assert analysis.__main__.main(["surprisal", "--store", {str(run_folder / "ablation.zarr")!r}, "--out", str(results), "--replicates", "50"]) == 0
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


def test_public_names_are_those_that_type_checkers_see():
    tree = ast.parse((ROOT / "analysis" / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == analysis._HOMES


def test_public_functions_are_documented():
    for name in analysis.__all__:
        text = getattr(analysis, name).__doc__
        assert text, name
        assert "Parameters" in text or "Attributes" in text, name
        assert "Returns" in text or "Raises" in text or "Attributes" in text, name
