"""Interval plots by structure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from reports.figures.intervals import interval_plot, quantile_plot, spread_plot

TABLE = pd.DataFrame(
    {
        "upos": ["DET", "NOUN", "DET", "NOUN", "DET"],
        "cohort": ["top", "top", "random", "random", "none"],
        "d": [0.4, 0.1, 0.0, 0.2, 9.0],
        "d_lower": [0.3, 0.0, -0.1, 0.1, 9],
        "d_upper": [0.6, 0.2, 0.1, 0.3, 9],
    }
)


@pytest.fixture
def ax():
    return Figure().subplots()


def test_dots_and_whiskers_are_at_their_values(ax):
    interval_plot(TABLE, "upos", "cohort", "d", ax, colors={"top": "red", "random": "blue"}, label="change", reference=0)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["NOUN", "DET"]
    assert [container.get_label() for container in ax.containers] == ["top", "random"]
    top = ax.containers[0]
    assert top[0].get_xdata().tolist() == [0.4, 0.1]
    np.testing.assert_allclose(top[2][0].get_segments()[0][:, 0], [0.3, 0.6])
    assert ax.get_xlabel() == "change"
    assert ax.get_legend() is not None


def test_a_long_name_has_several_lines_and_keeps_its_mark(ax):
    names = {
        "DET": "perplexity-matched 1%, all layers, layers 0 to 1, chosen at the last checkpoint (not matched)",
        "NOUN": "x" * 50,
    }
    table = TABLE.replace({"upos": names})
    interval_plot(table, "upos", "cohort", "d", ax, colors={"top": "red"}, label="", reference=0)
    cut, marked = (text.get_text() for text in ax.get_yticklabels())
    assert marked == "perplexity-matched 1%, all layers,\nlayers 0 to 1, chosen at… (not\nmatched)"
    assert cut == "x" * 40 + "…"


def test_dots_lie_on_the_row_of_their_category(ax):
    """A row of dots for each level, around the tick; on the tick where the categories are the levels."""
    interval_plot(TABLE, "upos", "cohort", "d", ax, colors={"top": "red", "random": "blue"}, label="", reference=0)
    ticks = ax.get_yticks()
    for container in ax.containers:
        assert np.abs(container[0].get_ydata() - ticks[[1, 0]]).max() < 0.2
    alone = Figure().subplots()
    table = TABLE.drop_duplicates("cohort")
    interval_plot(table, "cohort", "cohort", "d", alone, colors=dict.fromkeys(table["cohort"], "red"), label="", reference=0)
    assert [container[0].get_ydata().tolist() for container in alone.containers] == [[2.0], [1.0], [0.0]]
    assert [text.get_text() for text in alone.get_yticklabels()] == ["none", "random", "top"]


def test_an_interval_of_no_width_has_an_open_dot(ax):
    interval_plot(TABLE, "upos", "cohort", "d", ax, colors={"top": "red", "none": "black"}, label="", reference=0)
    dots = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
    assert [line.get_xdata().tolist() for line in dots] == [[], [9.0]]


def test_other_bounds_may_be_named(ax):
    table = TABLE.assign(low=TABLE["d"] - 1, high=TABLE["d"] + 1)
    interval_plot(table, "upos", "cohort", "d", ax, colors={"top": "red"}, label="", reference=0, bounds=("low", "high"))
    np.testing.assert_allclose(ax.containers[0][2][0].get_segments()[0][:, 0], [-0.6, 1.4])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["top"]


def test_long_and_foreign_names_are_cut_and_spelled_out(ax):
    table = TABLE.assign(upos=TABLE["upos"].replace({"DET": "\u202e" + "x" * 100}))
    interval_plot(table, "upos", "cohort", "d", ax, colors={"top": "red"}, label="", reference=0)
    label = ax.get_yticklabels()[1].get_text().strip()
    assert label.startswith("<202E>xxx")
    assert len(label) <= 41


def test_residual_plots(ax):
    quantile_plot(pd.DataFrame({"normal": [-2.0, 0, 2], "residual": [-5.0, 0, 5]}), ax)
    assert ax.lines[1].get_ydata().tolist() == [-5, 0, 5]
    spread_plot(pd.DataFrame({"fitted": [0.0, 1], "residual_mean": [0.0, 0.1], "residual_sd": [1.0, 2]}), ax)
    assert ax.containers[0][0].get_ydata().tolist() == [0, 0.1]
