"""`actstore` has the commands of every package, and files of the user do not hide them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from actstore.cli import main as main_module
from actstore.cli.main import main, parser

OWN = "extract plan verify info models ablate".split()
ADDED = "entanglement pairs atlas dynamics select tables surprisal report".split()
ALL = {*OWN, *ADDED}
SCRIPT = [str(Path(sys.executable).with_name("actstore"))]
MODULE = [sys.executable, "-m", "actstore"]


def test_every_command_has_help_and_an_example(capsys):
    for name in ALL:
        with pytest.raises(SystemExit) as stop:
            main([name, "--help"])
        assert stop.value.code == 0
        text = capsys.readouterr().out
        assert f"usage: actstore {name}" in text
        assert f"examples:\n  actstore {name} " in text


def test_help_lists_all_of_them(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(f"\n    {name}" in text for name in ALL)


def test_a_wrong_name_shows_the_right_ones(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["entanglemnt"])
    assert stop.value.code == 2
    assert "'entanglement'" in capsys.readouterr().err


def test_only_the_command_that_is_asked_for_is_loaded(monkeypatch):
    monkeypatch.setattr(main_module, "_added", None)
    assert parser("verify").parse_args(["verify", "x"])


@pytest.mark.parametrize("program", [SCRIPT, MODULE], ids=["script", "module"])
def test_files_of_the_user_do_not_hide_ours(program, tmp_path):
    """A study runs to its report in a folder where the user keeps an analysis.py and a reports/."""
    for name in ("analysis.py", "reports/__init__.py", "numpy.py", *(["actstore/__init__.py"] if program is SCRIPT else [])):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('the wrong module')")
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\nmodels = ["pico-neox"]\n[extraction_text]\ntokens = 600\n[pairs]\ntokens = 300\n'
    )
    process = subprocess.run([*program, "report", "mine.toml"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "runs" / "mine" / "report" / "index.html").exists()
