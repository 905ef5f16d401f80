from __future__ import annotations

import itertools

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.optimize import linear_sum_assignment

from actstore.errors import SelectionError, UnknownNameError
from actstore.selection.choosing import select
from actstore.selection.selection import Selection


def statistic(values, name="wasserstein_distance", layers=None):
    coords = {"layer": layers or range(len(values)), "checkpoint": 5, "weights_fingerprint": "abc"}
    attrs = {"model": "m", "site": "s"}
    return xr.DataArray(np.asarray(values, dtype=float), coords, ("layer", "neuron"), name, attrs)


def flat(selection):
    """The chosen (layer, neuron), as indices of the flattened array."""
    return {layer * selection.n_neurons_per_layer + neuron for layer, chosen in selection.neurons.items() for neuron in chosen}


def control_options(rule, *covariates):
    """The arguments that a rule needs besides the statistic."""
    return {"random": {"seed": 0}, "matched": {"match": covariates}}.get(rule, {})


RNG = np.random.default_rng(0)
RANDOM = statistic(RNG.random((3, 100)))
STD, MEAN = (statistic(RNG.normal(size=(3, 100)), name) for name in ("std", "mean"))
RULES, SCOPES = ("top", "bottom", "random", "matched"), ("layer", "all")


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
    for scope in SCOPES:
        drawn = [select(values, 0.2, "random", scope=scope, seed=seed).neurons[0] for seed in range(20)]
        assert set(drawn) == {(1,), (2,)}
    with pytest.raises(SelectionError, match="only 1 neurons are left"):
        select(values, 0.4, "random", seed=0)


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
    eligible = counts[counts > 0]
    assert len(eligible) == 90
    expected = 600 * 10 / 90
    assert ((eligible - expected) ** 2 / expected).sum() < 135  # chi-square, 89 degrees of freedom, p = 0.001


def test_provenance_is_stored():
    chosen = select(RANDOM, 0.01, provenance={"corpus": "c"})
    assert (chosen.model, chosen.checkpoint, chosen.weights_fingerprint) == ("m", 5, "abc")
    assert chosen.provenance["corpus"] == "c"
    assert chosen.provenance["package_version"]


