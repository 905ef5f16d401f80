"""The documentation: every command in it parses, every design loads, nothing public is missing, and it builds."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import actstore.cli.main
import analysis
import analysis.__main__
import reports.__main__
from actstore.ablation.design import conditions, load_design

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PARSERS = {
    ("actstore",): actstore.cli.main.parser,
    ("python", "-m", "actstore"): actstore.cli.main.parser,
    ("python", "-m", "analysis"): analysis.__main__.parser,
    ("python", "-m", "reports"): reports.__main__.parser,
}
GIVEN = re.compile(r"_lower$|_upper$|^(mi|explained|p|q)_(deprel|word|position|depth)$")
VARIABLE = re.compile(r"\$\{\w+\}|\$\w+")


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced blocks of a page in these languages."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language in languages]


def command_lines(text: str) -> list[list[str]]:
    """Every command of a block as words: of `console` those after a prompt, of a script all."""
    lines = text.replace("\\\n", " ").splitlines()
    is_console = any(line.startswith("$ ") for line in lines)
    typed = [line.removeprefix("$ ") for line in lines if not is_console or line.startswith("$ ")]
    return [words for line in typed if (words := shlex.split(VARIABLE.sub("1", line), comments=True))]


def arguments_of(words: list[str]) -> tuple[tuple[str, ...], list[str]] | None:
    """The program and its arguments, where it is one of ours; what stands before it (srun, VAR=value) is skipped."""
    for program in PARSERS:
        for start in range(len(words)):
            if tuple(words[start : start + len(program)]) == program:
                end = next((i for i, word in enumerate(words) if i > start and word in ("|", ">", ";", "&&")), len(words))
                return program, words[start + len(program) : end]
    return None


def commands() -> list[tuple[str, tuple[str, ...], list[str]]]:
    """(page, program, arguments) of every command of ours in the documentation."""
    lines = [(page.name, words) for page in PAGES for text in blocks(page, "console", "bash") for words in command_lines(text)]
    return [(name, *found) for name, words in lines if (found := arguments_of(words))]


def check(program: tuple[str, ...], arguments: list[str]) -> None:
    """Parse, and end as the command would on a wrong option; options must be written out."""
    parser = PARSERS[program]()
    for action in parser._actions:
        for command in action.choices.values() if isinstance(action, argparse._SubParsersAction) else ():
            command.allow_abbrev = False
    try:
        parser.parse_args(arguments)
    except SystemExit as stop:
        if stop.code:
            raise


@pytest.mark.parametrize(("page", "program", "arguments"), commands(), ids=lambda part: part if isinstance(part, str) else "")
def test_every_command_parses(page, program, arguments, capsys):
    try:
        check(program, arguments)
    except SystemExit:
        pytest.fail(f"{page}: {' '.join([*program, *arguments])}\n{capsys.readouterr().err}")


@pytest.mark.parametrize("line", [
    "$ actstore extract --model pico-neox --store s.zarr --windows 128", "$ actstore extract --mod pico-neox --store s.zarr",
    "$ actstore extrct --model pico-neox --store s.zarr",
    "$ actstore ablate d.toml --store s.zarr --worker 1of8", "$ srun actstore extract --model pico-neox",
    "$ actstore select --store s.zarr --out selections", "$ X=1 python -m analysis \\\n    entanglement --store s.zarr",
])  # fmt: skip
def test_a_wrong_command_does_not_parse(line):
    ((program, arguments),) = filter(None, map(arguments_of, command_lines(line)))
    with pytest.raises(SystemExit):
        check(program, arguments)


def test_commands_are_found():
    pages = {name for name, *_ in commands()}
    assert {"README.md", "index.md", "slurm.md", "pythia-one-gpu.md", "laptop.md", "own-statistic.md", "surprisal.md"} <= pages
    assert {program for _, program, _ in commands()} >= {("actstore",)}


def test_make_targets_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        words[1] for page in PAGES for text in blocks(page, "console") for words in command_lines(text) if words[0] == "make"
    }
    assert named
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_designs_unfold_and_python_compiles(page, tmp_path):
    for text in blocks(page, "toml"):
        if "[[cohorts]]" in text:
            (tmp_path / "design.toml").write_text(text, encoding="utf-8")
            assert len(conditions(load_design(tmp_path / "design.toml"), n_layers=16)) > 1
    for text in blocks(page, "python"):
        compile(text, page.name, "exec")


def test_everything_public_is_in_the_reference():
    page = (ROOT / "docs" / "api" / "analysis.md").read_text(encoding="utf-8")
    written = re.findall(r"^\.\. auto(?:function|class):: (?:analysis\.)?(\w+)", page, re.MULTILINE)
    assert sorted(written) == sorted(analysis.__all__)


def unwritten(table: Path, page: str) -> set[str]:
    """The table's name and columns that a page does not have; bounds, and the same of other features, go without saying."""
    columns = table.read_text(encoding="utf-8").partition("\n")[0].split(",")
    return {name for name in (table.name, *columns) if not GIVEN.search(name) and f"`{name}`" not in page}


def test_every_table_and_column_is_written_up(run_folder):
    page = (ROOT / "docs" / "store.md").read_text(encoding="utf-8")
    tables = sorted((run_folder / "analysis").glob("*.csv"))
    assert len(tables) > 10
    assert {table.name: missing for table in tables if (missing := unwritten(table, page))} == {}
    assert unwritten(tables[0], "") > {tables[0].name}


@pytest.mark.slow
def test_it_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", str(tmp_path / "html")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "html" / "api" / "analysis.html").read_text(encoding="utf-8")
    assert 'id="analysis.wasserstein_distance"' in reference
    assert "<math" in reference
    pages = "".join(page.read_text(encoding="utf-8") for page in (tmp_path / "html").rglob("*.html"))
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//', pages)
