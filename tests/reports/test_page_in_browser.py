"""The page in a real browser: nothing fails, nothing is fetched, the neuron browser and the sorting work."""

from __future__ import annotations

import shutil

import pytest

from tests.reports.conftest import EVIL

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")]


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium):
    """Opens a page of a folder; at the end nothing may have been said or fetched."""
    said, fetched = [], []
    page = chromium.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: fetched.append(request.url))

    def open_page(folder):
        page.goto((folder / "index.html").as_uri())
        return page

    yield open_page
    page.close()
    assert said == []
    assert [url for url in fetched if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in fetched if url.startswith("file:")]) == 1


def test_neuron_browser(opened, report, results):
    page = opened(report)
    neurons = results.main.tables["neurons"]
    chosen = neurons[neurons["selected"]]
    first, second = (f"Layer {row.layer}, neuron {row.neuron}" for row in chosen.head(2).itertuples())
    title = page.locator("#browser-view h3")
    assert title.inner_text() == first
    page.click("#browser-next")
    assert title.inner_text() == second
    page.click("#browser-previous")
    assert title.inner_text() == first
    page.select_option("#browser-layer", "2")
    of_layer = chosen[chosen["layer"] == 2]["neuron"].tolist()
    assert page.locator("#browser-neuron option").all_inner_texts() == [str(neuron) for neuron in of_layer]
    page.select_option("#browser-neuron", str(of_layer[-1]))
    assert title.inner_text() == f"Layer 2, neuron {of_layer[-1]}"
    row = chosen[(chosen["layer"] == 2) & (chosen["neuron"] == of_layer[-1])].iloc[0]
    assert page.locator("#browser-view td").first.inner_text() == f"{row['wasserstein_distance']:.3f}"
    assert page.locator("#browser-view svg").count() == 2
    assert page.locator("#browser-view svg circle").count() == 3


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


def test_without_javascript_all_figures_and_tables_stand(chromium, report):
    page = chromium.new_page(java_script_enabled=False)
    page.goto((report / "index.html").as_uri())
    assert page.locator("figure img").count() > 20
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
    assert page.locator("#browser-view mark").count() > 0
