"""The neuron browser in a real browser, from a disk: links, values, search, two neurons, and the page without its files."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pandas as pd
import pytest

from actstore.store.opening import open_store
from reports.steps import model_folder
from tests.reports.conftest import CHROMIUM, EVIL

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")]


def status(page, text):
    """Waits for a text in the status of the browser."""
    page.wait_for_function(f"document.getElementById('browser-status').textContent.includes({text!r})")


def shown(value, digits=3):
    return "–" if np.isnan(value) else f"{value:.{digits}f}".replace("-", "−")


def table(page, label):
    """A table of the first neuron, as lists of texts."""
    rows = page.locator("article.neuron").first.locator(f"div[aria-label={label!r}] tbody tr").all()
    return [row.locator("th, td").all_inner_texts() for row in rows]


@pytest.fixture(scope="module")
def values(study_folder, results):
    """Pre-activations (layer, token, neuron) of the last checkpoint, the token's text, and which positions are text."""
    store = open_store(model_folder(study_folder, results.main.name) / "store.zarr")
    last = store["preactivation"].isel(checkpoint=-1).values.astype(np.float32)
    return last, store["token_text"].values, store["position"].values > 0


def test_nothing_is_read_before_it_is_asked_for(opened, report):
    page = opened(report)
    assert page.locator("#browser-app").is_visible()
    assert page.locator("#browser-view").inner_html() == ""
    assert len([url for url in page.fetched if url.startswith("file:")]) == 1
    page.locator(".starts a").first.click()
    status(page, "Shown")
    assert sorted(re.findall(r"neurons/([\w-]+)\.js", " ".join(page.fetched))) == ["layer-00", "tokens"]
    assert page.evaluate("document.activeElement.textContent").startswith("Layer 0, neuron")


def test_a_link_opens_the_neuron_with_the_values_of_the_store(opened, report, results, values):
    page = opened(report, "#L2N17")
    status(page, "Shown: L2N17")
    assert page.locator("article.neuron h3").all_inner_texts() == ["Layer 2, neuron 17"]
    preactivation, texts, is_text = values
    x = preactivation[2, is_text, 17].astype(np.float64)
    lists = page.locator(".examples ol").all()
    for examples, expected in ((lists[0], np.sort(x)[:12]), (lists[1], np.sort(x)[::-1][:12])):
        assert examples.locator(".value").all_inner_texts() == [shown(value, 2) for value in expected]
        for item in examples.locator("li").all():
            token = int(item.get_attribute("data-token"))
            assert item.locator("mark").text_content() == texts[token]
            assert shown(preactivation[2, token, 17], 2) == item.locator(".value").inner_text()
            around = item.locator("bdi").text_content().strip("…")
            assert around in "".join(texts[max(0, token - 8) : token + 9])
            assert len(around) > len(texts[token])
    counts = np.histogram(np.clip((x - x.mean()) / x.std(), -6, 6), 60, (-6, 6))[0]
    filled = np.flatnonzero(counts)
    bars = page.locator("svg rect[data-n]").all()
    assert [int(bar.get_attribute("data-n")) for bar in bars] == counts[filled[0] : filled[-1] + 1].tolist()


def test_its_place_in_the_layer_and_both_sides(opened, report, results, values):
    page = opened(report, "#l1n300")
    status(page, "Shown: L1N300")
    neurons = results.main.tables["neurons"]
    of_layer = neurons[neurons["layer"] == 1].set_index("neuron")
    rows = {row[0]: row for row in table(page, "Statistics and their rank in the layer")}
    assert list(rows)[:2] == ["wasserstein distance", "negative wasserstein share"]
    for name in ("wasserstein_distance", "skewness", "mapping_difficulty"):
        label = name.replace("_", " ")
        rank = int(of_layer[name].rank(ascending=False, method="min")[300])
        assert rows[label][1:3] == [shown(of_layer[name][300]), str(rank)]
    x = values[0][1, values[2], 300]
    distance, share = (of_layer[name][300] for name in ("wasserstein_distance", "negative_wasserstein_frac"))
    assert table(page, "Both sides of zero") == [
        ["below 0", f"{100 * (x < 0).mean():.1f}%", shown(x[x < 0].mean(dtype=float)), shown(distance * share)],
        ["from 0 on", f"{100 * (x >= 0).mean():.1f}%", shown(x[x >= 0].mean(dtype=float)), shown(distance * (1 - share))],
    ]
    assert page.locator("svg circle").count() == 6  # three checkpoints, all of the distance and its negative part


