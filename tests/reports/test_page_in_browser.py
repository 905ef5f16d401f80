"""The page in a real browser: nothing fails, nothing is fetched but the page, sorting works."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex

from reports.build import render
from reports.dark import contrast
from reports.evidence import claims_of
from reports.export import export_figures
from reports.registry import drawn_sections
from tests.reports.conftest import CHROMIUM, EVIL
from tests.reports.pdf import filled

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")]


@pytest.fixture
def opened(opened):
    """And the page alone is fetched."""
    pages = []

    def open_page(folder):
        pages.append(opened(folder))
        return pages[-1]

    yield open_page
    assert len([url for url in pages[0].fetched if url.startswith("file:")]) == 1


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
    assert page.locator("figure .plot.wide svg[role=img]").count() > 20
    page.locator("#table-neurons summary").click()
    assert page.locator("#table-neurons tbody tr").first.is_visible()
    assert page.locator("noscript").count() == 1
    page.close()


TEXT_SIZES = """
() => [...document.querySelectorAll("article .plot svg")].filter((svg) => svg.clientWidth > 0).flatMap((svg) =>
  [...svg.querySelectorAll("g[transform*=scale]")].map((text) =>
    100 * Number(/scale\\(([\\d.]+)/.exec(text.getAttribute("transform"))[1]) * svg.clientWidth / svg.viewBox.baseVal.width))
"""
"""Sizes of all text in figures that are shown, in pixels; outlines of characters are a hundred units to the em."""


def test_a_phone_needs_no_sideways_scrolling_and_no_glasses(opened, report):
    page = opened(report)
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    sizes = page.evaluate(TEXT_SIZES)
    assert len(sizes) > 300
    assert min(sizes) >= 8
    page.set_viewport_size({"width": 1200, "height": 900})
    assert min(page.evaluate(TEXT_SIZES)) >= 10
    assert page.locator("article .plot.narrow svg").first.is_hidden()


COLORS = """
() => [...document.querySelectorAll("article .plot.wide")].flatMap((plot) => {
  const behind = getComputedStyle(plot).backgroundColor;
  return [...plot.querySelectorAll("svg use, svg path, svg g[transform]")].flatMap((mark) => {
    const style = getComputedStyle(mark);
    return [style.fill, style.stroke].filter((color) => color.startsWith("rgb(")).map((color) => [behind, color]);
  });
})
"""
"""What is behind a figure, and every colour in it."""


@pytest.mark.parametrize(("scheme", "least"), [("dark", 3.0), ("light", 1.5)])
def test_figures_stand_out_from_the_page(opened, report, scheme, least):
    page = opened(report)
    page.emulate_media(color_scheme=scheme)
    pairs = {tuple(pair) for pair in page.evaluate(COLORS)}
    behind = {first for first, _ in pairs}
    assert len(behind) == 1
    darkness = sum(channels(*behind)) / 3
    assert darkness < 0.2 if scheme == "dark" else darkness > 0.9
    ratios = {color: contrast(to_hex(channels(first)), to_hex(channels(color))) for first, color in pairs if first != color}
    assert min(ratios.values()) >= least
    assert max(ratios.values()) > 10


def channels(color):
    """A colour as Chromium writes it, as three numbers from 0 to 1."""
    return tuple(int(value) / 255 for value in re.findall(r"\d+", color)[:3])


def test_paper_is_filled_and_light(opened, report):
    """Every page but the last is more than half full; no figure is apart from its heading; nothing is wider than the paper."""
    page = opened(report)
    page.emulate_media(color_scheme="dark")
    shares = filled(page.pdf(format="A4"))
    assert 8 <= len(shares) <= 30
    assert min(shares[:-1]) > 0.5
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": 688, "height": 1000})
    assert page.evaluate("document.documentElement.scrollWidth") <= 688
    for name in ("article", ".plot", "figcaption"):
        style = "all => all.map(one => getComputedStyle(one).breakInside)"
        assert set(page.locator(name).evaluate_all(style)) == {"avoid"}
    heights = page.locator("article").evaluate_all("all => all.map(one => one.offsetHeight)")
    assert max(heights) < 1017  # what two margins leave of A4, at 96 pixels an inch
    assert {second for _, second in page.evaluate(COLORS)} >= {"rgb(0, 0, 0)", "rgb(213, 94, 0)"}


def test_figures_are_numbered_and_the_summary_says_their_numbers(opened, report):
    page = opened(report)
    captions = page.locator("article figcaption strong").all_inner_texts()
    assert captions == [f"Figure {number}." for number in range(1, len(captions) + 1)]
    names = page.locator("article").evaluate_all("all => all.map(one => one.id)")
    for item in page.locator(".brief li").all():
        name = item.locator("a").first.get_attribute("href").removeprefix("#")
        assert f"(Figure {names.index(name) + 1}):" in item.inner_text()


def test_the_first_screen_says_what_the_models_are(opened, report):
    page = opened(report)
    page.set_viewport_size({"width": 1200, "height": 800})
    box = page.locator(".about").bounding_box()
    assert box["y"] + box["height"] < 800
    text = page.locator(".about").inner_text()
    for words in (
        "pico-neox (GELU, 4 layers of 512 neurons, 3 checkpoints)",
        "pico-opt (ReLU",
        "toy models",
        "tokens of that language (builtin)",
    ):
        assert words in text
    for name in ("Methods", "Limits", "Glossary", "arXiv:2509.24198"):
        assert page.locator(".about a", has_text=name).count() == 1
    page.locator("nav a", has_text="Glossary").click()
    assert page.locator("#glossary").evaluate("one => Math.abs(one.getBoundingClientRect().top)") < 100


def test_text_of_corpora_stays_text(opened, evil_page):
    page = opened(evil_page)
    assert page.locator("img[onerror], img[src='x']").count() == 0
    for text in (EVIL[0], EVIL[3]):
        assert page.get_by_text(text, exact=False).count() > 0
