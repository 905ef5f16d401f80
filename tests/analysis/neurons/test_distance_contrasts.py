"""Whether a lead in Wasserstein distance is there on other text: luck goes, a planted cohort stays, shape explains."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.stats import ttest_ind

import analysis
from analysis.neurons.distance_contrasts import NOTHING, SHAPE

N_TOKENS, N_DOCUMENTS = 800, 20


def a_store(values, documents=N_DOCUMENTS):
    """Pre-activations (layer, token, neuron) of documents of one length, two windows each; no token is BOS."""
    n_layers, n_tokens, _ = values.shape
    index = np.arange(n_tokens)
    coords = {
        "document": ("token", index * documents // n_tokens),
        "window": ("token", index * 2 * N_DOCUMENTS // n_tokens),
        "position": ("token", 1 + index % 20),
        "layer": np.arange(n_layers),
        "checkpoint": 7,
        "weights_fingerprint": "f",
    }
    array = xr.DataArray(values.astype(np.float32), dims=("layer", "token", "neuron"), attrs={"model": "m", "site": "s"})
    return xr.Dataset({"preactivation": array}, coords)


def rows_of(store, fraction=0.1):
    return analysis.distance_contrasts(store, fraction).set_index("given")


def lead_on_the_same_text(store, fraction=0.1):
    """Estimate and p-value of the mean lead where the top is measured on the text it is chosen on."""
    distance = analysis.wasserstein_distance(store["preactivation"])
    top = analysis.select(distance, fraction).mask(distance["layer"].values)
    tests = [ttest_ind(row[mask], row[~mask], equal_var=False) for row, mask in zip(distance.values, top, strict=True)]
    return max(test.pvalue for test in tests), np.mean(
        [row[m].mean() - row[~m].mean() for row, m in zip(distance.values, top, strict=True)]
    )


def test_estimates_by_hand():
    """A top of one half, measured on the other, both ways."""
    values = np.random.default_rng(0).gamma(2, size=(2, N_TOKENS, 40))
    store = a_store(values)
    is_even = store["document"].values % 2 == 0
    distance = [analysis.wasserstein_distance(store["preactivation"].isel(token=half)).values for half in (is_even, ~is_even)]
    leads = []
    for chosen_on, measured_on in ((0, 1), (1, 0)):
        for layer in range(2):
            top = np.argsort(-distance[chosen_on][layer])[:4]
            of_layer = distance[measured_on][layer]
            leads.append(of_layer[top].mean() - np.delete(of_layer, top).mean())
    row = rows_of(store).loc[NOTHING]
    assert row["estimate"] == pytest.approx(np.mean(leads))
    assert (row["n_layers"], row["n_neurons"], row["n_clusters"], row["cluster"]) == (2, 8, 8, "neuron")
    assert row["lower"] < row["estimate"] < row["upper"]


def test_gaussian_neurons_lead_by_luck_alone():
    """In 60 stores the interval holds 0 at its rate; on the text of the choice the lead is significant."""
    held, lucky = [], []
    for seed in range(60):
        store = a_store(np.random.default_rng(seed).normal(size=(2, N_TOKENS, 60)))
        row = rows_of(store).loc[NOTHING]
        held.append(row["lower"] <= 0 <= row["upper"])
        lucky.append(lead_on_the_same_text(store)[0])
    assert np.mean(held) >= 0.9
    assert max(lucky) < 0.05


def test_planted_neurons_lead_and_shape_explains_some_of_them():
    """Skewed neurons lead, as their shape says. Neurons of two humps and a gap, hidden from moments, lead at equal shape too."""
    rng = np.random.default_rng(1)
    gaussian = rng.normal(size=(2, N_TOKENS, 200))
    rows = rows_of(a_store(gaussian + 0.6 * np.linspace(0, 1, 200) ** 2 * (gaussian**2 - 1)))
    assert rows.loc[NOTHING, "lower"] > 0.15
    assert abs(rows.loc[SHAPE, "estimate"]) < 0.1 * rows.loc[NOTHING, "estimate"]
    hidden = rng.normal(size=(2, N_TOKENS, 200))
    three = np.array([-np.sqrt(3), 0, np.sqrt(3)])[rng.choice(3, (2, N_TOKENS, 20), p=[1 / 6, 2 / 3, 1 / 6])]
    hidden[..., :20] = three + 0.05 * rng.normal(size=three.shape)
    rows = rows_of(a_store(hidden))
    assert rows.loc[SHAPE, "lower"] > 0.1
    assert rows.loc[SHAPE, "estimate"] == pytest.approx(rows.loc[NOTHING, "estimate"], rel=0.2)


def test_a_single_document_is_split_by_windows():
    values = np.random.default_rng(2).normal(size=(1, N_TOKENS, 40))
    one, split = a_store(values, documents=1), a_store(values)
    split["document"].values[:] = split["window"].values
    assert rows_of(one).equals(rows_of(split))


def test_a_top_of_one_neuron_has_no_interval():
    row = rows_of(a_store(np.random.default_rng(3).normal(size=(1, N_TOKENS, 40))), 0.03).loc[NOTHING]
    assert row["n_neurons"] == 1
    assert np.isfinite(row["estimate"])
    assert np.isnan([row["lower"], row["p"], row["detectable"]]).all()


def test_of_a_trained_model(store):
    """The top of a trained model is far from Gaussian on other text, that of the untrained one less."""
    trained, untrained = (analysis.distance_contrasts(store, 0.05, checkpoint=step).iloc[0] for step in (4000, 0))
    assert trained["lower"] > 0.1
    assert trained["estimate"] > 2 * untrained["estimate"]
