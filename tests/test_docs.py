"""The documentation: commands parse, designs load, links lead somewhere, nothing public is missing, and it builds."""

from __future__ import annotations

import argparse
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import actstore.cli.main
import analysis
import analysis.__main__
import reports.__main__
from actstore.ablation.design import conditions, load_design
from actstore.extraction.job import ExtractConfig
from actstore.extraction.run import extract
from actstore.store.opening import open_store
from tests.helpers import QUIET

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
FIGURE = DOCS / "figures" / "wasserstein_neuron.py"
PARSERS = {
    ("actstore",): actstore.cli.main.parser,
    ("python", "-m", "actstore"): actstore.cli.main.parser,
    ("python", "-m", "analysis"): analysis.__main__.parser,
    ("python", "-m", "reports"): reports.__main__.parser,
}
IMPLIED = re.compile(r"_lower$|_upper$|^(mi|explained|p|q)_(deprel|word|position|depth)$")
"""Columns that a page need not name: bounds, and the same of other features."""
VARIABLE = re.compile(r"\$\{\w+\}|\$\w+")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)?(?:#([^)\s]+))?\)")


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced blocks of a page in these languages."""
    return [text for language, text in FENCE.findall(page.read_text(encoding="utf-8")) if language in languages]


def command_lines(text: str) -> list[list[str]]:
    """Every command of a block as words: of `console` those after a prompt, of a script all."""
    lines = text.replace("\\\n", " ").splitlines()
    is_console = any(line.startswith("$ ") for line in lines)
    typed = [line.removeprefix("$ ") for line in lines if not is_console or line.startswith("$ ")]
    return [words for line in typed if (words := shlex.split(VARIABLE.sub("1", line), comments=True))]


def arguments_of(words: list[str]) -> tuple[tuple[str, ...], list[str]] | None:
    """The program and its arguments, if it is one of ours; words before it (srun, VAR=value) are skipped."""
    for program in PARSERS:
        for start in range(len(words)):
            if tuple(words[start : start + len(program)]) == program:
                end = next((i for i, word in enumerate(words) if i > start and word in ("|", ">", ";", "&&")), len(words))
                return program, words[start + len(program) : end]
    return None


def commands() -> list[tuple[str, tuple[str, ...], list[str]]]:
    """(page, program, arguments) of every command of ours in the documentation."""
    lines = [(page.name, words) for page in PAGES for text in blocks(page, "console", "bash") for words in command_lines(text)]
    return [(name, *command) for name, words in lines if (command := arguments_of(words))]


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


WRONG = (
    "$ actstore extract --model pico-neox --store s.zarr --windows 128",
    "$ actstore extract --mod pico-neox --store s.zarr",
    "$ actstore extrct --model pico-neox --store s.zarr",
    "$ actstore ablate d.toml --store s.zarr --worker 1of8",
    "$ srun actstore extract --model pico-neox",
    "$ actstore select --store s.zarr --out selections",
    "$ X=1 python -m analysis \\\n    entanglement --store s.zarr",
)


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_command_does_not_parse(line):
    ((program, arguments),) = filter(None, map(arguments_of, command_lines(line)))
    with pytest.raises(SystemExit):
        check(program, arguments)


def test_commands_are_found():
    pages = {name for name, *_ in commands()}
    assert {"README.md", "index.md", "commands.md", "models.md", "designs.md", "studies.md"} <= pages
    assert {"slurm.md", "pythia-one-gpu.md", "laptop.md", "own-statistic.md", "surprisal.md"} <= pages
    assert {program for _, program, _ in commands()} >= {("actstore",)}


def test_make_targets_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [words for page in PAGES for text in blocks(page, "console") for words in command_lines(text)]
    named = {words[1] for words in lines if words[0] == "make"}
    assert named
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_fit_100_columns(page):
    lines = [line for _, text in FENCE.findall(page.read_text(encoding="utf-8")) for line in text.splitlines()]
    assert [line for line in lines if len(line) > 100] == []


def anchors(page: Path) -> set[str]:
    """Where a link to a page can point to: its headings as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "notebooks" / "README.md"], ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for name, anchor in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        target = page.parent / name if name else page
        assert target.exists(), name
        assert not anchor or anchor in anchors(target), (name, anchor)


def test_the_readme_is_one_page():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 90


def test_no_paragraph_is_said_twice():
    texts = [part for page in PAGES for part in re.split(r"\n\s*\n", FENCE.sub("", page.read_text(encoding="utf-8")))]
    sentences = [" ".join(text.split()) for text in texts if len(text) > 80]
    assert len(sentences) > 100
    assert sorted(sentences) == sorted(set(sentences))


