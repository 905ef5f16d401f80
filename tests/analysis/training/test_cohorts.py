"""Means and overlaps of cohorts against known answers; checkpoints that repeat weights; wrong requests."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import t

from actstore.errors import SelectionError, StoreError, UnknownNameError
from analysis import cohort_overlap, cohort_trajectory, emergence, weight_dissimilarity
from analysis.results import ENTANGLEMENT, load_dataset
from tests.analysis.training.helpers import SELECTION, over_training, selection


def test_means_by_cohort_without_duplicates():
    values = np.arange(24, dtype=float).reshape(3, 2, 4)
    values[2, 0, 3] = np.nan
    table = cohort_trajectory(over_training(values, [0, 10, 20], [-1, 0, -1]), SELECTION)
    table = table.set_index(["checkpoint", "layer", "cohort"])
    assert sorted(set(table.index.get_level_values(0))) == [0, 20]
    assert table.loc[(0, 0, "top"), "mean"] == 0.5
    assert table.loc[(0, 1, "rest"), "mean"] == 4.5
    assert table.loc[(20, 0, "rest"), "mean"] == 18
    assert table.loc[(20, 0, "rest"), "n_neurons"] == 1
    row = table.loc[(0, 0, "top")]
    np.testing.assert_allclose(row["mean_upper"] - row["mean"], t.ppf(0.975, 1) * np.std([0, 1], ddof=1) / np.sqrt(2))
    assert (row["n_clusters"], row["cluster"]) == (2, "neuron")


def test_the_mean_over_all_layers_has_the_interval_of_all_its_neurons():
    """Two layers give what one layer of all their neurons gives; averaged bounds of the layers would be wider."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 2, 40))
    cohort = selection({0: tuple(range(12)), 1: tuple(range(20, 32))}, 40)
    together = selection({0: (*range(12), *range(60, 72))}, 80)
    table = cohort_trajectory(over_training(values, [0, 10, 20]), cohort)
    whole = table[table["layer"] == -1].reset_index(drop=True)
    expected = cohort_trajectory(over_training(values.reshape(3, 1, 80), [0, 10, 20]), together)
    pd.testing.assert_frame_equal(whole, expected[expected["layer"] == -1].reset_index(drop=True))
    pd.testing.assert_frame_equal(
        whole.drop(columns="layer"), expected[expected["layer"] == 0].drop(columns="layer").reset_index(drop=True)
    )
    top = whole[whole["cohort"] == "top"].set_index("checkpoint")
    np.testing.assert_allclose(top["mean"], np.concatenate([values[:, 0, :12], values[:, 1, 20:32]], axis=1).mean(axis=1))
    by_layer = table[(table["layer"] >= 0) & (table["cohort"] == "top")].groupby("checkpoint")
    averaged = by_layer["mean_upper"].mean() - by_layer["mean_lower"].mean()
    assert (top["mean_upper"] - top["mean_lower"] < 0.85 * averaged).all()


def test_entanglement_grows_with_training(run_folder):
    """The trained model has neurons further from Gaussian than the untrained one, in every layer."""
    distance = load_dataset(run_folder / "analysis", ENTANGLEMENT)["wasserstein_distance"]
    top = distance.quantile(0.99, "neuron")
    assert (top.sel(checkpoint=4000) > 1.5 * top.sel(checkpoint=0)).all()


def test_overlap_by_hand():
    statistic = over_training([[[5, 4, 3, 2, 1.0]], [[1, 2, 3, 4, 5.0]], [[5, 1, 4, 1, 1.0]]], [0, 1, 2])
    overlap = cohort_overlap(statistic, 0.5)
    assert overlap["overlap_frac"].dims == ("checkpoint", "other_checkpoint", "layer")
    np.testing.assert_array_equal(overlap["overlap_frac"].isel(layer=0), [[1, 0, 0.5], [0, 1, 0], [0.5, 0, 1]])
    assert overlap.attrs == {"chance": 0.4, "fraction": 0.5}


def test_overlap_is_one_with_the_same_and_chance_with_independent_ones():
    values = np.random.default_rng(3).normal(size=(30, 2, 500))
    overlap = cohort_overlap(over_training(values, range(30)), 0.05)
    pairs = overlap["overlap_frac"].values[np.triu_indices(30, 1)]
    assert abs(pairs.mean() - overlap.chance) < 4 * np.sqrt(0.05 * 0.95 / 25 / pairs.size)
    xr.testing.assert_identical(cohort_overlap(over_training(np.exp(values), range(30)), 0.05), overlap)
    same = np.broadcast_to(values[:1], (3, 2, 500))
    assert (cohort_overlap(over_training(same, range(3)), 0.05)["overlap_frac"] == 1).all()
    relabelled = values[..., np.random.default_rng(4).permutation(500)]
    xr.testing.assert_identical(cohort_overlap(over_training(relabelled, range(30)), 0.05), overlap)


def test_overlap_of_ties_and_of_too_few_values():
    ties = np.array([[[1.0, 1, 1, 1]], [[2, 2, 1, 1]]])
    assert (cohort_overlap(over_training(ties, [0, 1]), 0.5)["overlap_frac"] == 1).all()
    ties[1, 0, :3] = [np.nan, 1, np.nan]
    assert cohort_overlap(over_training(ties, [0, 1]), 0.5)["overlap_frac"].values[0, 1] == 0.5
    ties[1, 0, 3] = np.nan
    np.testing.assert_array_equal(
        cohort_overlap(over_training(ties, [0, 1]), 0.5)["overlap_frac"].isel(layer=0), [[1, np.nan], [np.nan, np.nan]]
    )


@pytest.mark.parametrize(
    "function",
    [
        lambda array: cohort_trajectory(array.isel(hidden=0), SELECTION),
        lambda array: emergence(array.isel(hidden=0), SELECTION),
        lambda array: cohort_overlap(array.isel(hidden=0), 0.5).to_dataframe(),
        lambda array: weight_dissimilarity(array, SELECTION),
        lambda array: weight_dissimilarity(array, SELECTION, reference="previous"),
    ],
    ids=["trajectory", "emergence", "overlap", "last", "previous"],
)
def test_duplicates_do_not_count(function):
    values = np.random.default_rng(7).random((5, 2, 3, 4))
    values[[1, 4]] *= 100
    table = function(over_training(values, [0, 1, 2, 4, 8], [-1, 0, -1, -1, 2]))
    pd.testing.assert_frame_equal(table, function(over_training(values[[0, 2, 3]], [0, 2, 4])))


def test_wrong_requests():
    statistic = over_training(np.ones((2, 2, 4)), [0, 1], [-1, 0])
    with pytest.raises(StoreError, match="two distinct checkpoints"):
        emergence(statistic, SELECTION)
    for function in (cohort_trajectory, emergence, weight_dissimilarity):
        with pytest.raises(SelectionError, match="layers of 9 neurons"):
            function(statistic, selection({0: (0,)}, 9))
    with pytest.raises(SelectionError, match="no selected neuron has a value"):
        emergence(over_training(np.full((2, 2, 4), np.nan), [0, 1]), SELECTION)
    for fraction in (0.1, 1.5):
        with pytest.raises(SelectionError, match="larger fraction"):
            cohort_overlap(statistic, fraction)
    with pytest.raises(UnknownNameError, match=r"unknown reference 'lest': did you mean 'last'"):
        weight_dissimilarity(statistic, SELECTION, reference="lest")
