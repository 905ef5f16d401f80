"""What a step's key follows: the modules that its command imports, and no others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reports.imports import imported_files

ROOT = Path(__file__).parent.parent.parent


def names(module):
    return {file.relative_to(ROOT).as_posix() for file in imported_files(module)}


def test_extraction_depends_on_neither_the_command_line_nor_ablation():
    assert {
        "actstore/extraction/run.py",
        "actstore/extraction/block.py",
        "actstore/__init__.py",
        "actstore/builtin/grammar.py",
    } <= names("actstore.extraction.run")
    assert not names("actstore.extraction.run") & {
        "actstore/cli/main.py",
        "actstore/ablation/run.py",
        "actstore/builtin/paradigms.py",
        "actstore/extraction/plan.py",
    }


@pytest.mark.parametrize("module", ["actstore.extraction.run", "actstore.ablation.run", "reports.build"])
def test_all_that_python_loads_is_among_them(module):
    """By a second route: what is in memory after an import."""
    code = f"""
import sys, {module}
print([m.__file__ for name, m in sys.modules.items() if name.split(".")[0] in ("actstore", "analysis", "reports")])
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {Path(file) for file in eval(process.stdout)}
    assert loaded <= set(imported_files(module))
    assert len(loaded) > 10


def test_an_unknown_module_is_an_error():
    with pytest.raises(ModuleNotFoundError, match=r"no module 'analysis\.nothing'"):
        imported_files("analysis.nothing")
