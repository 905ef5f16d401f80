"""The page in a real browser: nothing fails, nothing is fetched but the page, sorting works."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reports.build import render
from reports.evidence import claims_of
from reports.export import export_figures
from reports.registry import drawn_sections
from tests.reports.conftest import CHROMIUM, EVIL

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")]


@pytest.fixture
def opened(chromium):
    """Opens the page in a folder; at the end the console must be empty, and nothing fetched but the page."""
    messages, fetched = [], []
    page = chromium.new_page()
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("dialog", lambda dialog: messages.append(dialog.message))
    page.on("request", lambda request: fetched.append(request.url))

    def open_page(folder):
        page.goto((folder / "index.html").as_uri())
        return page

    yield open_page
    page.close()
    assert messages == []
    assert [url for url in fetched if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in fetched if url.startswith("file:")]) == 1


def test_sorting_by_number_both_ways_and_by_keyboard(opened, report):
    page = opened(report)
    page.locator("#table-neurons summary").click()
    head = page.locator("#table-neurons th").nth(2)
    cells = page.locator("#table-neurons tbody td:nth-child(3)")
    head.locator("button").focus()
    page.keyboard.press("Enter")
    values = [float(text) for text in cells.all_inner_texts()]
    assert values == sorted(values)
    assert head.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    assert [float(text) for text in cells.all_inner_texts()] == values[::-1]


def page_of(results, tables, folder):
    """A page of the same results with some tables of the main model changed."""
    main = replace(results.main, tables=results.main.tables | tables)
    results = replace(results, models={**results.models, main.name: main})
    sections, missing = drawn_sections(results)
    page = render(results, claims_of(results), sections, missing, export_figures(sections, folder), {})
    (folder / "index.html").write_text(page, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def page_with_gaps(results, tmp_path_factory):
    """Of the selected neurons some have no mapping difficulty, and some follow no feature."""
    neurons, atlas = (results.main.tables[name].copy() for name in ("neurons", "atlas"))
    selected = np.flatnonzero(neurons["selected"])
    neurons.loc[selected[[3, 8, 9]], "mapping_difficulty"] = np.nan
    atlas["feature"] = ["" if k % 5 == 0 else feature for k, feature in enumerate(atlas["feature"])]
    return page_of(results, {"neurons": neurons, "atlas": atlas}, tmp_path_factory.mktemp("gaps"))


@pytest.mark.parametrize(("head", "n_gaps", "read"), [("mapping difficulty", 3, float), ("feature", 4, str)])
def test_gaps_are_last_in_both_directions(opened, page_with_gaps, head, n_gaps, read):
    page = opened(page_with_gaps)
    page.locator("#table-neurons summary").click()
    button = page.locator("#table-neurons th button", has_text=head)
    column = page.locator("#table-neurons th").all_inner_texts().index(head) + 1
    for direction in (1, -1):
        button.click()
        texts = page.locator(f"#table-neurons tbody td:nth-child({column})").all_inner_texts()
        assert set(texts[-n_gaps:]) <= {"", "–"}
        assert "" not in texts[:-n_gaps]
        values = [read(text) for text in texts[:-n_gaps]]
        assert len(values) == 20 - n_gaps
        assert values == sorted(values)[::direction]


def test_without_javascript_all_figures_and_tables_stand(chromium, report):
    page = chromium.new_page(java_script_enabled=False)
    page.goto((report / "index.html").as_uri())
    assert page.locator("figure .plot.wide svg").count() > 20
    page.locator("#table-neurons summary").click()
    assert page.locator("#table-neurons tbody tr").first.is_visible()
    assert page.locator("noscript").count() == 1
    page.close()


def test_a_phone_needs_no_sideways_scrolling(opened, report):
    page = opened(report)
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_text_of_corpora_stays_text(opened, evil_page):
    page = opened(evil_page)
    assert page.locator("img[onerror], img[src='x']").count() == 0
    for text in (EVIL[0], EVIL[3]):
        assert page.get_by_text(text, exact=False).count() > 0
