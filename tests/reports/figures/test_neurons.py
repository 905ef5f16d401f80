"""Figures of neurons by structure: what is drawn where, with which labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from reports.figures import neurons as figures
from reports.style import COLORS, POOLS

NEURONS = pd.DataFrame(
    {
        "layer": [0, 0, 1, 1],
        "neuron": [0, 1, 0, 1],
        "wasserstein_distance": [0.1, 0.5, 0.2, 0.7],
        "skewness": [0.0, 1, 2, 3],
        "selected": [False, True, False, True],
    }
)


@pytest.fixture
def ax():
    return Figure().subplots()


def test_selected_neurons_are_marked_at_their_height(ax):
    figures.wasserstein_by_layer(NEURONS, ax)
    _, rest, selected = ax.collections
    assert selected.get_offsets()[:, 1].tolist() == [0.5, 0.7]
    assert rest.get_offsets()[:, 1].tolist() == [0.1, 0.2]
    assert np.round(selected.get_offsets()[:, 0]).tolist() == [0, 1]
    assert to_rgb(selected.get_facecolor()[0]) == pytest.approx(to_rgb(COLORS["top"]))
    assert ax.get_xlabel() == "layer"


def test_scatter_has_both_statistics_and_is_an_image_when_large(ax):
    figures.statistic_scatter(NEURONS, "skewness", "wasserstein_distance", ("skewness", "distance"), ax)
    assert ax.collections[2].get_offsets().tolist() == [[1, 0.5], [3, 0.7]]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("skewness", "distance")
    assert not ax.collections[1].get_rasterized()
    many = pd.concat([NEURONS] * 2000, ignore_index=True)
    figures.statistic_scatter(many, "skewness", "wasserstein_distance", ("", ""), ax)
    assert ax.collections[-2].get_rasterized()
    assert not ax.collections[-1].get_rasterized()


def test_histogram_shades_what_lies_below_raw_zero(ax):
    table = pd.DataFrame({"left": [-2.0, 0.0], "right": [0.0, 2.0], "density": [0.3, 0.2], "zero": 0.5})
    figures.neuron_histogram(table, ax)
    (span,) = [patch for patch in ax.patches if patch.get_label() == "negative pre-activations"]
    assert (span.get_x(), span.get_x() + span.get_width()) == (-3.5, 0.5)


def test_pairs_lie_at_their_values_with_their_words(ax):
    pairs = pd.DataFrame(
        {
            "preactivation_a": [-2.0, -0.5],
            "preactivation_b": [-1.0, -3.0],
            "before_a": ["in ", ""],
            "text_a": ["the", "a"],
            "after_a": [" house", ""],
            "before_b": ["", "x"],
            "text_b": ["$b_", "\u202eb"],
            "after_b": ["", ""],
        }
    )
    figures.separated_pairs(pairs, ax)
    assert ax.lines[0].get_xdata().tolist() == [-2, -0.5]
    assert ax.lines[1].get_xdata().tolist() == [-1, -3]
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["in [the] house", "[$b_]", "[a]", "x[<202E>b]"]
    low, high = ax.get_xlim()
    assert low < -3
    assert high > -0.5


def test_share_by_layer_has_a_row_of_dots_a_cohort(ax):
    table = pd.DataFrame(
        {
            "layer": [0, 1] * 2,
            "cohort": ["top", "top", "rest", "rest"],
            "mean": [0.5, 0.6, 0.7, 0.8],
            "mean_lower": 0.4,
            "mean_upper": 0.9,
        }
    )
    figures.share_by_layer(table, ax)
    assert [container[0].get_ydata().tolist() for container in ax.containers] == [[0.5, 0.6], [0.7, 0.8]]
    assert ax.get_ylim() == (0, 1)


def test_pair_signs_draw_one_kind_for_every_pool(ax):
    table = pd.DataFrame(
        {"layer": 0, "pool": list(POOLS) * 2, "signs": ["NN"] * 3 + ["PP"] * 3, "pair_frac": [0.5, 0.2, 0.1, 0.9, 0.9, 0.9]}
    )
    table = table.assign(pair_frac_lower=table["pair_frac"] - 0.05, pair_frac_upper=table["pair_frac"] + 0.05)
    figures.pair_signs(table, "NN", ax)
    assert [container[0].get_ydata().tolist() for container in ax.containers] == [[0.5], [0.2], [0.1]]
    assert [container.get_label() for container in ax.containers] == [label for label, *_ in POOLS.values()]
    assert ax.get_title() == "negative–negative"