def test_the_selected_have_their_pairs_features_and_clusters(opened, report, results):
    atlas, pairs = (results.main.tables[name] for name in ("atlas", "neuron_pairs"))
    row = atlas[atlas["clusters"].notna()].iloc[-1]
    page = opened(report, f"#L{row['layer']}N{row['neuron']}")
    status(page, "Shown")
    features = table(page, "Features that it follows")
    expected = [shown(row[f"explained_{name}"]) for name in ("upos", "deprel", "word", "position", "depth")]
    assert [cells[1] for cells in features] == expected
    assert page.locator("article.neuron > ul:not(.pairs) bdi").all_inner_texts() == row["clusters"].split(" | ")
    own = pairs[(pairs["layer"] == row["layer"]) & (pairs["neuron"] == row["neuron"])].head(3)
    marks = page.locator(".pairs").first.locator("mark").all_text_contents()
    assert marks == own[["text_a", "text_b"]].to_numpy().ravel().tolist()


def test_two_neurons_side_by_side_and_one_closed(opened, report):
    page = opened(report, "#L3N174,L2N5")
    status(page, "Shown: L3N174 beside L2N5")
    page.set_viewport_size({"width": 1200, "height": 800})
    boxes = [article.bounding_box() for article in page.locator("article.neuron").all()]
    assert len(boxes) == 2
    assert boxes[0]["y"] == boxes[1]["y"]
    page.get_by_role("link", name="Close").last.click()
    status(page, "Shown: L3N174.")
    assert page.evaluate("location.hash") == "#L3N174"
    assert page.locator("article.neuron h3").all_inner_texts() == ["Layer 3, neuron 174"]


def test_buttons_field_and_keys(opened, report):
    page = opened(report)
    page.fill("#browser-name", "L0N511")
    page.keyboard.press("Enter")
    status(page, "Shown: L0N511")
    page.locator("#browser-next").focus()
    page.keyboard.press("Enter")
    status(page, "Shown: L1N0")
    assert page.evaluate("document.activeElement.id") == "browser-next"
    page.click("#browser-previous")
    status(page, "Shown: L0N511")
    page.go_back()
    status(page, "Shown: L1N0")
    page.fill("#browser-name", "L0N512")
    page.keyboard.press("Enter")
    status(page, "There is no neuron L0N512: layers are 0 to 3, neurons 0 to 511.")
    page.fill("#browser-name", "cat")
    page.keyboard.press("Enter")
    status(page, "such as L3N174")


def searched(page, **fields):
    """The rows that a search finds, and the number in the status."""
    for name, value in {"layer": "", "order": "highest", "from": "", "to": "", "token": ""}.items():
        field = page.locator(f"#browser-search [name={name}]")
        field.select_option(fields.get(name, value)) if name in ("layer", "order") else field.fill(fields.get(name, value))
    page.locator("#browser-search [name=key]").select_option(label=fields.get("key", "wasserstein distance"))
    page.evaluate("document.getElementById('browser-status').textContent = ''")
    page.click("#browser-search button")
    status(page, "found")
    rows = page.locator("#browser-results tbody tr").all()
    n = int(page.locator("#browser-status").inner_text().split()[0].replace(",", ""))
    return [row.locator("th, td").all_inner_texts() for row in rows], n


def test_search_by_layer_rank_and_statistic(opened, report, results):
    page = opened(report)
    neurons = results.main.tables["neurons"]
    rows, n = searched(page, layer="2", key="skewness", order="lowest", **{"from": "3", "to": "7"})
    expected = neurons[neurons["layer"] == 2].sort_values("skewness").iloc[2:7]
    assert [row[0] for row in rows] == [f"L2N{neuron}" for neuron in expected["neuron"]]
    assert [row[1] for row in rows] == [shown(value) for value in expected["skewness"]]
    assert [row[2] for row in rows] == ["3", "4", "5", "6", "7"]
    assert n == 5
    rows, n = searched(page)
    first = neurons.sort_values("wasserstein_distance", ascending=False).head(100)
    assert [row[0] for row in rows] == [f"L{layer}N{neuron}" for layer, neuron in first[["layer", "neuron"]].to_numpy()]
    assert n == 2048


def test_search_by_feature_and_class(opened, report, results):
    page = opened(report)
    profiles = results.main.profiles
    for key, values in (
        ("follows part of speech", profiles["explained_frac"].sel(feature="upos")),
        ("upos = DET", profiles["class_mean"][..., list(profiles["class"].values).index("DET")]),
    ):
        rows, _ = searched(page, layer="1", key=key, to="5")
        series = pd.Series(values.sel(layer=1).values).sort_values(ascending=False).head(5)
        assert [row[0] for row in rows] == [f"L1N{neuron}" for neuron in series.index]
        assert [row[1] for row in rows] == [shown(value) for value in series]


