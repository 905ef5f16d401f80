"""The documentation: commands parse, designs load, links lead somewhere, nothing public is missing, and it builds."""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import textwrap
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np
import pytest

import actstore.cli.main
import analysis
import analysis.__main__
import reports.__main__
from actstore.ablation.design import CohortSpec, Design, conditions, load_design
from actstore.ablation.readouts.minimal_pairs import MinimalPairs
from actstore.ablation.readouts.probes import Probes
from actstore.ablation.readouts.tasks import Tasks
from actstore.config import ExtractConfig, RunConfig, TextConfig
from actstore.extraction.run import extract
from actstore.store.opening import open_store
from analysis.config import PairsConfig, SelectionConfig
from reports.study import Study, load_study
from tests.helpers import QUIET

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
settings_table = runpy.run_path(str(DOCS / "settings_table.py"))["settings_table"]
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
    return blocks_of(page.read_text(encoding="utf-8"), *languages)


def blocks_of(markdown: str, *languages: str) -> list[str]:
    """The fenced blocks of a text in these languages."""
    return [text for language, text in FENCE.findall(markdown) if language in languages]


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
    assert {"slurm.md", "pythia-one-gpu.md", "laptop.md", "extending.md", "surprisal.md"} <= pages
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
        if "plugins" in text:
            continue  # `test_ones_own_is_added_as_the_page_says` runs it
        (tmp_path / "example.toml").write_text(text, encoding="utf-8")
        if "[[cohorts]]" in text:
            assert len(conditions(load_design(tmp_path / "example.toml"), n_layers=16, n_neurons=4096)) > 1
        else:
            assert load_study(tmp_path / "example.toml").ablations
    for text in blocks(page, "python"):
        compile(text, page.name, "exec")


KEYS_OF_DESIGNS = (Design, CohortSpec, TextConfig, RunConfig, MinimalPairs, Probes, Tasks)
KEYS_OF_STUDIES = (Study, SelectionConfig, PairsConfig)
KEYS = (*KEYS_OF_DESIGNS, *KEYS_OF_STUDIES)
DIRECTIVE = re.compile(r"^```\{settings-table\} (\S+)$", re.MULTILINE)


def test_every_key_is_in_a_table_once():
    named = [name for page in PAGES for name in DIRECTIVE.findall(page.read_text(encoding="utf-8"))]
    assert sorted(named) == sorted(f"{kind.__module__}.{kind.__name__}" for kind in KEYS)


@pytest.mark.parametrize("kind", KEYS, ids=lambda kind: kind.__name__)
def test_tables_of_keys_have_every_field(kind):
    head, _, *rows = settings_table(f"{kind.__module__}.{kind.__name__}").splitlines()
    assert head == "| key | default | meaning |"
    assert [row.split("`")[1] for row in rows] == [spec.name for spec in fields(kind)]
    for row, spec in zip(rows, fields(kind), strict=True):
        _, default, meaning = re.split(r" \| ", row.strip("| "))
        assert meaning.startswith(spec.metadata["description"])
        assert all(choice in meaning for choice in spec.metadata["choices"])
        assert bool(default.strip()) or spec.default in ("", None, ()) or spec.default is MISSING


def sections(page: Path) -> dict[str, str]:
    """Heading → text below it."""
    _, *parts = re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {heading: text for heading, _, text in (part.partition("\n") for part in parts)}


OWN = sections(DOCS / "extending.md")
CHECKS = {
    "An intervention": """
        for name in ("floor", "floor-of-selection", "floor-in-python"):
            store = actstore.open_store(f"runs/{name}.zarr")
            assert set(store["intervention"].values) == {"none", "floor:-0.75"}
            intact, floor = store["perplexity"].values[0]
            assert intact != floor
    """,
    "A readout": """
        for name, n_prompts in (("next-token", 3), ("next-token-in-python", 2)):
            values = actstore.open_store(f"runs/{name}.zarr")["next_log_probability"]
            assert values.attrs["readout"] == "next_token"
            assert values.sizes == {"checkpoint": 1, "condition": 2, "prompt": n_prompts}
            assert ((values < 0) & (values > -5)).all()
    """,
    "A neuron statistic": """
        chosen = [actstore.Selection.load(f"runs/determiners{name}.json") for name in ("", "/top", "/random-0", "/by-hand")]
        assert [selection.statistic for selection in chosen] == ["determiner_gap"] * 3 + ["by hand"]
        assert [selection.n_neurons for selection in chosen] == [40, 20, 20, 3]
        cohorts = actstore.open_store("runs/determiners.zarr")["cohort"].values
        assert set(cohorts) == {"none", "top 1%, by determiner_gap", "random 1%, by determiner_gap"}
    """,
    "A model family": """
        from tests.helpers import TINY
        from transformers import FalconConfig, FalconForCausalLM

        model = FalconForCausalLM(FalconConfig(**TINY))
        adapter = actstore.model.families.adapter_for(model)
        assert list(adapter.modules(model)) == list(adapter.activations(model)) == [0, 1]
        assert adapter.modules(model)[0].out_features == 4 * TINY["hidden_size"]
    """,
    "A figure": """
        from reports.registry import drawn_sections

        assert Path("kurtosis.pdf").stat().st_size > 0
        panels = {section.title: section.panels for section in drawn_sections(results)[0]}
        assert panels["Neurons far from Gaussian"]["kurtosis-by-layer"].finding.startswith("Tails are heaviest in layer ")
    """,
}
"""What must hold after the examples of a section have run."""
TOO_LONG = ("tiiuae/falcon-7b", "actstore report")
"""Of examples that need the hub, or a whole study; they are read, not run."""


