"""Profiles of selected neurons against the store and its statistics."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import analysis
from actstore.selection.selection import Selection
from analysis.results import ENTANGLEMENT, load_dataset


@pytest.fixture(scope="module")
def chosen(run_folder):
    return Selection.load(run_folder / "analysis" / "selections" / "top.json")


def test_histograms_are_of_the_standardised_values(store, chosen):
    table = analysis.neuron_histograms(store, chosen)
    assert len(table[["layer", "neuron"]].drop_duplicates()) == chosen.n_neurons
    layer, neuron = table[["layer", "neuron"]].iloc[0]
    rows = table[(table["layer"] == layer) & (table["neuron"] == neuron)]
    values = (
        store["preactivation"]
        .isel(checkpoint=-1, token=np.flatnonzero(store["position"].values > 0))
        .sel(layer=layer, neuron=neuron)
        .values.astype(float)
    )
    assert rows["zero"].iloc[0] == pytest.approx(-values.mean() / values.std())
    widths = rows["right"] - rows["left"]
    assert (widths * rows["density"]).sum() == pytest.approx(1)
    below = (values < 0).mean()
    assert ((widths * rows["density"])[rows["right"] <= rows["zero"]]).sum() == pytest.approx(below, abs=0.1)


def test_outliers_are_in_the_last_bin(store, chosen):
    table = analysis.neuron_histograms(store, chosen, reach=0.5, n_bins=4)
    assert table["left"].min() == -0.5
    assert table["right"].max() == 0.5
    sums = ((table["right"] - table["left"]) * table["density"]).groupby([table["layer"], table["neuron"]]).sum()
    np.testing.assert_allclose(sums, 1)


def test_neurons_of_zero_variance_have_no_histogram(store, chosen):
    constant = store.assign(preactivation=store["preactivation"] * 0)
    assert analysis.neuron_histograms(constant, chosen).empty


def test_the_story_holds_the_statistics(run_folder, chosen):
    statistics = load_dataset(run_folder / "analysis", ENTANGLEMENT)
    table = analysis.neuron_story(statistics, chosen)
    steps = statistics["checkpoint"].values[statistics["duplicate_of"].values < 0]
    assert len(table) == chosen.n_neurons * len(steps)
    row = table.iloc[-1]
    expected = statistics["wasserstein_distance"].sel(checkpoint=row["checkpoint"], layer=row["layer"], neuron=row["neuron"])
    assert row["wasserstein_distance"] == pytest.approx(float(expected))


def test_pairs_are_shown_within_their_window(store):
    word = int(np.flatnonzero(store["position"].values == 3)[1])
    pairs = pd.DataFrame(
        {
            "layer": [0],
            "neuron": [1],
            "token_a": [word],
            "token_b": [word + 1],
            "preactivation_a": [-1.0],
            "preactivation_b": [-2.0],
        }
    )
    (row,) = analysis.pairs_in_context(store, pairs, n_context=5).to_dict("records")
    pieces = store["token_text"].values
    assert row["text_a"] == pieces[word]
    assert row["before_a"] == "".join(pieces[word - 2 : word])  # up to the window's first token
    assert row["after_a"] == "".join(pieces[word + 1 : word + 6])
    assert row["upos_b"] == store["upos"].values[word + 1]
    assert row["word_a"] == store["word_form"].values[word]
    bare = store.drop_vars(["upos", "word_form"])
    assert analysis.pairs_in_context(bare, pairs)["upos_a"].tolist() == [""]
