"""The page: whole and self-contained, with the numbers of its tables; no text of a corpus breaks out of it."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from urllib.parse import unquote

import pandas as pd
import pytest

from actstore.errors import ActstoreError
from analysis.csv_text import defused
from reports.build import _script_data, build
from reports.evidence import claims_of
from reports.export import results_json, table_links
from reports.methods import limits, methods, provenance
from reports.registry import drawn_sections
from reports.study import load_study
from tests.helpers import NO_TORCH
from tests.reports.conftest import EVIL


@pytest.fixture(scope="module")
def page(report):
    return (report / "index.html").read_text()


class _Page(HTMLParser):
    """Open tags that were never closed, and every element's tag and attributes."""

    def __init__(self):
        super().__init__()
        self.open, self.elements, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(page):
    parser = _Page()
    parser.feed(page)
    return parser


def test_page_is_whole_and_self_contained(page, report):
    html = parsed(page)
    assert html.open == []
    for tag, attributes in html.elements:
        links = ("data:", "#", "https://arxiv.org/abs/") if tag == "a" else ("data:", "#")
        for name in ("src", "href"):
            target = attributes.get(name, "#")
            assert target.startswith(links) or (tag == "a" and (report / unquote(target)).is_file()), target
    ids = [attributes["id"] for _, attributes in html.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {attributes["href"] for tag, attributes in html.elements if tag in ("a", "use") and "href" in attributes}
    assert {target[1:] for target in targets if target.startswith("#") and not re.fullmatch(r"#L\d+N\d+", target)} <= set(ids)
    clipped = {attributes["clip-path"] for _, attributes in html.elements if "clip-path" in attributes}
    assert {target.removeprefix("url(#").removesuffix(")") for target in clipped} <= set(ids)


def test_every_figure_has_alt_text_a_finding_and_files(page, report, results):
    sections, missing = drawn_sections(results)
    panels = {name: panel for section in sections for name, panel in section.panels.items()}
    elements = parsed(page).elements
    images = [attributes for tag, attributes in elements if tag == "svg" and attributes.get("role") == "img"]
    assert len(images) == 2 * len(panels) >= 44
    assert all(len(image["aria-label"]) > 40 for image in images)
    links = {attributes["href"] for tag, attributes in elements if tag == "a"}
    for name, panel in panels.items():
        assert panel.finding[0].isupper() or not panel.finding[0].isalpha()
        assert panel.finding.endswith(".")
        tables = [file for _, file in table_links(panel.source, results)]
        assert len(tables) == panel.source.count(".csv") > 0
        assert {*tables, f"figures/{name}.svg", f"figures/{name}.pdf"} <= {unquote(link) for link in links}
        for kind, start in (("svg", b"<?xml"), ("pdf", b"%PDF")):
            assert (report / "figures" / f"{name}.{kind}").read_bytes().startswith(start)
    assert missing == ["the double dissociation (needs minimal pairs and probes or tasks)"] or missing == []


def test_numbers_on_the_page_are_those_of_the_tables(page, report, results):
    table = pd.read_csv(report / "tables" / "ablations" / "all-in-one" / "perplexity.csv")
    text = "".join(parsed(page).text)
    for value in table[table["checkpoint"] == 4000]["perplexity"]:
        assert f"{value:.3f}" in text
    for run in results.models.values():
        assert run.attributes["corpus_fingerprint"] in text
    numbers = json.loads((report / "results.json").read_text())
    assert numbers["tables"]["ablations/all-in-one"]["perplexity"]["perplexity"] == pytest.approx(table["perplexity"].tolist())
    assert {panel["key"] for panel in numbers["panels"]} >= {"sweep", "perplexity", "relu", "layers"}


def test_the_same_results_give_the_same_page(page, results, study_folder, tmp_path):
    again = build(load_study(study_folder.parent / "small.toml"), study_folder, tmp_path)
    assert again.read_text() == page
    files = sorted((study_folder / "report" / "neurons").iterdir())
    assert [file.name for file in files] == [*(f"layer-0{layer}.js" for layer in range(4)), "tokens.js"]
    assert all((tmp_path / "neurons" / file.name).read_bytes() == file.read_bytes() for file in files)


def test_methods_and_limits_are_of_this_run(results):
    text = " ".join(methods(results))
    for words in (
        "pico-neox (gpt_neox, gelu; 4 layers of 512 neurons)",
        "top 1.0% of each layer",
        "600 tokens (4 each)",
        "“all-in-one”",
        "negative-zero on a random draw of 1% and 5% without the top",
        "positive-zero and sign-flip on the top 1%",
        "2 groups of layers (single and cumulative)",
    ):
        assert words in text
    text = " ".join(limits(results, ["the moon"]))
    assert "No control was matched on perplexity" in text
    assert "Not run: the moon." in text


def test_provenance_names_code_stores_and_steps(results, study_folder):
    origins = provenance(results, study_folder)
    runs = {"Model pico-neox", "Model pico-opt", "Ablation all-in-one", "Ablation relu"}
    assert {"Code", "Selection", "Steps", *runs} <= set(origins)
    assert re.fullmatch("[0-9a-f]{32}", origins["Steps"]["ablate relu"])
    assert origins["Selection"]["weights"] in origins["Model pico-neox"]["weights"]


def test_text_cannot_break_out_of_the_page(evil_page, page):
    html = parsed((evil_page / "index.html").read_text(encoding="utf-8"))
    assert html.open == []
    n_scripts, expected = (sum(tag == "script" for tag, _ in each.elements) for each in (html, parsed(page)))
    assert n_scripts == expected
    assert not any("onerror" in attributes for _, attributes in html.elements)
    assert EVIL[0] in "".join(html.text)


def test_text_cannot_break_out_of_a_figure(evil_page):
    for file in (evil_page / "figures").glob("*.svg"):
        tree = ElementTree.parse(file)
        assert not [element for element in tree.iter() if element.tag.endswith(("script", "}img"))]


def test_script_data_are_the_same_after_the_page_is_parsed():
    assert json.loads(str(_script_data([EVIL]))) == [EVIL]
    assert not set("<>&\u2028") & set(str(_script_data([EVIL])))
    assert _script_data([]) is None


def test_spreadsheets_see_no_formula(tmp_path):
    table = pd.DataFrame({"text": ["=1+1", "+x", "-y", "@z", "\tq", "plain", None], "n": [-1.0, 2, 3, 4, 5, 6, 7]})
    defused(table).to_csv(tmp_path / "t.csv", index=False)
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == ["'=1+1", "'+x", "'-y", "'@z", "'\tq", "plain", ""]
    assert rows[0]["n"] == "-1.0"


def test_results_hold_no_nan(results):
    sections, _ = drawn_sections(results)
    assert "NaN" not in re.sub(r'"[^"]*"', "", results_json(results, claims_of(results), sections, {}))


def test_the_report_is_built_without_torch(study_file, study_folder, tmp_path):
    code = f"""{NO_TORCH}
from reports.build import main
assert main(["--study", {str(study_file)!r}, "--runs", {str(study_folder)!r}, "--out", {str(tmp_path)!r}]) == 0
assert "torch" not in sys.modules and "transformers" not in sys.modules
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "index.html").stat().st_size > 100_000


def test_missing_results_say_what_to_run(study_file, tmp_path):
    with pytest.raises(ActstoreError, match="run the study first"):
        build(load_study(study_file), tmp_path, tmp_path / "report")
    assert not (tmp_path / "report").exists()
