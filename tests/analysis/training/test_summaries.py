"""Sums of the tables of cohorts against numbers that are read off."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import cohort_trajectory, emergence, weight_dissimilarity
from analysis.training.summaries import (
    half_settled_steps,
    of_all_layers,
    of_single_layers,
    separate_layers,
    steepest_rise,
)
from tests.analysis.training.helpers import SELECTION, everything, over_training, selection


def test_rows_over_all_layers_and_over_each():
    table = cohort_trajectory(over_training(np.arange(24.0).reshape(3, 2, 4), [0, 10, 20]), SELECTION)
    top = of_all_layers(table.iloc[::-1], "top")
    assert top["checkpoint"].tolist() == [0, 10, 20]
    assert top["mean"].tolist() == [3.5, 11.5, 19.5]
    assert (top["layer"] == -1).all()
    single = of_single_layers(table)
    assert set(single["layer"]) == {0, 1}
    assert len(single) + 2 * len(top) == len(table)


def test_the_steepest_rise_is_that_of_all_layers():
    values = np.zeros((3, 2, 4))
    values[:, 0], values[:, 1] = [[0], [1], [1]], [[0], [0], [9]]
    whole = everything(4, 2)
    assert steepest_rise(emergence(over_training(values, [0, 1, 3]), whole)) == (1, 3)
    assert steepest_rise(emergence(over_training(-values, [0, 1, 3]), whole)) is None
    assert steepest_rise(emergence(over_training(0 * values, [0, 1, 3]), whole)) is None


def test_half_of_the_change_of_direction():
    """Angles to the final weights of 90°, 60° and 0°: dissimilarities of 1, 0.5 and 0; the second layer takes longer."""
    angles = np.radians([[90, 90], [60, 90], [0, 0]])
    weight = np.stack([np.cos(angles), np.sin(angles)], axis=-1)[..., None]
    table = weight_dissimilarity(over_training(weight, [0, 8, 64]), everything(1, 2))
    table.loc[table["checkpoint"] == 8, "mean"] -= 1e-12
    assert half_settled_steps(table, "top").to_dict() == {0: 8, 1: 64}
    assert half_settled_steps(table, "rest").isna().all()


def test_layers_whose_intervals_do_not_overlap():
    values = np.random.default_rng(0).normal(size=(1, 4, 40))
    values[0, 1, :8] += 9
    values[0, 2, :8] -= 9
    cohort = selection({layer: tuple(range(8)) for layer in range(3)}, 40)
    table = cohort_trajectory(over_training(values, [5]), cohort)
    assert separate_layers(table, "mean", "top") == ([1], [2])
    assert separate_layers(table[table["cohort"] == "rest"], "mean", "top") == ([], [])
    without = table.assign(mean_lower=np.nan, mean_upper=np.nan)
    assert separate_layers(pd.DataFrame(without), "mean", "top") == ([], [])
