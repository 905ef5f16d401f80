from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import t
from xarray.core.indexing import IndexingSupport, LazilyIndexedArray, explicit_indexing_adapter

from actstore.errors import SelectionError, StoreError, UnknownNameError
from actstore.selection.selection import Selection
from analysis import cohort_overlap, cohort_trajectory, emergence, weight_dissimilarity
from analysis.results import ENTANGLEMENT, load_dataset

LOG_STEPS = [0, *(2**power for power in range(11)), 2000, 4000, 8000, 16000]


def selection(neurons, n_neurons=4):
    return Selection(neurons, "top", "wasserstein_distance", 0.5, "m", "site", "", 20, n_neurons)


SELECTION = selection({0: (0, 1), 1: (2, 3)})


def over_training(values, steps, duplicate_of=None):
    """(checkpoint, layer, neuron), or with `hidden`, as a store has it."""
    dims = ("checkpoint", "layer", *(("hidden",) if np.ndim(values) == 4 else ()), "neuron")
    coords = {"checkpoint": steps, "layer": range(np.shape(values)[1])}
    return xr.DataArray(values, coords | {"duplicate_of": ("checkpoint", duplicate_of or [-1] * len(steps))}, dims)


def curves(*neurons, steps=(0, 1, 3, 7)):
    """Curves (neuron, checkpoint) of one layer, all selected."""
    return over_training(np.array(neurons, dtype=float).T[:, None], list(steps)), everything(len(neurons))


def everything(n_neurons, n_layers=1):
    return selection({layer: tuple(range(n_neurons)) for layer in range(n_layers)}, n_neurons)


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
    found = load_dataset(run_folder / "analysis", ENTANGLEMENT)["wasserstein_distance"]
    top = found.quantile(0.99, "neuron")
    assert (top.sel(checkpoint=4000) > 1.5 * top.sel(checkpoint=0)).all()


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


def test_what_never_rises_has_no_half():
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
    found = emergence(over_training(values, [0, 1, 2, 4]), SELECTION)
    expected = emergence(over_training(pooled, [0, 1, 2, 4]), everything(4))
    pd.testing.assert_series_equal(found.iloc[-1], expected.iloc[-1], check_names=False)
    alone = emergence(over_training(values, [0, 1, 2, 4]).isel(layer=[1]), SELECTION)
    pd.testing.assert_series_equal(alone.iloc[0], found.iloc[1], check_names=False)


def test_emergence_of_neurons_with_all_values():
    values = np.random.default_rng(2).random((3, 2, 4))
    whole = over_training(values, [0, 1, 2])
    values[1, 0, 1] = values[0, 1, 2] = values[2, 1, 3] = np.nan
    table = emergence(over_training(values, [0, 1, 2]), SELECTION)
    expected = emergence(whole, selection({0: (0,)}))
    pd.testing.assert_frame_equal(table, expected)
    assert table["n_neurons"].tolist() == [1, 1]
    assert table[[name for name in table if name.endswith(("_lower", "_upper"))]].isna().all(axis=None)


def test_overlap_by_hand():
    statistic = over_training([[[5, 4, 3, 2, 1.0]], [[1, 2, 3, 4, 5.0]], [[5, 1, 4, 1, 1.0]]], [0, 1, 2])
    found = cohort_overlap(statistic, 0.5)
    assert found["overlap_frac"].dims == ("checkpoint", "other_checkpoint", "layer")
    np.testing.assert_array_equal(found["overlap_frac"].isel(layer=0), [[1, 0, 0.5], [0, 1, 0], [0.5, 0, 1]])
    assert found.attrs == {"chance": 0.4, "fraction": 0.5}


def test_overlap_is_one_with_the_same_and_chance_with_independent_ones():
    values = np.random.default_rng(3).normal(size=(30, 2, 500))
    found = cohort_overlap(over_training(values, range(30)), 0.05)
    pairs = found["overlap_frac"].values[np.triu_indices(30, 1)]
    assert abs(pairs.mean() - found.chance) < 4 * np.sqrt(0.05 * 0.95 / 25 / pairs.size)
    xr.testing.assert_identical(cohort_overlap(over_training(np.exp(values), range(30)), 0.05), found)
    same = np.broadcast_to(values[:1], (3, 2, 500))
    assert (cohort_overlap(over_training(same, range(3)), 0.05)["overlap_frac"] == 1).all()
    relabelled = values[..., np.random.default_rng(4).permutation(500)]
    xr.testing.assert_identical(cohort_overlap(over_training(relabelled, range(30)), 0.05), found)


def test_overlap_of_ties_and_of_too_few_values():
    ties = np.array([[[1.0, 1, 1, 1]], [[2, 2, 1, 1]]])
    assert (cohort_overlap(over_training(ties, [0, 1]), 0.5)["overlap_frac"] == 1).all()
    ties[1, 0, :3] = [np.nan, 1, np.nan]
    assert cohort_overlap(over_training(ties, [0, 1]), 0.5)["overlap_frac"].values[0, 1] == 0.5
    ties[1, 0, 3] = np.nan
    np.testing.assert_array_equal(
        cohort_overlap(over_training(ties, [0, 1]), 0.5)["overlap_frac"].isel(layer=0), [[1, np.nan], [np.nan, np.nan]]
    )