@given(
    arrays(float, array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.sampled_from([np.nan, -1, 0, 1, 2])),
    st.floats(0.01, 1) | st.sampled_from([0.1, 0.25, 0.4]),
    st.sampled_from(RULES),
    st.sampled_from(SCOPES),
)
def test_every_rule_chooses_exactly_or_says_why_not(values, fraction, rule, scope):
    covariate = statistic(np.arange(values.size).reshape(values.shape) % 3, "std")
    rows = values if scope == "layer" else values.reshape(1, -1)
    n = round(fraction * rows.shape[1])
    ranked = [sorted(np.flatnonzero(~np.isnan(row)), key=lambda i, row=row: (-row[i], i)) for row in rows]
    needed = 2 * n if rule in ("random", "matched") else n
    options = {"scope": scope, **control_options(rule, covariate)}
    if n == 0 or min(map(len, ranked)) < needed:
        with pytest.raises(SelectionError, match=r"choose a smaller fraction|rounds to none"):
            select(statistic(values), fraction, rule, **options)
        return
    chosen = flat(select(statistic(values), fraction, rule, **options))
    top = {row * rows.shape[1] + i for row, order in enumerate(ranked) for i in order[:n]}
    assert len(chosen) == n * len(rows)
    assert not np.isnan(values.ravel()[list(chosen)]).any()
    if rule == "top":
        assert chosen == top
    elif rule == "bottom":
        flipped = [sorted(order, key=lambda i, row=row: (row[i], i)) for row, order in zip(rows, ranked, strict=True)]
        assert chosen == {row * rows.shape[1] + i for row, order in enumerate(flipped) for i in order[:n]}
    else:
        assert not chosen & top
        assert np.bincount([index // rows.shape[1] for index in chosen]).tolist() == [n] * len(rows)


@pytest.mark.parametrize("rule", ["top", "bottom"])
def test_all_layers_rank_as_the_flattened_array(rule):
    chosen = select(RANDOM, 0.05, rule, scope="all")
    order = np.argsort(RANDOM.values.ravel())
    assert flat(chosen) == set(order[-15:] if rule == "top" else order[:15])
    assert chosen.scope == "all"


def test_layers_without_a_chosen_neuron_are_left_out():
    values = statistic([[1, 2], [9, 8], [0, 3]])
    assert select(values, 1 / 3, scope="all").neurons == {1: (0, 1)}
    assert select(values, 1 / 3, "bottom", scope="all").neurons == {0: (0,), 2: (0,)}


def test_random_over_all_layers():
    top = flat(select(RANDOM, 0.2, scope="all"))
    drawn = [select(RANDOM, 0.2, "random", scope="all", seed=seed) for seed in range(20)]
    assert all(len(flat(draw)) == 60 and not flat(draw) & top for draw in drawn)
    assert drawn[3] == select(RANDOM, 0.2, "random", scope="all", seed=3)
    assert set().union(*map(flat, drawn)) == set(range(300)) - top
    assert len({tuple(map(len, draw.neurons.values())) for draw in drawn}) > 1  # layers differ in number


def test_layers_are_named_by_their_coordinate():
    values = [[5, 5, 1, 0], [5, 2, 3, 4]]
    ranked = statistic(values, layers=[7, 3])
    assert select(ranked, 0.5).neurons == {3: (0, 3), 7: (0, 1)}
    assert select(ranked, 0.125, scope="all").neurons == {3: (0,)}  # tied with both 5s of layer 7
    assert select(ranked.transpose("neuron", "layer"), 0.5) == select(ranked, 0.5)
    covariate = statistic([[0, 9, 9, 1], [0, 0, 9, 9]], "std", layers=[3, 7])
    assert select(ranked, 0.25, "matched", match=[covariate]).neurons == {3: (3,), 7: (1,)}


def least_total(points, top, pool):
    """The least sum of distances of any assignment, by trying all."""
    distance = np.linalg.norm(points[list(top)][:, None] - points[list(pool)], axis=-1)
    return min(sum(distance[range(len(top)), columns]) for columns in itertools.permutations(range(len(pool)), len(top)))


def z_scores(*covariates):
    points = np.stack([covariate.values for covariate in covariates], axis=-1).reshape(-1, len(covariates))
    return (points - points.mean(axis=0)) / np.maximum(points.std(axis=0), 1e-12)


@given(arrays(np.int8, (2, 2, 4), elements=st.integers(0, 4)), st.permutations(range(8)), st.integers(1, 3))
def test_matched_is_the_best_of_all_assignments(covariates, ranks, n_chosen):
    values, match = statistic(np.reshape(ranks, (2, 4))), [statistic(covariates[0], "std"), statistic(covariates[1], "mean")]
    top = flat(select(values, n_chosen / 8, scope="all"))
    chosen = select(values, n_chosen / 8, "matched", scope="all", match=match)
    points, pool = z_scores(*match), set(range(8)) - top
    np.testing.assert_allclose(least_total(points, top, flat(chosen)), least_total(points, top, pool), atol=1e-12)


def test_matched_is_the_optimum_of_the_dense_assignment():
    rng = np.random.default_rng(2)
    values = statistic(rng.normal(size=(2, 1500)))
    match = [statistic(values + 0.5 * rng.normal(size=(2, 1500)), name) for name in ("std", "mean", "negative_frac")]
    top, chosen = select(values, 0.05), select(values, 0.05, "matched", match=match)
    for layer in (0, 1):
        points = z_scores(*(covariate.isel(layer=layer) for covariate in match))
        pool = np.setdiff1d(np.arange(1500), top.neurons[layer])
        totals = []
        for controls in (pool, np.array(chosen.neurons[layer])):
            distance = np.linalg.norm(points[list(top.neurons[layer])][:, None] - points[controls], axis=-1)
            totals.append(distance[linear_sum_assignment(distance)].sum())
        np.testing.assert_allclose(totals[1], totals[0])


def test_balance_by_hand():
    """The only top neuron has 1, the eligible ones 5, 2, 9 and 8; the sixth has no value and does not count."""
    values, std = statistic([[9, 1, 2, 3, 4, np.nan]]), statistic([[1, 5, 2, 9, 8, 1]], "std")
    chosen = select(values, 1 / 6, "matched", match=[std])
    assert chosen.neurons == {0: (2,)}
    spread = np.std([1, 5, 2, 9, 8])
    assert chosen.provenance["balance"]["std"] == pytest.approx({"before": (6 - 1) / spread, "after": 1 / spread})


@pytest.mark.parametrize("scope", SCOPES)
def test_matching_removes_a_planted_confounder(scope):
    rng = np.random.default_rng(1)
    std, mean = (statistic(rng.normal(size=(4, 1000)) + np.arange(4)[:, None], name) for name in ("std", "mean"))
    values = std.copy(data=std + 0.3 * mean + rng.normal(size=(4, 1000))).rename("wasserstein_distance")
    chosen = select(values, 0.02, "matched", scope=scope, match=[std, mean])
    balance = chosen.provenance["balance"]
    assert list(balance) == ["std", "mean"]
    assert balance["std"]["before"] > 1
    assert all(differences["after"] < 0.1 * balance["std"]["before"] for differences in balance.values())
    selections = (select(values, 0.02, scope=scope), chosen, select(values, 0.02, "random", scope=scope, seed=0))
    top_mean, matched_mean, random_mean = (std.values.ravel()[list(flat(selection))].mean() for selection in selections)
    assert abs(top_mean - matched_mean) < 0.1 * abs(top_mean - random_mean)


def test_independent_covariates_were_balanced_before():
    rng = np.random.default_rng(3)
    values, std = statistic(rng.normal(size=(1, 5000))), statistic(rng.normal(size=(1, 5000)), "std")
    assert select(values, 0.1, "matched", match=[std]).provenance["balance"]["std"]["before"] < 3 / np.sqrt(500)


def test_of_equal_controls_the_lowest_is_chosen():
    values = statistic([[0, 1, 2, 3, 4, 5, 9, 8]])
    assert select(values, 0.25, "matched", match=[STD.isel(layer=[0], neuron=slice(8)) * 0]).neurons == {0: (0, 1)}
    groups = statistic([[7, 3, 7, 3, 3, 7, 7, 3]], "std")
    assert select(values, 0.25, "matched", match=[groups]).neurons == {0: (0, 1)}


def test_controls_without_a_finite_covariate_are_not_chosen():
    values = statistic([[9, 1, 2, 3, 4]])
    std = statistic([[1, 1, np.nan, np.inf, 2]], "std")
    assert select(values, 0.2, "matched", match=[std]).neurons == {0: (1,)}
    with pytest.raises(SelectionError, match="only 1 neurons are left outside the top 2"):
        select(statistic([[9, 1, 2, 3, 8]]), 0.4, "matched", match=[std])
    with pytest.raises(SelectionError, match="1 of the top neurons lack a finite covariate"):
        select(statistic([[0, 1, 2, 9, 4]]), 0.2, "matched", match=[std])


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("rule", RULES)
def test_files_keep_everything(tmp_path, rule, scope):
    chosen = select(RANDOM, 0.1, rule, scope=scope, **control_options(rule, STD, MEAN))
    assert (chosen.rule, chosen.statistic, chosen.scope) == (rule, "wasserstein_distance", scope)
    assert Selection.load(chosen.save(tmp_path / "chosen.json")) == chosen


def test_any_statistic_can_be_ranked():
    counts = RANDOM.copy(data=np.arange(300).reshape(3, 100)).rename("n_pairs")
    chosen = select(counts, 0.02)
    assert chosen.statistic == "n_pairs"
    assert chosen.neurons == {0: (98, 99), 1: (98, 99), 2: (98, 99)}
    assert select(counts > 298, 0.01).neurons == {0: (0,), 1: (0,), 2: (99,)}


@pytest.mark.parametrize(
    ("fraction", "rule", "options", "message"),
    [
        (0.0, "top", {}, "must be above 0 and at most 1, got 0"),
        (1.5, "top", {}, "must be above 0 and at most 1, got 1.5"),
        (0.001, "top", {}, "rounds to none; the least is 0.005"),
        (0.001, "top", {"scope": "all"}, "rounds to none; the least is 0.0017"),
        (0.1, "random", {}, "needs a seed"),
        (0.1, "matched", {"seed": 1, "match": [STD]}, "takes no seed"),
        (0.1, "matched", {}, "needs covariates"),
        (0.1, "random", {"seed": 1, "match": [STD]}, "takes no covariates"),
        (0.6, "random", {"seed": 1}, "left outside"),
        (0.6, "matched", {"match": [STD]}, "left outside"),
        (0.1, "matched", {"match": [STD, STD]}, "need different names"),
        (0.1, "matched", {"match": [STD.rename(None)]}, "need different names"),
        (0.1, "matched", {"match": [STD.isel(layer=[0, 1])]}, "differ in layers or neurons"),
        (0.1, "matched", {"match": [STD.assign_coords(layer=[1, 2, 3])]}, "differ in layers or neurons"),
        (0.1, "matched", {"match": [STD.isel(layer=0)]}, r"std has dims \('neuron',\)"),
    ],
)
def test_impossible_choices(fraction, rule, options, message):
    with pytest.raises(SelectionError, match=message):
        select(RANDOM, fraction, rule, **options)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (RANDOM.expand_dims("checkpoint"), "take one checkpoint"),
        (RANDOM.rename(None), "need different names"),
        (RANDOM.drop_attrs(), r"does not say its 'model'"),
        (RANDOM.drop_vars("weights_fingerprint"), r"does not say its 'weights_fingerprint'"),
        (RANDOM.assign_coords(layer=[0, 1, 1]), "whole layers"),
        (RANDOM.assign_coords(neuron=range(100)).isel(neuron=slice(50, 100)), "whole layers"),
    ],
)
def test_statistics_that_cannot_be_ranked(broken, message):
    with pytest.raises(SelectionError, match=message):
        select(broken, 0.1)


def test_unknown_names():
    with pytest.raises(UnknownNameError, match="did you mean 'bottom'"):
        select(RANDOM, 0.1, "botom")
    with pytest.raises(UnknownNameError, match="selection scope 'layers': did you mean 'layer'"):
        select(RANDOM, 0.1, scope="layers")
