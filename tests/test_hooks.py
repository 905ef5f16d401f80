"""The hooks of pre-commit check what `make lint` checks, in the project's own environment."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
REPOS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
HOOKS = {hook["id"]: hook for repo in REPOS for hook in repo["hooks"]}


def test_nothing_is_downloaded():
    assert {repo["repo"] for repo in REPOS} == {"local"}
    assert {hook["language"] for hook in HOOKS.values()} <= {"system", "pygrep"}


def test_every_check_of_make_lint_is_a_hook():
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    checks = [re.sub(r"^\$\(BIN\)/| \.$", "", line.strip()) for line in recipe[1].splitlines()]
    entries = [hook["entry"].removeprefix(".venv/bin/").removesuffix(" --force-exclude") for hook in HOOKS.values()]
    assert checks
    assert set(checks) <= set(entries)


@pytest.mark.parametrize(
    ("text", "is_clean"), [("a\n\nb\n", True), ("a \n", False), ("a\r\n", False), ("a", False), ("a\n\n", False)]
)
def test_ends_of_lines_and_files(text, is_clean):
    assert (re.search(HOOKS["ends"]["entry"], text) is None) == is_clean


@pytest.mark.parametrize(("n_bytes", "code"), [(1000 * 2**10, 0), (1001 * 2**10, 1)])
def test_large_files(tmp_path, n_bytes, code):
    (tmp_path / "a file").write_bytes(bytes(n_bytes))
    (tmp_path / "small").write_text("a")
    entry = HOOKS["large-files"]["entry"]
    command = f"{entry} {tmp_path / 'small'} '{tmp_path / 'a file'}'"
    assert subprocess.run(command, shell=True, capture_output=True, check=False).returncode == code
