"""A file of statistics is checked for all that choosing neurons relies on."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from actstore.errors import SelectionError
from actstore.selection.statistics import LAST, SAME, Statistics, check_statistics
from analysis.results import save_dataset

SHAPE = (2, 3, 4)
VALUES = np.arange(24.0).reshape(SHAPE)


def statistics(site="s"):
    """Two statistics of two checkpoints, three layers of four neurons."""
    attrs = {"model": "m", "site": site}
    dims = ("checkpoint", "layer", "neuron")
    arrays = {"mean": (dims, VALUES, dict(attrs)), "negative_mean": (dims, -VALUES, dict(attrs))}
    coords = {
        "checkpoint": [0, 7],
        "layer": [0, 1, 2],
        "neuron": range(4),
        "weights_fingerprint": ("checkpoint", np.array(["a", "b"], object)),
    }
    return xr.Dataset(arrays, coords, attrs)


def saved(folder, change=lambda data: data):
    save_dataset(change(statistics()), folder, "entanglement")
    return str(folder / "entanglement.zarr")


def test_a_complete_file_gives_its_statistics(tmp_path):
    read = Statistics(saved(tmp_path))
    assert read.at("mean", SAME, 0).values.tolist() == VALUES[0].tolist()
    assert read.at("mean", LAST, 0).values.tolist() == VALUES[1].tolist()
    assert read.at("mean", "0", 7).attrs == {"model": "m", "site": "s"}
    assert [read.weights_at(step) for step in (0, 7, 8)] == ["a", "b", None]
    assert read.negative_mean(7, 3).tolist() == (-VALUES[1]).tolist()
    assert np.isnan(Statistics(saved(tmp_path, lambda data: data.isel(layer=[2]))).negative_mean(0, 3)[:2]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.assign_coords(layer=[-1, 0, 1]), "layer must hold ascending whole numbers from 0"),
        (lambda d: d.assign_coords(layer=[0, 0, 1]), "layer must hold ascending"),
        (lambda d: d.assign_coords(layer=[0.0, 1.0, 2.0]), "layer must hold ascending"),
        (lambda d: d.drop_vars("layer"), "layer must hold ascending"),
        (lambda d: d.assign_coords(checkpoint=[7, 0]), "checkpoint must hold ascending whole numbers from -1"),
        (lambda d: d.assign_coords(neuron=[0, 1, 2, 5]), "does not hold every neuron"),
        (lambda d: d.isel(neuron=slice(1, None)), "does not hold every neuron"),
        (lambda d: d.drop_vars("weights_fingerprint"), "weights_fingerprint of each checkpoint"),
        (lambda d: d.assign_coords(weights_fingerprint=("checkpoint", [1, 2])), "weights_fingerprint of each checkpoint"),
        (lambda d: d.isel(checkpoint=0), "checkpoint must hold ascending"),
        (lambda d: d.assign_attrs(model=3), "the file has the model 3"),
        (lambda d: d.drop_attrs(deep=False), "the file has the model None"),
        (lambda d: d.assign_attrs(site="t"), "mean has the site 's', the file 't'"),
        (lambda d: d.assign(mean=d["mean"].assign_attrs(model="n")), "mean has the model 'n', the file 'm'"),
        (lambda d: d.assign(mean=d["mean"].astype(int).assign_attrs(d.attrs)), "mean holds int64 instead of floats"),
        (lambda d: d.transpose("layer", "checkpoint", "neuron"), "no statistic over checkpoint, layer, neuron"),
    ],
)
def test_problems_are_named(tmp_path, change, message):
    check_statistics(statistics(), "e.zarr")
    with pytest.raises(SelectionError, match=message):
        check_statistics(change(statistics()), "e.zarr")
    with pytest.raises(SelectionError, match=message):
        Statistics(saved(tmp_path, change))


def test_unreadable_files_are_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("x")
    for name in ("nowhere", "empty", "text"):
        with pytest.raises(SelectionError, match="cannot read the statistics"):
            Statistics(str(tmp_path / name))


def test_a_file_of_another_kind_is_named_as_such(run_folder):
    with pytest.raises(SelectionError, match=r"is a results folder; name the statistics in it, .*entanglement\.zarr"):
        Statistics(str(run_folder / "analysis"))
    for store, command in (("store.zarr", "extract"), ("ablation.zarr", "ablate")):
        with pytest.raises(SelectionError, match=f"is a store of `actstore {command}`"):
            Statistics(str(run_folder / store))
