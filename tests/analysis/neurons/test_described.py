"""A layer's neurons against NumPy, value by value, and the edges: constants, ties, few tokens, unknown labels."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from analysis.kernels.ties import drawn_order
from analysis.neurons.described import BIN_EDGES, described, example_ranks
from analysis.neurons.features import Feature

N_TOKENS, N_NEURONS = 400, 70


@pytest.fixture(scope="module")
def values():
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(N_TOKENS, N_NEURONS)) * 3 + 1).astype(np.float16)
    values[0, 7] = 60_000
    values[:, 8], values[:, 9] = 0.3, np.abs(values[:, 9])
    return values


@pytest.fixture(scope="module")
def classes():
    rng = np.random.default_rng(1)
    codes = rng.integers(-1, 3, N_TOKENS)
    codes[:5] = 3
    return Feature(codes, np.array(["A", "B", "C", "RARE"]))


@pytest.fixture(scope="module")
def result(values, classes):
    layer = xr.Dataset({"preactivation": (("token", "neuron"), values)})
    return described(layer, {"upos": classes}, classes, 12, 4)


def test_bins_hold_the_standardised_values(values, result):
    for neuron in (0, 7, 69):
        x = values[:, neuron].astype(np.float64)
        standardised = np.clip((x - x.mean()) / x.std(), -6, 6)
        np.testing.assert_array_equal(result.n_in_bin[neuron], np.histogram(standardised, BIN_EDGES)[0])
        assert result.zero[neuron] == pytest.approx(-x.mean() / x.std(), rel=1e-5)
    assert result.n_in_bin[7, -1] == 1
    assert set(result.n_in_bin.sum(axis=1)) == {0, N_TOKENS}


def test_a_constant_has_no_shape(result):
    assert result.n_in_bin[8].sum() == 0
    assert np.isnan(result.zero[8])
    assert np.isnan(result.class_mean[8]).all()
    np.testing.assert_allclose(result.side_mean[8], [np.nan, 0.3], rtol=1e-3)


def test_examples_are_the_tokens_of_these_ranks(values, result):
    ranks = example_ranks(N_TOKENS, 12)
    assert ranks[:12].tolist() == list(range(12))
    assert ranks[12:21].tolist() == [round(q * (N_TOKENS - 1)) for q in np.arange(1, 10) / 10]
    assert ranks[21:].tolist() == list(range(388, 400))
    for neuron in (0, 7, 31, 32, 69):
        x = values[:, neuron]
        np.testing.assert_array_equal(result.example_preactivation[neuron], np.sort(x)[ranks])
        np.testing.assert_array_equal(x[result.example_token[neuron]], np.sort(x)[ranks])


def test_equal_values_are_in_the_drawn_order(result):
    np.testing.assert_array_equal(result.example_token[8], drawn_order(N_TOKENS)[example_ranks(N_TOKENS, 12)])


def test_sides_are_shares_and_means(values, result):
    x = values[:, 3].astype(np.float64)
    np.testing.assert_allclose(result.side_frac[3], [(x < 0).mean(), (x >= 0).mean()], rtol=1e-6)
    np.testing.assert_allclose(result.side_mean[3], [x[x < 0].mean(), x[x >= 0].mean()], rtol=1e-5)
    np.testing.assert_allclose(result.side_frac[9], [0, 1])
    assert np.isnan(result.side_mean[9, 0])


def test_class_means_are_in_standard_deviations(values, classes, result):
    x = values[:, 3].astype(np.float64)
    for code in range(3):
        expected = (x[classes.codes == code].mean() - x.mean()) / x.std()
        assert result.class_mean[3, code] == pytest.approx(expected, abs=1e-4)
    assert np.isnan(result.class_mean[3, 3])  # of five tokens


def test_a_neuron_with_few_negative_values_follows_nothing(result):
    assert np.isnan(result.explained_frac[9]).all()
    assert np.isnan(result.p_value[9]).all()


def test_few_tokens_have_fewer_extremes(values, classes):
    layer = xr.Dataset({"preactivation": (("token", "neuron"), values[:5, :3])})
    few = Feature(classes.codes[:5], classes.names)
    result = described(layer, {"upos": few}, few, 12, 4)
    np.testing.assert_array_equal(result.example_preactivation[0, :5], np.sort(values[:5, 0]))
    assert result.example_token.shape == (3, 5 + 9 + 5)
