"""Figures by structure: what is drawn where, with which labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from reports import figures
from reports.style import COLORS, styled, to_data_uri


@pytest.fixture
def ax():
    return Figure().subplots()


def test_selected_neurons_are_marked_at_their_height(ax):
    neurons = pd.DataFrame(
        {
            "layer": [0, 0, 1, 1],
            "neuron": [0, 1, 0, 1],
            "wasserstein_distance": [0.1, 0.5, 0.2, 0.7],
            "selected": [False, True, False, True],
        }
    )
    figures.wasserstein_by_layer(neurons, ax)
    rest, chosen = ax.collections
    assert chosen.get_offsets()[:, 1].tolist() == [0.5, 0.7]
    assert rest.get_offsets()[:, 1].tolist() == [0.1, 0.2]
    assert np.round(chosen.get_offsets()[:, 0]).tolist() == [0, 1]
    assert to_rgb(chosen.get_facecolor()[0]) == pytest.approx(to_rgb(COLORS["top"]))
    assert ax.get_xlabel() == "layer"


def test_histogram_shades_what_lies_below_raw_zero(ax):
    table = pd.DataFrame({"left": [-2.0, 0.0], "right": [0.0, 2.0], "density": [0.3, 0.2], "zero": 0.5})
    figures.neuron_histogram(table, ax)
    (span,) = [patch for patch in ax.patches if patch.get_label() == "negative pre-activations"]
    assert (span.get_x(), span.get_x() + span.get_width()) == (-3.5, 0.5)


def test_trajectory_has_a_line_for_every_layer_and_cohort(ax):
    table = pd.DataFrame({"checkpoint": [0, 10] * 4, "layer": [0] * 4 + [1] * 4, "cohort": ["top", "top", "rest", "rest"] * 2})
    table = table.assign(mean=range(8), mean_lower=0, mean_upper=9)
    figures.trajectory(table, ax)
    assert {line.get_label() for line in ax.lines} == {"layer 0, cohort", "layer 0, rest", "layer 1, cohort", "layer 1, rest"}
    assert ax.get_xscale() == "symlog"


def test_interval_plot_places_dots_and_whiskers(ax):
    table = pd.DataFrame({
        "upos": ["DET", "NOUN", "DET", "NOUN", "DET"], "cohort": ["top-0.01", "top-0.01", "random-0.01", "random-0.01", "none"],
        "rule": ["top", "top", "random", "random", "none"],
        "d": [0.4, 0.1, 0.0, 0.2, 9.0], "d_lower": [0.3, 0.0, -0.1, 0.1, 9], "d_upper": [0.6, 0.2, 0.1, 0.3, 9],
    })  # fmt: skip
    figures.interval_plot(table, "upos", "d", "change", 0, ax)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["NOUN", "DET"]
    assert {container.get_label() for container in ax.containers} == {"top-0.01", "random-0.01"}
    top = next(container for container in ax.containers if container.get_label() == "top-0.01")
    assert top[0].get_xdata().tolist() == [0.4, 0.1]
    whisker = top[2][0].get_segments()[0]
    np.testing.assert_allclose(whisker[:, 0], [0.3, 0.6])
    assert ax.get_xlabel() == "change"


def test_the_same_figure_gives_the_same_bytes():
    def draw():
        with styled():
            figure = Figure()
            figure.subplots().plot([1, 2], [3, 4])
            return to_data_uri(figure)

    assert draw() == draw()
