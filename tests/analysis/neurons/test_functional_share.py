"""The statistic of every checkpoint is the measure at that checkpoint, and neurons are chosen by it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import xarray as xr

import analysis
from actstore.errors import StoreError
from actstore.store.opening import open_store
from analysis.results import ENTANGLEMENT, load_dataset
from tests.analysis.pairs.helpers import N_NEURONS, spreading_store

FIELDS = ("functional_share", "functional_excess")


@pytest.fixture(scope="module")
def statistics(run_folder):
    return load_dataset(run_folder / "analysis", ENTANGLEMENT)


@pytest.mark.parametrize("step", [64, 4000])
def test_it_is_functional_differentiation_at_that_checkpoint(store, statistics, step):
    pairs = analysis.find_pairs(store, checkpoint=step, seed=0)
    expected = analysis.functional_differentiation(store, pairs, None, checkpoint=step)
    of_step = statistics.sel(checkpoint=step)
    np.testing.assert_array_equal(of_step["functional_share"], expected["functional_share"].sel(pool="similar"))
    np.testing.assert_array_equal(of_step["functional_excess"], expected["functional_excess"])
    assert of_step["functional_excess"].std() > 0.01


def test_neurons_are_chosen_by_it(statistics):
    excess = statistics["functional_excess"].sel(checkpoint=4000)
    chosen = analysis.select(excess, 0.02)
    assert (chosen.statistic, chosen.n_neurons) == ("functional_excess", 40)
    mask = chosen.mask(excess["layer"].values)
    for layer in range(4):
        of_layer = excess.values[layer]
        assert of_layer[mask[layer]].min() >= of_layer[~mask[layer]].max()


def over_training(n_checkpoints=2, **options):
    """A toy store with checkpoints."""
    store = spreading_store(np.linspace(0.1, 1, N_NEURONS), n_layers=1, **options)
    arrays = {name: store[name].expand_dims(checkpoint=list(range(n_checkpoints))) for name in store.data_vars}
    return xr.Dataset(arrays, store.coords, store.attrs)


def test_its_seed_is_that_of_the_pairs():
    store = over_training()
    first, same, other = (analysis.functional_shares(store, seed=seed)["functional_excess"] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_a_relu_has_none_and_an_unknown_nonlinearity_no_value():
    relu = analysis.functional_shares(over_training().assign_attrs(nonlinearity="relu"))
    assert [(relu[name] == 0).all().item() for name in FIELDS] == [True, True]
    for store in (over_training().assign_attrs(nonlinearity="none"), over_training().drop_vars("mlp_input")):
        unknown = analysis.functional_shares(store)
        assert [unknown[name].isnull().all().item() for name in FIELDS] == [True, True]
        assert unknown[FIELDS[0]].dims == ("checkpoint", "layer", "neuron")


def test_a_text_too_short_for_pairs_has_no_value():
    short = analysis.functional_shares(over_training().isel(token=slice(5)))
    assert short["functional_share"].isnull().all()


def test_a_checkpoint_without_pairs_takes_nothing_from_the_others():
    """At step 0 all inputs are the same, so that there is no pair of two inputs."""
    store = over_training()
    inputs = store["mlp_input"].values.copy()
    inputs[0] = 1.0
    shares = analysis.functional_shares(store.assign(mlp_input=(store["mlp_input"].dims, inputs)))["functional_share"]
    assert shares.isel(checkpoint=0).isnull().all()
    np.testing.assert_array_equal(
        shares.isel(checkpoint=1), analysis.functional_shares(store)["functional_share"].isel(checkpoint=1)
    )


def test_a_damaged_store_is_no_missing_value(run_folder, tmp_path):
    shutil.copytree(run_folder / "store.zarr", tmp_path / "store.zarr")
    shard = next(path for path in sorted((tmp_path / "store.zarr" / "mlp_input" / "c").rglob("*")) if path.is_file())
    raw = bytearray(shard.read_bytes())
    raw[: len(raw) // 2 : 101] = bytes(len(raw[: len(raw) // 2 : 101]))
    shard.write_bytes(raw)
    with pytest.raises(StoreError, match=r"not what was sealed|it is damaged"):
        analysis.functional_shares(open_store(tmp_path / "store.zarr"))
