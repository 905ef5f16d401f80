from __future__ import annotations

import numpy as np
import xarray as xr

from actstore.schema import Selection
from analysis import cohort_trajectory

SELECTION = Selection({0: (0, 1), 1: (2, 3)}, "top", "wasserstein_distance", 0.5, "m", "", 20, 4)


def test_means_by_cohort_without_duplicates():
    values = np.arange(24, dtype=float).reshape(3, 2, 4)
    values[2, 0, 3] = np.nan
    statistic = xr.DataArray(
        values, dims=("checkpoint", "layer", "neuron"),
        coords={"checkpoint": [0, 10, 20], "layer": [0, 1], "duplicate_of": ("checkpoint", [-1, 0, -1])},
    )  # fmt: skip
    table = cohort_trajectory(statistic, SELECTION).set_index(["checkpoint", "layer", "cohort"])
    assert sorted(set(table.index.get_level_values(0))) == [0, 20]
    assert table.loc[(0, 0, "top"), "mean"] == 0.5
    assert table.loc[(0, 1, "rest"), "mean"] == 4.5
    assert table.loc[(20, 0, "rest"), "mean"] == 18
    assert table.loc[(20, 0, "rest"), "n_neurons"] == 1
    row = table.loc[(0, 0, "top")]
    np.testing.assert_allclose(row["mean_upper"] - row["mean"], 1.96 * np.std([0, 1], ddof=1) / np.sqrt(2))


def test_entanglement_grows_with_training(run_folder):
    """The trained model has neurons further from Gaussian than the untrained one, in every layer."""
    from analysis.results import load_entanglement

    found = load_entanglement(run_folder / "analysis")["wasserstein_distance"]
    top = found.quantile(0.99, "neuron")
    assert (top.sel(checkpoint=4000) > 1.5 * top.sel(checkpoint=0)).all()
