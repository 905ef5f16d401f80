from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from actstore.errors import SelectionError, UnknownNameError
from analysis import select


def statistic(values):
    return xr.DataArray(
        np.asarray(values, dtype=float), dims=("layer", "neuron"), name="wasserstein_distance",
        coords={"layer": range(len(values)), "checkpoint": 5, "weights_fingerprint": "abc"}, attrs={"model": "m"},
    )  # fmt: skip


RNG = np.random.default_rng(0)
RANDOM = statistic(RNG.random((3, 100)))


@pytest.mark.parametrize("rule", ["top", "bottom"])
def test_exact_counts_and_values(rule):
    chosen = select(RANDOM, 0.07, rule)
    order = np.sort(RANDOM.values, axis=1)
    for layer, neurons in chosen.neurons.items():
        assert len(neurons) == 7
        picked = np.sort(RANDOM.values[layer, list(neurons)])
        np.testing.assert_array_equal(picked, order[layer, -7:] if rule == "top" else order[layer, :7])


def test_ties_go_to_the_lowest_index():
    assert select(statistic([[1, 3, 3, 3, 0]]), 0.4).neurons == {0: (1, 2)}
    assert select(statistic([[3, 1, 1, 1, 9]]), 0.4, "bottom").neurons == {0: (1, 2)}


def test_nan_is_never_chosen():
    values = statistic([[np.nan, 1, 2, np.nan, 3]])
    assert select(values, 0.4).neurons == {0: (2, 4)}
    assert select(values, 0.6, "bottom").neurons == {0: (1, 2, 4)}
    with pytest.raises(SelectionError, match="only 3 neurons"):
        select(values, 0.8)


def test_random_leaves_the_top_out_and_repeats_by_seed():
    top = select(RANDOM, 0.2)
    for seed in range(20):
        drawn = select(RANDOM, 0.2, "random", seed=seed)
        assert drawn == select(RANDOM, 0.2, "random", seed=seed)
        assert all(not set(drawn.neurons[layer]) & set(top.neurons[layer]) for layer in top.neurons)
    assert select(RANDOM, 0.2, "random", seed=0).neurons != select(RANDOM, 0.2, "random", seed=1).neurons


def test_random_is_uniform_over_the_rest():
    counts = np.zeros(100)
    for seed in range(600):
        counts[list(select(RANDOM.isel(layer=[0]), 0.1, "random", seed=seed).neurons[0])] += 1
    rest = counts[counts > 0]
    assert len(rest) == 90
    expected = 600 * 10 / 90
    assert ((rest - expected) ** 2 / expected).sum() < 135  # chi-square, 89 degrees of freedom, p = 0.001


def test_provenance_is_kept():
    chosen = select(RANDOM, 0.01, provenance={"corpus": "c"})
    assert (chosen.model, chosen.checkpoint, chosen.weights_fingerprint) == ("m", 5, "abc")
    assert chosen.provenance["corpus"] == "c"
    assert chosen.provenance["package_version"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((0.0,), "lies in"), ((1.5,), "lies in"), ((0.001,), "rounds to none"), ((0.1, "random"), "needs a seed"), ((0.6, "random", 1), "left outside")],
)  # fmt: skip
def test_impossible_choices(arguments, said):
    fraction, rule, seed = (*arguments, "top", -1)[:3] if len(arguments) == 1 else (*arguments, -1)[:3]
    with pytest.raises(SelectionError, match=said):
        select(RANDOM, fraction, rule, seed=seed)


def test_unknown_rule():
    with pytest.raises(UnknownNameError, match="did you mean 'bottom'"):
        select(RANDOM, 0.1, "botom")
