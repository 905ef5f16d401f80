"""Figures of a study, wide and narrow: nothing runs into anything, and every colour has a name."""

from __future__ import annotations

import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from reports.panel import drawn
from reports.registry import drawn_sections
from reports.style import NARROW, legend_columns, saved, styled
from reports.svg import size_of
from tests.reports.legible import colliding_ticks, texts_over_each_other, unnamed_colors


@pytest.fixture(scope="module")
def panels(results):
    return {name: panel for section in drawn_sections(results)[0] for name, panel in section.panels.items()}


@pytest.fixture(scope="module", params=["wide", "narrow"])
def figures(panels, request):
    return {name: panel.figure.narrow() if request.param == "narrow" else panel.figure for name, panel in panels.items()}


def test_ticks_do_not_collide(figures):
    with styled():
        assert {name: found for name, figure in figures.items() if (found := colliding_ticks(figure))} == {}


def test_legends_titles_and_names_of_axes_are_apart(figures):
    with styled():
        assert {name: found for name, figure in figures.items() if (found := texts_over_each_other(figure))} == {}


def test_every_color_is_named(figures):
    assert {name: found for name, figure in figures.items() if (found := unnamed_colors(figure))} == {}


def test_narrow_figures_fit_a_phone(panels):
    for name, panel in panels.items():
        width, _ = size_of(saved(panel.figure.narrow(), "svg"))
        assert width <= NARROW * 72 * 1.15, name


def test_axes_beside_each_other_are_stacked_in_their_order():
    def draw(axes):
        assert np.shape(axes) == (2, 3)
        for number, ax in enumerate(axes.ravel()):
            ax.set_title(str(number))

    narrow = drawn(draw, (9, 4), nrows=2, ncols=3).narrow()
    assert [ax.get_title() for ax in narrow.axes] == list("012345")
    tops = [ax.get_position().y1 for ax in narrow.axes]
    assert tops == sorted(tops, reverse=True)
    assert narrow.get_figwidth() == NARROW


def test_what_is_hard_to_read_is_found():
    figure = Figure(figsize=(2, 2))
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], color="#123456")
    ax.set_xticks([0, 0.01], ["a long name", "another one"])
    ax.set_title("over\neach", y=0.99)
    ax.legend(handles=[], loc="upper center", bbox_to_anchor=(0.5, 1.1), title="other")
    assert colliding_ticks(figure) == [("a long name", "another one")]
    assert unnamed_colors(figure) == {"#123456"}
    assert texts_over_each_other(figure) == [("over\neach", "legend")]


def test_a_legend_has_as_many_columns_as_fit():
    ax = Figure(figsize=(NARROW, 3)).subplots()
    assert legend_columns(["a", "b", "c"], ax) == 3
    assert legend_columns(["x" * 30, "y" * 30], ax) == 1
    assert legend_columns(["x" * 30, "y" * 30], Figure(figsize=(8, 3)).subplots()) == 2


def test_the_summary_has_at_most_three_numbers_a_sentence(panels):
    """Sizes of cohorts, which are percents, and names of models are not counted."""
    for name, panel in panels.items():
        if panel.is_headline:
            for sentence in re.split(r"(?<=\.) (?=[A-Z0-9])", panel.brief or panel.finding):
                assert len(re.findall(r"(?<![\w-])[−+]?\d[\d.,]*(?![\d.,]*%)", sentence)) <= 3, (name, sentence)
