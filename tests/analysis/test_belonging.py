"""Parts of one store are accepted; a difference is refused by a message that names both sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from actstore.errors import StoreError
from actstore.selection.selection import Selection
from analysis.belonging import IDENTITY, check_belonging, origin_of, origin_of_results, origin_of_selection
from analysis.results import save_dataset

ATTRS = dict(zip(IDENTITY, ("m", "s", "t"), strict=True))


def data(steps=(0, 7), weights=("a", "b"), **identity):
    coords = {"checkpoint": list(steps), "weights_fingerprint": ("checkpoint", np.array(weights, object))}
    return xr.Dataset({"mean": ("checkpoint", np.zeros(len(steps)))}, coords, ATTRS | identity)


def selection(**change):
    identity = {"model": "m", "site": "s", "weights_fingerprint": "b", "checkpoint": 7} | change
    return Selection({0: (1,)}, "top", "mean", 0.5, n_neurons_per_layer=2, **identity)


STORE = origin_of(data(), "store.zarr")


def test_parts_of_one_store_are_accepted():
    check_belonging(
        STORE,
        origin_of(data(), "results"),
        origin_of(data().isel(checkpoint=-1), "pairs of the last checkpoint"),
        origin_of(data((7, 9), ("b", "c"), corpus_fingerprint="u"), "an ablation, of a text of its own", has_own_text=True),
        origin_of_selection(selection(provenance={"corpus_fingerprint": "t"}), Path("top.json")),
        origin_of_selection(selection(checkpoint=3, weights_fingerprint="x"), Path("of a checkpoint that the store lacks")),
        None,
    )


@pytest.mark.parametrize(
    ("results", "message"),
    [
        (data(model="n"), r"R is of the model n, store\.zarr of m; name two of one model"),
        (data(site="r"), r"R is of the site r, store\.zarr of s; name two of one site"),
        (data(corpus_fingerprint="u"), r"R is of another text than store\.zarr \(fingerprints u and t\)"),
        (data(weights=("a", "x")), r"checkpoint 7 of R has other weights than that of store\.zarr \(x and b\)"),
        (data((7, 9), ("b", "c")), r"R has the checkpoint 9, store\.zarr does not"),
        (data(weights=("a", "x")).isel(checkpoint=1), "checkpoint 7 of R has other weights"),
    ],
)
def test_each_difference_of_results_names_both(results, message):
    with pytest.raises(StoreError, match=message):
        check_belonging(STORE, origin_of(results, "R"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "n"}, r"top\.json is of the model n, store\.zarr of m"),
        ({"site": "r"}, r"top\.json is of the site r, store\.zarr of s"),
        ({"weights_fingerprint": "x"}, r"checkpoint 7 of top\.json has other weights"),
        ({"weights_fingerprint": ""}, r"checkpoint 7 of top\.json has other weights"),
        ({"provenance": {"corpus_fingerprint": "u"}}, r"top\.json is of another text"),
    ],
)
def test_each_difference_of_a_selection_names_both(change, message):
    with pytest.raises(StoreError, match=message):
        check_belonging(STORE, origin_of_selection(selection(**change), Path("top.json")))


def test_an_ablation_is_held_to_model_site_and_weights():
    for change, message in (({"model": "n"}, "model n"), ({"site": "r"}, "site r"), ({"weights": ("a", "x")}, "other weights")):
        with pytest.raises(StoreError, match=message):
            check_belonging(STORE, origin_of(data(**change), "ablation", has_own_text=True))


@pytest.mark.parametrize("name", [*IDENTITY, "weights_fingerprint"])
def test_data_without_an_identity_are_refused(name):
    incomplete = data().drop_vars(name, errors="ignore")
    incomplete.attrs.pop(name, None)
    with pytest.raises(StoreError, match=f"R does not say its {name}"):
        origin_of(incomplete, "R")


def test_the_origin_of_results_is_known_without_their_values(tmp_path):
    assert origin_of_results(tmp_path, "entanglement") is None
    save_dataset(data(), tmp_path, "entanglement")
    for chunk in (tmp_path / "entanglement.zarr" / "mean").rglob("c/*"):
        chunk.unlink()
    assert origin_of_results(tmp_path, "entanglement")[1:] == STORE[1:]
    (tmp_path / "entanglement.zarr" / "zarr.json").write_text("{")
    with pytest.raises(StoreError, match=r"the checksum of .*zarr\.json differs"):
        origin_of_results(tmp_path, "entanglement")