def test_search_by_token_and_a_second_one_beside(opened, report, results, values):
    page = opened(report)
    rows, n = searched(page, token="The", layer="0")
    texts = np.char.lower(np.char.strip(values[1].astype("U")))
    examples = results.main.profiles["example_token"].sel(layer=0).values
    low, high = ((texts[part] == "the").sum(axis=1) for part in (examples[:, :12], examples[:, -12:]))
    assert n == ((low + high) > 0).sum() > 0
    for name, _, _, n_low, n_high, _ in rows:
        neuron = int(name.removeprefix("L0N"))
        assert (int(n_low), int(n_high)) == (low[neuron], high[neuron])
    found = [int(row[3]) + int(row[4]) for row in rows]
    assert found == sorted(found, reverse=True)
    page.locator("#browser-results th a").nth(1).click()
    status(page, f"Shown: {rows[1][0]}.")
    page.locator("#browser-results a.add").nth(0).click()
    status(page, f"Shown: {rows[1][0]} beside {rows[0][0]}")


def test_a_word_of_several_tokens_is_found(opened, report, results):
    profiles = results.main.profiles
    words = pd.Series(profiles["token_text"].values.astype(object)).groupby(profiles["word"].values).agg(["".join, "size"])
    examples = profiles["example_token"].values
    extremes = np.concatenate([examples[..., :12].ravel(), examples[..., -12:].ravel()])
    own = profiles["word"].values[extremes]
    number = next(word for word in own if word >= 0 and words.loc[word, "size"] > 2)
    page = opened(report)
    _, n = searched(page, token=words.loc[number, "join"].strip())
    assert n > 0


def test_rows_of_the_table_of_selected_neurons_lead_here(opened, report, results):
    page = opened(report)
    page.locator("#table-neurons summary").click()
    cells = page.locator("#table-neurons tbody tr").first.locator("td").all_inner_texts()
    page.locator("#table-neurons tbody a").first.click()
    status(page, f"Shown: L{cells[0]}N{cells[1]}.")


def without_files(report, folder):
    shutil.copy(report / "index.html", folder)
    return folder


def test_the_page_is_whole_without_the_files(chromium, report, tmp_path):
    page = chromium.new_page()
    page.goto((without_files(report, tmp_path) / "index.html").as_uri() + "#L1N3")
    status(page, "is not beside this page")
    text = page.locator("#browser-status").inner_text()
    assert "tables/models/pico-neox/neurons.csv" in text
    assert page.locator("figure .plot.wide svg").count() > 20
    shutil.copytree(report / "neurons", tmp_path / "neurons")
    page.click("#browser-open button >> nth=0")
    status(page, "Shown: L1N3")
    page.close()


def test_files_of_another_report_are_refused(opened, report, evil_page, tmp_path):
    without_files(report, tmp_path)
    shutil.copytree(evil_page / "neurons", tmp_path / "neurons")
    page = opened(tmp_path, "#L1N3")
    status(page, "belongs to another report")
    assert page.locator("article.neuron").count() == 0


def test_without_javascript_the_table_is_named(chromium, report):
    page = chromium.new_page(java_script_enabled=False)
    page.goto((report / "index.html").as_uri())
    assert not page.locator("#browser-app").is_visible()
    link = page.locator("#browser noscript a").first
    assert (report / link.get_attribute("href")).is_file()
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1200, "dark")])
def test_it_fits_the_screen_and_its_colours(opened, report, width, scheme):
    page = opened(report)
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto((report / "index.html").as_uri() + "#L3N174,L2N5")
    status(page, "Shown")
    searched(page, token="the")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colours = page.evaluate(
        "[getComputedStyle(document.querySelector('.examples li')).color, getComputedStyle(document.body).backgroundColor]"
    )
    light = [sum(map(int, re.findall(r"\d+", colour)[:3])) / 3 for colour in colours]
    assert abs(light[0] - light[1]) > 150
    assert (light[1] < 60) == (scheme == "dark")


def test_text_of_corpora_stays_text(opened, evil_page):
    page = opened(evil_page, "#L0N1,L3N2")
    status(page, "Shown")
    assert page.locator("img, #browser-view script").count() == 0
    marks = set(page.locator("article.neuron mark").all_text_contents())
    assert marks <= {"a␀b␈c" if "\x00" in text else text for text in EVIL}
    assert len(marks) > 3
    names = page.locator("#browser-search option").all_inner_texts()
    assert f"upos = {EVIL[0]}0" in names
    searched(page, token=EVIL[0])
