"""Panels by registration: the order of the page, and panels of a user's own module."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from itertools import chain
from textwrap import dedent

import pytest

from actstore.errors import ActstoreError
from reports.build import build
from reports.registry import PANELS, SECTIONS, drawn_sections, load_panels, panel
from reports.study import load_study
from tests.helpers import isolate

ORDER = {
    "Neurons far from Gaussian": ["wasserstein-distance", "one-neuron", "mapping-difficulty", "negative-share", "shape"],
    "Similar inputs driven apart": ["separated-pairs", "pair-signs", "smooth-and-relu", "pair-features", "functional-share"],
    "Over training": ["distance-over-training", "weights-over-training", "grammar-over-training"],
    "What an ablation costs": ["sweep", "perplexity", "phenomena", "dissociation", "layers"],
    "Where in the sentence": ["surprisal-upos", "surprisal-contrasts", "surprisal-over-training", "surprisal-residuals"],
    "Controls of the intervention itself": ["sign-and-magnitude", "mirror", "relu", "ablation-over-training"],
}
OWN_MODULE = """
    from reports.panel import Panel, drawn
    from reports.registry import panel


    @panel("Over training")
    def my_own_curve(results):
        step = results.main.tables["neuron_story"]["checkpoint"].max()
        figure = drawn(lambda ax: ax.plot([0, step], [0, 1]), (3, 2))
        return Panel("My own curve", figure, "A line.", f"It ends at step {step}.", "No interval.", "neuron_story.csv", True)


    @panel("A section of mine")
    def in_my_section(results):
        figure = drawn(lambda ax: ax.plot([0, 1]), (3, 2))
        return Panel("In my section", figure, "A line.", "It rises.", "No interval.", "nothing")


    @panel("Over training", needs="my moon (needs a moon)")
    def my_moon(results):
        return None


    @panel("Over training")
    def my_mistake(results):
        raise KeyError("no such <table>\\nand more")


    @panel("Over training")
    def my_mathematics(results):
        figure = drawn(lambda ax: ax.set_title("$x^{2_$"), (3, 2))
        return Panel("It cannot be rendered", figure, "", "", "", "")


    @panel("Over training")
    def my_figure(results):
        return drawn(lambda ax: ax.plot([0, 1]), (3, 2))
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """Import source text as a user's module; what it registers is gone after the test."""
    load_panels()
    isolate(monkeypatch, PANELS)
    monkeypatch.syspath_prepend(tmp_path)
    names = []

    def load(source, name="panels_of_a_user"):
        (tmp_path / f"{name}.py").write_text(dedent(source))
        importlib.invalidate_caches()
        names.append(name)
        return importlib.import_module(name)

    yield load
    for name in names:
        sys.modules.pop(name, None)


def names_of(sections):
    return {section.title: list(section.panels) for section in sections}


def test_the_page_has_the_order_of_the_sections(results):
    assert tuple(ORDER) == SECTIONS
    assert names_of(drawn_sections(results)[0]) == ORDER


def test_the_order_is_the_same_whatever_was_imported_first():
    """And our panels are registered in our sections alone."""
    code = dedent("""
        import reports.panels.surprisal, reports.panels.layers_and_steps
        from reports.registry import _in_order
        order = {}
        for entry, is_ours in _in_order():
            assert is_ours
            order.setdefault(entry.section, []).append(entry.name)
        print(order)
    """)
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    costs = "What an ablation costs"
    assert process.stdout.strip() == str({**ORDER, costs: [*ORDER[costs], "own-readouts"]})


def test_a_panel_of_a_user_is_on_the_page_and_in_the_exports(own_module, study_file, study_folder, tmp_path, report):
    own_module(OWN_MODULE)
    page = build(load_study(study_file), study_folder, tmp_path / "report").read_text()
    panels = json.loads((tmp_path / "report" / "results.json").read_text())["panels"]
    of_training = [entry["key"] for entry in panels if entry["section"] == "Over training"]
    assert of_training == [*ORDER["Over training"], "my-own-curve"]
    assert panels[-1]["section"] == "A section of mine"
    assert [entry["key"] for entry in panels if not entry["key"].startswith(("my-", "in-"))] == list(chain(*ORDER.values()))
    assert page.index('id="grammar-over-training"') < page.index('id="my-own-curve"') < page.index('id="sweep"')
    assert page.count("It ends at step 4000.") == 2, "with its figure, and where the page begins"
    for name in ("my-own-curve", "in-my-section"):
        for kind in ("svg", "pdf"):
            assert (tmp_path / "report" / "figures" / f"{name}.{kind}").stat().st_size > 500
    for figure in (report / "figures").iterdir():
        assert (tmp_path / "report" / "figures" / figure.name).read_bytes() == figure.read_bytes()


def test_a_panel_of_a_user_that_fails_is_left_out_and_named(own_module, results):
    own_module(OWN_MODULE)
    sections, missing = drawn_sections(results)
    assert not {"my-moon", "my-mistake", "my-mathematics", "my-figure"} & {name for part in sections for name in part.panels}
    assert "my moon (needs a moon)" in missing
    failed = {text.partition(" (")[0]: text for text in missing if "panels_of_a_user" in text}
    assert set(failed) == {f"the panel my-{name} of panels_of_a_user" for name in ("mistake", "mathematics", "figure")}
    mistake, mathematics, figure = failed.values()
    assert mistake.endswith(r"(KeyError: 'no such <table>\nand more')")
    assert "(ValueError: " in mathematics
    assert "\n" not in mathematics
    assert figure.endswith("(TypeError: the function must give a Panel or None, not Drawing)")


def test_an_error_of_our_own_panels_is_raised(results, monkeypatch):
    load_panels()
    monkeypatch.setattr(PANELS, "_entries", {})

    def broken(results):
        raise KeyError("a mistake of ours")

    broken.__module__ = "reports.panels.training"
    panel("Over training")(broken)
    with pytest.raises(KeyError, match="a mistake of ours"):
        drawn_sections(results)


def test_one_name_in_two_modules_is_refused(own_module):
    source = """
        from reports.registry import panel


        @panel("Over training")
        def perplexity(results):
            return None
    """
    with pytest.raises(
        ActstoreError, match=r"figure 'perplexity' of panels_of_a_user is already registered by reports\.panels\.ablation"
    ):
        own_module(source)


def test_a_module_may_be_loaded_again(own_module, results):
    module = own_module(OWN_MODULE)
    before = names_of(drawn_sections(results)[0])
    importlib.reload(module)
    assert names_of(drawn_sections(results)[0]) == before