def test_weights_by_hand():
    weight = over_training(
        [
            [[[1, 1, 3, 0], [0, 0, 4, 0]]],
            [[[0, 1, 3, 1], [2, 1, 4, 1]]],
            [[[-1, 0, -3, 2], [0, 5, -4, 2]]],
        ],
        [0, 4, 8],
    ).astype(np.float16)  # fmt: skip
    cohort = selection({0: (0, 1)})
    table = weight_dissimilarity(weight, cohort).set_index(["checkpoint", "cohort"])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(table.loc[(slice(None), "top"), "mean"], [1.5, 1 - half / 2, 0])
    np.testing.assert_allclose(table.loc[(slice(None), "rest"), "mean"], [2, 1, 0])
    assert table["n_neurons"].tolist() == [2, 1, 2, 2, 2, 2]
    row = table.loc[(0, "top")]
    np.testing.assert_allclose(row["mean_upper"] - row["mean"], t.ppf(0.975, 1) * np.std([2, 1], ddof=1) / np.sqrt(2))
    assert np.isnan(table.loc[(0, "rest"), "mean_lower"])
    table = weight_dissimilarity(weight, cohort, reference="previous").set_index(["checkpoint", "cohort"])
    np.testing.assert_allclose(table.loc[(slice(None), "top"), "mean"], [1 - half / 2, (1 + 1 - half) / 2])
    np.testing.assert_allclose(table.loc[(slice(None), "rest"), "mean"], [0, 1], atol=1e-15)


@pytest.mark.parametrize("reference", ["last", "previous"])
def test_lengths_and_labels_of_neurons_do_not_matter(reference):
    rng = np.random.default_rng(5)
    weight = rng.normal(size=(3, 2, 6, 8))
    cohort = selection({0: (0, 1, 2), 1: (5, 6)}, 8)
    expected = weight_dissimilarity(over_training(weight, [0, 1, 2]), cohort, reference=reference)
    scaled = over_training(weight * rng.uniform(0.01, 100, (3, 2, 1, 8)), [0, 1, 2])
    pd.testing.assert_frame_equal(weight_dissimilarity(scaled, cohort, reference=reference), expected)
    mirrored = selection({0: (5, 6, 7), 1: (1, 2)}, 8)
    relabelled = over_training(weight[..., ::-1], [0, 1, 2]).transpose("neuron", "layer", "hidden", "checkpoint")
    pd.testing.assert_frame_equal(weight_dissimilarity(relabelled, mirrored, reference=reference), expected)


class Recorded(xr.backends.BackendArray):
    """A stored array that keeps the size of every read."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.read_sizes = values, values.shape, values.dtype, []

    def __getitem__(self, key):
        return explicit_indexing_adapter(key, self.shape, IndexingSupport.BASIC, self.read)

    def read(self, key):
        self.read_sizes.append(self.values[key].size)
        return self.values[key]


@pytest.mark.parametrize("reference", ["last", "previous"])
def test_weights_are_read_one_layer_and_checkpoint_at_a_time(reference):
    values = np.random.default_rng(6).normal(size=(5, 2, 6, 4)).astype(np.float32)
    stored = Recorded(values)
    lazy = over_training(xr.Variable(tuple("clhn"), LazilyIndexedArray(stored)), range(5), [-1, 0, -1, -1, -1])
    found = weight_dissimilarity(lazy, SELECTION, reference=reference)
    expected = weight_dissimilarity(over_training(values[[0, 2, 3, 4]], [0, 2, 3, 4]), SELECTION, reference=reference)
    pd.testing.assert_frame_equal(found, expected)
    assert set(stored.read_sizes) == {6 * 4}
    assert len(stored.read_sizes) <= 2 * (4 + 1)


def test_weights_of_a_store_settle(store):
    weight = store["neuron_weight"]
    cohort = everything(store.sizes["neuron"], store.sizes["layer"])
    table = weight_dissimilarity(weight, cohort).query("cohort == 'top'").set_index(["checkpoint", "layer"])["mean"]
    first, last = (weight.sel(checkpoint=step).values.astype(np.float64) for step in (0, 4000))
    cosine = (first * last).sum(axis=1) / np.linalg.norm(first, axis=1) / np.linalg.norm(last, axis=1)
    np.testing.assert_allclose(table[0], 1 - cosine.mean(axis=1), rtol=1e-12)
    assert (table[4000] == 0).all()
    assert (table[64] < table[0]).all()


@pytest.mark.parametrize(
    "result",
    [
        lambda array: cohort_trajectory(array.isel(hidden=0), SELECTION),
        lambda array: emergence(array.isel(hidden=0), SELECTION),
        lambda array: cohort_overlap(array.isel(hidden=0), 0.5).to_dataframe(),
        lambda array: weight_dissimilarity(array, SELECTION),
        lambda array: weight_dissimilarity(array, SELECTION, reference="previous"),
    ],
    ids=["trajectory", "emergence", "overlap", "last", "previous"],
)
def test_duplicates_count_for_nothing(result):
    values = np.random.default_rng(7).random((5, 2, 3, 4))
    values[[1, 4]] *= 100
    found = result(over_training(values, [0, 1, 2, 4, 8], [-1, 0, -1, -1, 2]))
    pd.testing.assert_frame_equal(found, result(over_training(values[[0, 2, 3]], [0, 2, 4])))


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


def test_checkpoints_a_small_part_of_a_doubling_apart_do_not_hide_the_rise():
    """Of 154 checkpoints as Pythia's, whose late ones are 0.01 doublings apart."""
    steps = np.array([0, *(2**power for power in range(10)), *range(1000, 144_000, 1000)])
    rng = np.random.default_rng(0)
    curve = 0.3 / (1 + np.exp(-3 * (np.log2(1 + steps) - 12)))  # steepest at step 4095
    values = curve[:, None, None] + 0.005 * rng.normal(size=(len(steps), 1, 30))
    found = emergence(over_training(values, steps), selection({0: tuple(range(15))}, 30)).set_index("layer").loc[0]
    assert 2048 <= found["step_from"] < found["step_to"] <= 8000
    assert found["step_to_lower"] <= found["step_to"] <= found["step_to_upper"] <= 8000
    assert 4000 <= found["half_rise_step"] <= 5000