def test_examples_of_designs_and_studies_are_in_one_place():
    examples = [text for page in PAGES for text in blocks(page, "toml")]
    assert len(examples) == len(set(examples))


def glossary_terms() -> list[str]:
    """Every term, also each of those that share an entry; without what stands in brackets."""
    entries = re.findall(r"^\*\*(.*)\*\*$", (DOCS / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r" \(.*\)", "", term) for entry in entries for term in re.split(r", (?!\d)", entry)]


def test_the_glossary_has_every_term_of_the_field_once():
    terms = glossary_terms()
    assert len(terms) == len(set(terms))
    assert {
        "entanglement",
        "Wasserstein neuron",
        "Wasserstein distance",
        "mapping difficulty",
        "negative differentiation",
    } <= set(terms)
    assert {"pre-activation", "site", "upos", "surprisal", "minimal pair", "paradigm", "phenomenon", "readout"} <= set(terms)
    assert {"cohort", "condition", "control", "matched control", "perplexity-matched control", "draw", "selection"} <= set(
        terms
    )
    assert {"checkpoint", "step", "shard", "block", "seal", "ledger", "worker", "design", "study"} <= set(terms)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_designs_unfold_and_python_compiles(page, tmp_path):
    for text in blocks(page, "toml"):
        if "[[cohorts]]" in text:
            (tmp_path / "design.toml").write_text(text, encoding="utf-8")
            assert len(conditions(load_design(tmp_path / "design.toml"), n_layers=16)) > 1
    for text in blocks(page, "python"):
        compile(text, page.name, "exec")


def test_everything_public_is_in_the_reference():
    page = (DOCS / "api" / "analysis.md").read_text(encoding="utf-8")
    written = re.findall(r"^\.\. auto(?:function|class):: (?:analysis\.)?(\w+)", page, re.MULTILINE)
    assert sorted(written) == sorted(analysis.__all__)


def unwritten(table: Path, page: str) -> set[str]:
    """The table's name and those of its columns that a page does not have and that are not implied."""
    columns = table.read_text(encoding="utf-8").partition("\n")[0].split(",")
    return {name for name in (table.name, *columns) if not IMPLIED.search(name) and f"`{name}`" not in page}


def test_every_table_and_column_is_written_up(run_folder):
    page = (DOCS / "store.md").read_text(encoding="utf-8")
    tables = sorted((run_folder / "analysis").glob("*.csv"))
    assert len(tables) > 10
    assert {table.name: missing for table in tables if (missing := unwritten(table, page))} == {}
    assert unwritten(tables[0], "") > {tables[0].name}


@pytest.fixture(scope="module")
def figure_store(tmp_path_factory):
    """What the README's figure is drawn from."""
    path = tmp_path_factory.mktemp("figure") / "store.zarr"
    extract(ExtractConfig("pico-neox"), path, QUIET)
    return open_store(path)


def panel_titles(svg: Path) -> list[tuple[str, float, int, int]]:
    """(name, WD, layer, neuron) of every panel; matplotlib writes each line of text as a comment beside its outlines."""
    lines = "\n".join(re.findall(r"<!-- (.*) -->", svg.read_text(encoding="utf-8")))
    titles = re.findall(r"^(.*): WD = ([\d.]+)\nlayer (\d+), neuron (\d+)$", lines, re.MULTILINE)
    return [(name, float(wd), int(layer), int(neuron)) for name, wd, layer, neuron in titles]


def test_the_figure_of_the_readme_says_what_the_statistics_say(figure_store, tmp_path):
    runpy.run_path(str(FIGURE))["main"](tmp_path / "figure.svg")
    final = figure_store.isel(checkpoint=-1, token=(figure_store["position"] > 0).values)
    distance = analysis.wasserstein_distance(final["preactivation"])
    committed = FIGURE.with_suffix(".svg")
    titles = panel_titles(committed)
    assert titles == panel_titles(tmp_path / "figure.svg")
    assert committed.stat().st_size < 60_000
    (_, highest, layer, wasserstein), (_, median, same_layer, ordinary) = titles
    assert layer == same_layer
    ours = distance.sel(layer=layer, neuron=[wasserstein, ordinary]).values
    np.testing.assert_allclose(ours, [highest, median], atol=0.005)
    assert ours[0] == distance.sel(layer=layer).max()
    assert (distance.sel(layer=layer) < ours[1]).mean() == pytest.approx(0.5, abs=0.01)
    tokens = re.search(r"a text of ([\d,]+) tokens", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert int(tokens[1].replace(",", "")) == figure_store.sizes["token"]


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
