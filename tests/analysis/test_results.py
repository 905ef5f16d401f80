from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from actstore.errors import StoreError
from analysis import wasserstein_distance
from analysis.__main__ import main
from analysis.neurons.statistics import histogram, neuron_statistics
from analysis.results import ENTANGLEMENT, PAIRS, load_dataset, load_table, save_dataset, writing


def test_entanglement_leaves_the_sink_position_out(store):
    statistics = neuron_statistics(store.isel(layer=[0], checkpoint=[3]))
    text = store["preactivation"].isel(layer=0, checkpoint=3, token=store["position"].values > 0)
    np.testing.assert_allclose(statistics["wasserstein_distance"].values[0, 0], wasserstein_distance(text).values)
    assert statistics.attrs["n_tokens"] == int((store["position"] > 0).sum())
    assert statistics["wasserstein_distance"].attrs["units"] == "standard deviation"


def test_what_is_saved_is_what_was_computed(run_folder, store):
    statistics = load_dataset(run_folder / "analysis", ENTANGLEMENT)
    assert statistics["wasserstein_distance"].dims == ("checkpoint", "layer", "neuron")
    recomputed = neuron_statistics(store.isel(checkpoint=[-1]))
    np.testing.assert_array_equal(statistics["negative_frac"].values[-1:], recomputed["negative_frac"].values)
    assert statistics["duplicate_of"].values.tolist() == [-1, 0, -1, -1]


def test_tables_carry_the_selection(run_folder):
    neurons = load_table(run_folder / "analysis" / "neurons.csv")
    top = neurons[neurons["selected"]]
    assert top.groupby("layer").size().tolist() == [5, 5, 5, 5]
    rest = neurons[~neurons["selected"]]
    assert (top.groupby("layer")["wasserstein_distance"].min() >= rest.groupby("layer")["wasserstein_distance"].max()).all()


def test_histogram_is_a_density_that_marks_the_raw_zero(store):
    table = histogram(store, 4000, 1, 7)
    assert (table["density"] * (table["right"] - table["left"])).sum() == pytest.approx(1)
    values = store["preactivation"].sel(checkpoint=4000, layer=1, neuron=7).values[store["position"].values > 0].astype(float)
    below = ((values - values.mean()) / values.std() < table["zero"].iloc[0]).mean()
    assert below == pytest.approx((values < 0).mean())


def test_one_command_at_a_time_writes_a_results_folder(run_folder, tmp_path, capsys):
    options = ["select", "--results", str(tmp_path / "r")]
    with writing(tmp_path / "r"):
        assert main(options) == 2
    assert "being written by another process" in capsys.readouterr().err
    assert not (tmp_path / "r").exists(), "a new folder that stayed empty is removed again"
    assert main(["entanglement", "--store", str(tmp_path / "none.zarr"), "--out", str(tmp_path / "r")]) == 2
    assert not (tmp_path / "r").exists()


def test_a_folder_of_the_user_is_not_replaced(tmp_path):
    (tmp_path / "pairs.zarr").mkdir()
    (tmp_path / "pairs.zarr" / "thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match="was not written by actstore"):
        save_dataset(xr.Dataset({"a": ("x", [1.0])}), tmp_path, "pairs")
    assert (tmp_path / "pairs.zarr" / "thesis.txt").read_text() == "years of work"
    save_dataset(xr.Dataset({"a": ("x", [1.0])}), tmp_path, "mine")
    save_dataset(xr.Dataset({"a": ("x", [2.0])}), tmp_path, "mine")
    assert load_dataset(tmp_path, "mine")["a"].values.tolist() == [2.0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.zarr", "pairs.zarr"]


def test_messages_about_missing_files_name_the_command(tmp_path):
    with pytest.raises(StoreError, match="actstore entanglement"):
        load_dataset(tmp_path, ENTANGLEMENT)
    with pytest.raises(StoreError, match="actstore pairs"):
        load_dataset(tmp_path, PAIRS)
    with pytest.raises(StoreError, match=r"t\.csv"):
        load_table(tmp_path / "t.csv")
