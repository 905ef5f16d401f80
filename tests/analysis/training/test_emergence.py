"""Emergence against known answers and planted rises."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from analysis import emergence
from tests.analysis.training.helpers import SELECTION, everything, over_training, selection

LOG_STEPS = [0, *(2**power for power in range(11)), 2000, 4000, 8000, 16000]


def curves(*neurons, steps=(0, 1, 3, 7)):
    """Curves (neuron, checkpoint) of one layer, all selected."""
    return over_training(np.array(neurons, dtype=float).T[:, None], list(steps)), everything(len(neurons))


def test_steepness_is_per_doubling():
    """A rise of 3 over two doublings is less steep than one of 2 over one."""
    row = emergence(*curves([1, 4, 6], [3, 6, 8], steps=(0, 3, 7))).iloc[0]
    assert row[["step_from", "step_to", "rise", "slope", "half_rise_step", "n_neurons"]].tolist() == [3, 7, 2, 2, 3, 2]


def test_bounds_of_a_slope_between_two_steps_are_student_s():
    """With two checkpoints the slope is a mean over neurons: its interval is the exact one, of five neurons."""
    heights = [1.0, 2.0, 2.5, 4.0, 7.0]
    row = emergence(*curves(*([0, height] for height in heights), steps=(0, 1))).iloc[0]
    reach = t.ppf(0.975, 4) * np.std(heights, ddof=1) / np.sqrt(5)
    assert row["slope"] == pytest.approx(np.mean(heights))
    np.testing.assert_allclose([row["slope_lower"], row["slope_upper"]], np.mean(heights) + reach * np.array([-1, 1]))
    assert (row["n_clusters"], row["cluster"]) == (5, "neuron")


def test_bounds_of_a_step_are_those_of_the_cohorts_mean_curve():
    """Half of the neurons rise early and half late: the mean's half may be done at any of three checkpoints."""
    early, late = [0, 8, 8, 8], [0, 0, 1, 9]
    row = emergence(*curves(*[early] * 4, *[late] * 4)).iloc[0]
    assert row[["step_to", "half_rise_step"]].tolist() == [1, 3]
    assert row[["step_to_lower", "half_rise_step_lower"]].tolist() == [1, 1]
    assert row[["step_to_upper", "half_rise_step_upper"]].tolist() == [7, 7]
    alike = emergence(*curves(*[early] * 5)).iloc[0]
    assert alike[["step_to_lower", "step_to_upper", "half_rise_step_lower", "half_rise_step_upper"]].tolist() == [1] * 4
    few = emergence(*curves(*[early] * 4)).iloc[0]
    assert few[["step_to_lower", "step_to_upper", "half_rise_step_lower", "half_rise_step_upper"]].isna().all()
    assert few["slope_lower"] == few["slope_upper"] == 8


def test_a_mean_that_never_rises_has_no_half():
    rising, falling = [0, 1, 2, 5], [3, 2, 1, 0]
    row = emergence(*curves(*[rising] * 3, *[falling] * 3)).iloc[0]
    assert row["half_rise_step"] == 7
    assert np.isnan(row["half_rise_step_upper"])
    row = emergence(*curves(*[falling] * 6)).iloc[0]
    assert row[["half_rise_step", "half_rise_step_lower", "half_rise_step_upper"]].isna().all()
    assert row["slope"] == row["slope_upper"] == -1


def test_a_planted_emergence_is_found():
    """Neurons rise as sigmoids of log2(1 + step) around a step of their layer's own."""
    rng = np.random.default_rng(0)
    doublings = np.log2(1 + np.array(LOG_STEPS))[:, None, None]
    n_neurons, step_to = 60, np.array([64, 512])
    centre = np.log2(step_to) - 0.5 + rng.normal(scale=1.5, size=(n_neurons, 2))
    values = rng.uniform(0.5, 1.5, n_neurons) / (1 + np.exp(-2 * (doublings - centre.T)))
    values += 0.1 + rng.normal(scale=0.02, size=values.shape)
    table = emergence(over_training(values, LOG_STEPS), everything(n_neurons, 2)).set_index("layer")
    assert table.index.tolist() == [0, 1, -1]
    assert table["n_neurons"].tolist() == [n_neurons, n_neurons, 2 * n_neurons]
    for name in ("step_to", "half_rise_step"):
        of_layer = table.loc[[0, 1]]
        assert (of_layer[f"{name}_lower"] <= step_to).all()
        assert (of_layer[f"{name}_upper"] >= step_to).all()
        assert (of_layer[f"{name}_upper"] <= 4 * of_layer[f"{name}_lower"]).all()
    assert (table["slope_lower"] < table["slope"]).all()
    assert (table["slope"] < table["slope_upper"]).all()
    np.testing.assert_allclose(table["slope"], table["rise"] / np.log2((1 + table["step_to"]) / (1 + table["step_from"])))


@pytest.mark.parametrize("n_neurons", [5, 30])
def test_bounds_cover_the_slope_that_the_neurons_were_drawn_with(n_neurons):
    covered = 0
    for seed in range(200):
        heights = np.random.default_rng(seed).normal(2.0, 1.0, n_neurons)
        row = emergence(*curves(*([0, height] for height in heights), steps=(0, 1))).iloc[0]
        covered += row["slope_lower"] <= 2 <= row["slope_upper"]
    assert 0.9 <= covered / 200 <= 0.98


def test_all_layers_together_are_one_cohort():
    values = np.random.default_rng(1).random((4, 2, 4))
    pooled = np.concatenate([values[:, :1, :2], values[:, 1:, 2:]], axis=2)
    table = emergence(over_training(values, [0, 1, 2, 4]), SELECTION)
    expected = emergence(over_training(pooled, [0, 1, 2, 4]), everything(4))
    pd.testing.assert_series_equal(table.iloc[-1], expected.iloc[-1], check_names=False)
    alone = emergence(over_training(values, [0, 1, 2, 4]).isel(layer=[1]), SELECTION)
    pd.testing.assert_series_equal(alone.iloc[0], table.iloc[1], check_names=False)


def test_emergence_of_neurons_with_all_values():
    values = np.random.default_rng(2).random((3, 2, 4))
    whole = over_training(values, [0, 1, 2])
    values[1, 0, 1] = values[0, 1, 2] = values[2, 1, 3] = np.nan
    table = emergence(over_training(values, [0, 1, 2]), SELECTION)
    expected = emergence(whole, selection({0: (0,)}))
    pd.testing.assert_frame_equal(table, expected)
    assert table["n_neurons"].tolist() == [1, 1]
    assert table[[name for name in table if name.endswith(("_lower", "_upper"))]].isna().all(axis=None)


def test_checkpoints_a_small_part_of_a_doubling_apart_do_not_hide_the_rise():
    """Of 154 checkpoints as Pythia's, whose late ones are 0.01 doublings apart."""
    steps = np.array([0, *(2**power for power in range(10)), *range(1000, 144_000, 1000)])
    rng = np.random.default_rng(0)
    curve = 0.3 / (1 + np.exp(-3 * (np.log2(1 + steps) - 12)))  # steepest at step 4095
    values = curve[:, None, None] + 0.005 * rng.normal(size=(len(steps), 1, 30))
    row = emergence(over_training(values, steps), selection({0: tuple(range(15))}, 30)).set_index("layer").loc[0]
    assert 2048 <= row["step_from"] < row["step_to"] <= 8000
    assert row["step_to_lower"] <= row["step_to"] <= row["step_to_upper"] <= 8000
    assert 4000 <= row["half_rise_step"] <= 5000
