"""Profiles of every neuron against the store, the atlas, the pairs and the statistics."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import analysis
from actstore.selection.selection import Selection
from analysis.neurons.every_neuron import neuron_profiles
from analysis.results import ENTANGLEMENT, PROFILES, load_dataset, save_dataset


@pytest.fixture(scope="module")
def chosen(run_folder):
    return Selection.load(run_folder / "analysis" / "selections" / "top.json")


@pytest.fixture(scope="module")
def pairs(store):
    return analysis.find_pairs(store, n_tokens=600)


@pytest.fixture(scope="module")
def statistics(run_folder):
    data = load_dataset(run_folder / "analysis", ENTANGLEMENT)
    own = np.random.default_rng(0).integers(0, 9, data["skewness"].shape).astype(float)
    own[-1, 0, 3] = np.nan
    return data.assign(own_number=(data["skewness"].dims, own, {"long_name": "a user's own", "units": "nat"}))


@pytest.fixture(scope="module")
def profiles(store, pairs, statistics, chosen):
    return neuron_profiles(store, pairs, statistics, chosen, max_steps=2)


@pytest.fixture(scope="module")
def values(store):
    return store["preactivation"].isel(checkpoint=-1).values.astype(np.float32)  # (layer, token, neuron)


def test_extreme_tokens_are_indices_of_the_store(profiles, store, values):
    is_text = store["position"].values > 0
    for layer, neuron in ((0, 0), (2, 17), (3, 511)):
        x = values[layer, :, neuron]
        one = profiles.isel(layer=layer, neuron=neuron)
        tokens = one["example_token"].values
        np.testing.assert_array_equal(one["example_preactivation"].values, x[tokens])
        np.testing.assert_array_equal(x[tokens[:12]], np.sort(x[is_text])[:12])
        np.testing.assert_array_equal(x[tokens[-12:]], np.sort(x[is_text])[-12:])
        assert is_text[tokens].all()
    assert profiles["quantile"].values[12:21] == pytest.approx(np.arange(1, 10) / 10, abs=1e-3)


def test_shares_are_those_of_the_atlas(profiles, store, pairs, chosen):
    atlas = analysis.neuron_atlas(store, chosen, pairs, n_permutations=20)
    for feature in profiles["feature"].values:
        of_feature = profiles["explained_frac"].sel(feature=feature)
        shares = [of_feature.sel(layer=layer, neuron=neuron) for layer, neuron in atlas[["layer", "neuron"]].to_numpy()]
        np.testing.assert_allclose(shares, atlas[f"explained_{feature}"], rtol=1e-5, atol=1e-7)
    with_p = ~np.isnan(profiles["p_value"].values)
    assert (profiles["q_value"].values >= profiles["p_value"].values)[with_p].all()


def test_pairs_are_those_of_the_selected(profiles, store, pairs, chosen):
    table = analysis.most_differentiated(store, pairs, chosen, n_top=3)
    for (layer, neuron), rows in table.groupby(["layer", "neuron"]):
        one = profiles.sel(layer=layer, neuron=neuron, kind="negative")
        np.testing.assert_array_equal(one["pair_token"].values[: len(rows)], rows[["token_a", "token_b"]])
        assert (one["pair_token"].values[len(rows) :] == -1).all()
        ends = rows[["preactivation_a", "preactivation_b"]]
        np.testing.assert_allclose(one["pair_preactivation"].values[: len(rows)], ends, rtol=1e-6)


def test_ranks_are_places_in_the_layer(profiles, statistics):
    for name in ("wasserstein_distance", "own_number"):
        for layer in (0, 3):
            of_layer = pd.Series(statistics[name].isel(checkpoint=-1, layer=layer).values)
            np.testing.assert_array_equal(profiles["statistic_value"].sel(statistic=name)[layer], of_layer)
            expected = of_layer.rank(method="min", ascending=False).fillna(0)
            np.testing.assert_array_equal(profiles["statistic_rank"].sel(statistic=name)[layer], expected)
    assert profiles["statistic_rank"].sel(statistic="own_number", layer=0, neuron=3) == 0
    own = profiles.sel(statistic="own_number")
    assert (own["long_name"].item(), own["units"].item()) == ("a user's own", "nat")


def test_sides_share_the_distance(profiles, statistics, values, store):
    total = statistics["wasserstein_distance"].isel(checkpoint=-1).values
    share = statistics["negative_wasserstein_frac"].isel(checkpoint=-1).values
    np.testing.assert_allclose(profiles["side_distance"].sum("side"), total)
    np.testing.assert_allclose(profiles["side_distance"].sel(side="negative"), total * share)
    below = (values[:, store["position"].values > 0] < 0).mean(axis=1)
    np.testing.assert_allclose(profiles["side_frac"].sel(side="negative"), below, rtol=1e-5)


def test_the_story_leaves_out_repeated_weights_and_is_thinned(profiles, statistics, store, pairs, chosen):
    assert profiles["checkpoint"].values.tolist() == [0, 4000]
    assert profiles.attrs["n_checkpoints"] == 3  # step 1 repeats step 0
    whole = neuron_profiles(store, pairs, statistics, chosen)
    assert whole["checkpoint"].values.tolist() == [0, 64, 4000]
    distances = statistics["wasserstein_distance"].sel(checkpoint=[0, 64, 4000])
    np.testing.assert_allclose(whole["story_distance"], distances)
    negative = distances * statistics["negative_wasserstein_frac"].sel(checkpoint=[0, 64, 4000])
    np.testing.assert_allclose(whole["story_negative_distance"], negative)


def test_segments_end_with_windows_and_documents(profiles, store):
    segment = profiles["segment"].values
    assert ((segment == -1) == (store["position"].values == 0)).all()
    labels = pd.DataFrame({"segment": segment, "window": store["window"].values, "document": store["document"].values})
    labels = labels[labels["segment"] >= 0]
    assert (labels.groupby("segment")[["window", "document"]].nunique() == 1).all().all()
    assert len(labels.drop_duplicates()) == labels["segment"].nunique()
    assert (np.diff(labels["segment"]) >= 0).all()


def test_profiles_are_the_same_from_disk(profiles, tmp_path):
    save_dataset(profiles, tmp_path, PROFILES)
    read = load_dataset(tmp_path, PROFILES)
    assert set(read.variables) == set(profiles.variables)
    np.testing.assert_array_equal(read["example_token"], profiles["example_token"])
    assert read["token_text"].values.tolist() == profiles["token_text"].values.tolist()
    assert (read["is_selected"].values == profiles["is_selected"].values).all()
