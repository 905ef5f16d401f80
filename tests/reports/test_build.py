from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from actstore.errors import ActstoreError
from reports.build import build, load_results, render
from reports.study import Study

STUDY = Study("default", "pico-neox")


@pytest.fixture(scope="module")
def results(run_folder):
    return load_results(run_folder)


@pytest.fixture(scope="module")
def page(results):
    return render(STUDY, results)


class _Balance(HTMLParser):
    """Open tags that were never closed."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_whole_and_self_contained(page):
    parser = _Balance()
    parser.feed(page)
    assert parser.open == []
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "http" not in re.sub(r'src="data:[^"]*"', "", page)


def test_every_figure_is_there_with_alt_text(page):
    assert page.count("<img") == 7
    assert len(re.findall(r'alt="[^"]{30,}"', page)) == 7
    for title in (
        "distance by layer",
        "most entangled neuron",
        "over training",
        "Perplexity",
        "Minimal pairs",
        "probes",
        "part of speech",
    ):
        assert title in page


def test_numbers_on_the_page_are_those_of_the_tables(page, results):
    table = results.tables["perplexity"]
    for value in table["perplexity"]:
        assert f"{value:.4f}" in page
    for fingerprint in (results.selection.weights_fingerprint, results.provenance["Extraction"]["corpus_fingerprint"]):
        assert fingerprint in page


def test_text_from_data_is_escaped(results):
    evil = "</script><img src=x onerror=alert(1)>"
    provenance = {"Extraction": results.provenance["Extraction"] | {"corpus": evil}}
    accuracy = results.tables["accuracy_by_phenomenon"].assign(
        phenomenon=lambda t: t["phenomenon"].where(t["phenomenon"] != "binding", evil)
    )
    page = render(STUDY, replace(results, provenance=provenance, tables=results.tables | {"accuracy_by_phenomenon": accuracy}))
    assert evil not in page
    assert page.count("&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;") >= 2


def test_the_same_results_give_the_same_page(page, results):
    assert render(STUDY, results) == page


def test_missing_results_say_what_to_run(tmp_path):
    with pytest.raises(ActstoreError):
        build(STUDY, tmp_path, tmp_path / "report")
    assert not (tmp_path / "report").exists()
