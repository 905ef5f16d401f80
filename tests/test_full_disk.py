"""On a full disk a command ends with one line and leaves nothing unfinished; a limit on the size of files stands in for one."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from analysis.__main__ import main

KIB = 2**10


def run(limit: int, *arguments: str) -> str:
    """The message of a command that may write `limit` bytes into a file; it must be one line, with exit code 2 and the mend."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    messages = [line for line in done.stderr.splitlines() if "cannot write" in line]
    assert len(messages) == 1
    assert messages[0].endswith("MiB free there); make space or choose another path")
    return messages[0]


def test_of_an_extraction(tmp_path):
    extract = ["actstore", "extract", "--model", "pico-neox", "--tokens", "4000", "--quiet", "--store", str(tmp_path / "s")]
    run(1024 * KIB, *extract)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x" * 300, "y/" * 3000], ids=["name", "path"])
def test_a_path_that_is_too_long_has_another_mend(run_folder, tmp_path, name, capsys):
    entanglement = ["entanglement", "--store", str(run_folder / "store.zarr"), "--out", str(tmp_path / name)]
    assert main(entanglement) == 2
    error = capsys.readouterr().err
    assert error.endswith("…: File name too long; choose another path\n")
    assert len(error) < 400


def test_of_a_selection(run_folder, tmp_path):
    select = ["analysis", "select", "--results", str(run_folder / "analysis"), "--rule", "bottom"]
    assert str(tmp_path) in run(0, *select, "--out", str(tmp_path / "mine.json"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("limit", "name"), [(0, "steps.json"), (40 * KIB, "store-")], ids=["list", "store"])
def test_of_a_study(tmp_path, limit, name):
    (tmp_path / "s.toml").write_text('name = "s"\nmodels = ["pico-neox"]\n[extraction_text]\ntokens = 1500\n')
    assert name in run(limit, "reports", str(tmp_path / "s.toml"), "--runs", str(tmp_path / "runs"))
    assert not list((tmp_path / "runs").glob("**/report"))
