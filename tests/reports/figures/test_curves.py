"""Curves by structure."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.figure import Figure

from reports.figures.curves import by_layer, lines


@pytest.fixture
def ax():
    return Figure().subplots()


def cohorts(n_layers):
    means = {"checkpoint": [0, 10], "mean": [1.0, 2.0], "mean_lower": 0.5, "mean_upper": 2.5}
    frames = [
        pd.DataFrame({**means, "layer": layer, "cohort": cohort}) for layer in range(n_layers) for cohort in ("top", "rest")
    ]
    return pd.concat(frames, ignore_index=True)


def test_every_layer_and_cohort_has_a_line(ax):
    by_layer(cohorts(2), "distance", ax)
    assert {line.get_label() for line in ax.lines} == {"layer 0, cohort", "layer 0, rest", "layer 1, cohort", "layer 1, rest"}
    assert ax.get_xscale() == "symlog"
    assert ax.get_ylabel() == "distance"


def test_rows_over_all_layers_are_no_layer(ax):
    table = cohorts(2)
    by_layer(pd.concat([table, table.assign(layer=-1)], ignore_index=True), "distance", ax)
    assert len(ax.lines) == 4


def test_many_layers_share_a_short_legend(ax):
    by_layer(cohorts(30), "distance", ax)
    assert len(ax.lines) == 60
    assert len(ax.get_legend().get_texts()) == 6
    assert len({line.get_color() for line in ax.lines}) == 30


def test_lines_are_sorted_and_coloured_in_the_order_asked(ax):
    table = pd.DataFrame({"x": [2, 1, 1, 2], "level": ["b", "b", "a", "a"], "y": [4.0, 3, 1, 2], "lower": 0.0, "upper": 5.0})
    lines(table, "x", "y", "level", ax, colors={"a": "red", "b": "blue", "c": "green"}, reference=1)
    drawn = [line for line in ax.lines if line.get_label() in "abc"]
    assert [(line.get_label(), line.get_ydata().tolist(), line.get_color()) for line in drawn] == [
        ("a", [1, 2], "red"),
        ("b", [3, 4], "blue"),
    ]
    assert len(ax.collections) == 2
