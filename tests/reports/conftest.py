"""A small study of two embedded models, run once a session by its own command."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reports.build import write
from reports.pipeline import run
from reports.results import load_results
from reports.study import load_study

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

STUDY = """
name = "small"
models = ["pico-neox", "pico-opt"]
checkpoints = "0,64,4000"

[extraction_text]
tokens = 1500

[pairs]
tokens = 600
top = 20

[text]
tokens = 1500

[readouts.minimal_pairs]
per_paradigm = 2

[readouts.probes]

[[ablations]]
name = "all-in-one"
checkpoints = "0,4000"
surprisal = true

[[ablations.cohorts]]
rule = "top"
fraction = [0.01, 0.02, 0.05]

[[ablations.cohorts]]
rule = "top"
interventions = ["positive-zero", "sign-flip"]

[[ablations.cohorts]]
rule = "random"
fraction = [0.01, 0.05]
seeds = 1

[[ablations.cohorts]]
rule = "top"
layer_groups = 2
grouping = ["single", "cumulative"]

[[ablations]]
name = "relu"
model = "pico-opt"

[ablations.readouts]

[[ablations.cohorts]]
rule = "top"
interventions = ["negative-zero", "positive-zero"]
"""

EVIL = [
    "</script><img src=x onerror=alert(1)>",
    "\u202eright to left",
    "a\x00b\x08c",
    "🎉 é 中",
    "=1+1",
    "$x^2_{",
    "\u2028<!--",
    "'\"&amp;",
]
"""Hostile text: each would break a page, a figure or a table that does not escape it."""


@pytest.fixture(scope="session")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("study") / "small.toml"
    file.write_text(STUDY)
    return file


@pytest.fixture(scope="session")
def study_folder(study_file: Path) -> Path:
    """The folder of the finished run, report and all."""
    folder = study_file.parent / "runs"
    run(load_study(study_file), study_file, folder)
    return folder


@pytest.fixture(scope="session")
def results(study_file, study_folder):
    return load_results(load_study(study_file), study_folder)


@pytest.fixture(scope="session")
def report(study_folder) -> Path:
    return study_folder / "report"


@pytest.fixture(scope="session")
def evil(results):
    """The same results with hostile text."""
    tables = results.main.tables
    labels = tables["pair_labels"].copy()
    labels["value"] = [
        EVIL[index % len(EVIL)] if feature == "upos" else value
        for index, (feature, value) in enumerate(zip(labels["feature"], labels["value"], strict=True))
    ]
    profiles = results.main.profiles
    texts = [EVIL[index % len(EVIL)] for index in range(profiles.sizes["token"])]
    classes = [EVIL[index % len(EVIL)] + str(index) for index in range(profiles.sizes["class"])]
    profiles = profiles.assign(token_text=("token", np.array(texts, object)))
    profiles = profiles.assign_coords({"class": np.array(classes, object)})
    main = replace(results.main, tables=tables | {"pair_labels": labels}, profiles=profiles)
    return replace(results, models={**results.models, main.name: main})


@pytest.fixture(scope="session")
def evil_page(evil, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evil")
    write(evil, {"Code": {"corpus": EVIL[0]}}, folder)
    return folder


@pytest.fixture(scope="session")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium):
    """Opens the page in a folder at a hash; at the end nothing may have failed, and nothing be fetched but files."""
    failures, fetched = [], []
    page = chromium.new_page()
    page.on("console", lambda message: failures.append(message.text))
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("dialog", lambda dialog: failures.append(dialog.message))
    page.on("request", lambda request: fetched.append(request.url))

    def open_page(folder, name=""):
        page.goto((folder / "index.html").as_uri() + name)
        page.fetched = fetched
        return page

    yield open_page
    page.close()
    assert failures == []
    assert [url for url in fetched if not url.startswith(("file:", "data:"))] == []
