"""Distances between classes of tokens against SciPy, planted classes, and arithmetic by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import xarray as xr
from scipy.stats import wasserstein_distance

from actstore.errors import UnknownNameError
from analysis.transport.classes import class_separation
from tests.analysis.transport.test_two_samples import labelled

CLASSES = np.array(["ADP", "DET", "NOUN", "VERB"])


def classes_and_values(n=1200, n_neurons=6, seed=8):
    """Only the last neuron separates a class: DET is moved, further below zero."""
    rng = np.random.default_rng(seed)
    labels = CLASSES[rng.integers(0, 4, size=n)]
    values = rng.normal(-2, 1, size=(n_neurons, n))
    values[-1, labels == "DET"] -= 2
    return labelled(values, ("neuron", "token")), labels


def test_only_the_planted_class_is_separated():
    values, labels = classes_and_values()
    separation = class_separation(values, labels)
    assert separation["transport_distance"].dims == ("neuron", "class", "other_class")
    is_significant = separation["q_value"].values < 0.05
    expected = np.zeros((6, 4, 4), bool)
    expected[-1, 1, [0, 2, 3]] = expected[-1, [0, 2, 3], 1] = True
    np.testing.assert_array_equal(is_significant, expected)


def test_distances_are_those_of_the_counted_values():
    values, labels = classes_and_values(n_neurons=2)
    values += 2  # so that every class is on either side
    for side, counts in {"negative": values < 0, "positive": values > 0, "both": values == values}.items():
        separation = class_separation(values, labels, side=side, min_count=1, n_permutations=2)
        for neuron, (a, b) in itertools.product(range(2), itertools.combinations(CLASSES, 2)):
            row, counted = values.values[neuron], counts.values[neuron]
            expected = wasserstein_distance(row[counted & (labels == a)], row[counted & (labels == b)]) / row[counted].std()
            distance = separation["transport_distance"].isel(neuron=neuron)
            assert float(distance.sel({"class": a, "other_class": b})) == pytest.approx(expected)
            assert float(distance.sel({"class": b, "other_class": a})) == pytest.approx(expected)
            assert int(separation["n_tokens"].isel(neuron=neuron).sel({"class": a})) == (counted & (labels == a)).sum()


def test_small_classes_and_unknown_tokens_are_left_out():
    values, labels = classes_and_values()
    labels[np.flatnonzero(labels == "VERB")[30:]] = ""
    separation = class_separation(values, labels, n_permutations=20)
    assert list(separation["class"].values) == list(CLASSES)
    verb = separation.sel({"class": "VERB"})
    assert (verb["n_tokens"] <= 30).all()
    assert np.isnan(verb["transport_distance"]).all()
    assert np.isnan(verb["q_value"]).all()
    large = separation.sel({"class": ["ADP", "DET"], "other_class": "NOUN"})
    assert np.isfinite(large["q_value"]).all()


def test_a_neuron_of_one_value_or_side_has_no_distance():
    values, labels = classes_and_values(n_neurons=3)
    values[0], values[1] = -1, 1
    separation = class_separation(values, labels, n_permutations=20)
    assert np.isnan(separation["transport_distance"][:2]).all()
    np.testing.assert_array_equal(separation["n_tokens"][1], 0)
    assert np.isfinite(separation["transport_distance"][2]).all()


def test_q_values_are_over_all_neurons_and_pairs():
    values, labels = classes_and_values()
    separation = class_separation(values, labels, n_permutations=50)
    upper = np.triu_indices(4, 1)
    p, q = (separation[name].values[:, upper[0], upper[1]].ravel() for name in ("p_value", "q_value"))
    ordered = np.sort(p)
    by_hand = np.minimum.accumulate((ordered * len(p) / np.arange(1, len(p) + 1))[::-1])[::-1]
    np.testing.assert_allclose(np.sort(q), np.minimum(by_hand, 1))


def test_classes_of_a_store(store):
    layer = store["preactivation"].sel(checkpoint=4000).isel(layer=0, neuron=slice(3))
    eager = class_separation(layer, layer["upos"], n_permutations=10)
    assert "" not in eager["class"]
    assert eager.coords["layer"] == 0
    xr.testing.assert_identical(class_separation(layer.load().chunk(neuron=1), layer["upos"], n_permutations=10), eager)


def test_wrong_classes_are_named():
    values, labels = classes_and_values()
    with pytest.raises(UnknownNameError, match="negative"):
        class_separation(values, labels, side="left")
    with pytest.raises(ValueError, match="a label each token"):
        class_separation(values, labels[:7])
    with pytest.raises(ValueError, match="at least 2"):
        class_separation(values, labels, n_permutations=1)