def script_of(section: str) -> str:
    """The examples of a section as a Python script; files are written first."""
    lines = ["from pathlib import Path", "import actstore.cli.main, actstore.model.families"]
    for language, text in FENCE.findall(section):
        if language == "console":
            commands_of = [words[1:] for words in command_lines(text) if words[0] == "actstore"]
            lines += [f"assert actstore.cli.main.main({words}) == 0" for words in commands_of if not is_too_long(words)]
        elif language == "python" and not text.startswith("# my_module.py") and not is_too_long([text]):
            lines.append(text)
    return "\n".join(lines)


def is_too_long(words: list[str]) -> bool:
    return any(part in " ".join(["actstore", *words]) for part in TOO_LONG)


def test_the_page_has_five_things_to_add():
    assert list(CHECKS) == [heading for heading in OWN if heading != "When a plugin changes"]
    for heading in CHECKS:
        named = [text.splitlines()[0] for text in blocks_of(OWN[heading], "python") if text.startswith("# ")]
        assert named == ["# my_module.py"]
        assert "In Python" in OWN[heading]


@pytest.mark.parametrize("heading", CHECKS)
def test_ones_own_is_added_as_the_page_says(heading, run_folder, tmp_path):
    shutil.copytree(run_folder / "analysis", tmp_path / "runs" / "analysis")
    (tmp_path / "runs" / "store.zarr").symlink_to(run_folder / "store.zarr")
    model = tmp_path / "runs" / "mine" / "models" / "pico-neox"
    model.mkdir(parents=True)
    (model / "store.zarr").symlink_to(run_folder / "store.zarr")
    (model / "analysis").symlink_to(run_folder / "analysis")
    for text in blocks_of(OWN[heading], "python", "toml"):
        if named := re.match(r"# (\S+\.(?:py|toml))\n", text):
            (tmp_path / named[1]).write_text(text, encoding="utf-8")
    script = "\n".join([script_of(OWN[heading]), "import my_module", textwrap.dedent(CHECKS[heading])])
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


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


def test_outputs_of_notebooks_are_kept_for_one_state_of_the_code_and_store(monkeypatch):
    def folder():
        return runpy.run_path(str(DOCS / "run_notebooks.py"))["cache_folder"]()

    first = folder()
    assert folder() == first
    monkeypatch.setenv("ACTSTORE_STORE", "other.zarr")
    assert folder() != first
    assert folder().parent == first.parent == ROOT / "build" / "notebooks"


@pytest.mark.slow
def test_it_builds_without_a_warning(run_folder, tmp_path):
    kept = f"nb_execution_cache_path={tmp_path / 'kept'}"
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-D", kept, "-b", "html", "docs", tmp_path / "html"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "ACTSTORE_STORE": str(run_folder / "store.zarr")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    check_figures(tmp_path / "html")
    reference = (tmp_path / "html" / "api" / "analysis.html").read_text(encoding="utf-8")
    assert 'id="analysis.wasserstein_distance"' in reference
    assert "<math" in reference
    for name, kinds in (("designs", KEYS_OF_DESIGNS), ("studies", KEYS_OF_STUDIES)):
        cells = re.findall(r"<td>.*?>(\w+)</span></code>", (tmp_path / "html" / f"{name}.html").read_text(encoding="utf-8"))
        assert {spec.name for kind in kinds for spec in fields(kind)} <= set(cells)
    pages = "".join(page.read_text(encoding="utf-8") for page in (tmp_path / "html").rglob("*.html"))
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//', pages)


def check_figures(html: Path) -> None:
    """Every figure of a notebook and of the gallery is in its page, with words for who does not see it; the pages are small."""
    of_notebooks = {
        f"notebooks/{script.stem}.html": script.read_text(encoding="utf-8").count("plt.subplots(")
        for script in (ROOT / "notebooks").glob("*.py")
    }
    of_gallery = {f"gallery/{page.stem}.html": 6 for page in (DOCS / "gallery").glob("*.md") if page.stem != "index"}
    assert len(of_notebooks) == 5
    for name, n_figures in (of_notebooks | of_gallery | {"index.html": 1}).items():
        page = (html / name).read_text(encoding="utf-8")
        assert len(re.findall(r'<span class="plot"><svg [^>]*role="img" aria-label="[^"]{5,}"', page)) == n_figures, name
        assert "<img" not in page
        assert 'body[data-theme="dark"]' in page
    files = [*(DOCS / "gallery").rglob("*.*"), *(html / "notebooks").iterdir()]
    assert sum(file.stat().st_size for file in files) < 4_000_000
