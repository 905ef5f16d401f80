"""Contrasts of top and rest by a second route, on planted cohorts, under the null, and at equal shape."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.stats import kstest, ttest_ind

from analysis import find_pairs, functional_differentiation, pair_contrasts, pair_differentiation
from analysis.kernels.multiplicity import holm
from analysis.neurons.distribution import shape_statistics
from analysis.pairs.contrasts import FUNCTIONAL, MEAN, NEGATIVE, NOTHING, SHAPE, SLOPE
from tests.analysis.pairs.helpers import N_NEURONS, N_TOKENS, selection, spreading_store, toy_store

N_TOP = 40


def shape_of(store):
    """Shape statistics (layer, neuron) of a toy store."""
    values = store["preactivation"]
    return shape_statistics(values).assign(negative_frac=(values < 0).mean("token"))


def contrasts_of(store, chosen, seed=0, n_permutations=99, **options):
    pairs = find_pairs(store, n_neighbours=3, seed=seed)
    return pair_contrasts(
        store, pairs, chosen, shape_of(store), n_top=N_TOP, n_permutations=n_permutations, seed=seed, **options
    ), pairs


def row_of(table, measure=FUNCTIONAL, over=MEAN, given=NOTHING, layer=-1):
    is_row = (table["measure"] == measure) & (table["over"] == over) & (table["given"] == given) & (table["layer"] == layer)
    (row,) = table[is_row].to_dict("records")
    return row


def smooth(store):
    return store.assign_attrs(nonlinearity="gelu")


@pytest.fixture(scope="module")
def three():
    """Three layers; the third has no selected neuron."""
    store = smooth(toy_store(5, n_layers=4))
    chosen = selection({0: (0, 1, 2, 3), 1: (4, 5, 6), 3: (1, 7, 8, 9, 20)})
    table, pairs = contrasts_of(store, chosen)
    return store, chosen, pairs, table


def test_estimates_are_means_of_the_tables_of_neurons(three):
    store, chosen, pairs, table = three
    excess = functional_differentiation(store, pairs, None)["functional_excess"].values
    share = pair_differentiation(store, pairs, chosen, n_top=N_TOP, n_permutations=0)["pair_frac"].sel(signs="NN")
    of_measure = {FUNCTIONAL: excess, NEGATIVE: (share.sel(pool="similar") - share.sel(pool="matched")).values}
    for measure, values in of_measure.items():
        differences = {}
        for layer, members in chosen.neurons.items():
            is_member = np.isin(np.arange(N_NEURONS), members)
            differences[layer] = values[layer, is_member].mean() - values[layer, ~is_member].mean()
            row = row_of(table, measure, "layer", layer=layer)
            assert row["estimate"] == pytest.approx(differences[layer])
            assert (row["n_neurons"], row["n_layers"]) == (len(members), 1)
        assert row_of(table, measure)["estimate"] == pytest.approx(np.mean(list(differences.values())))
        slope = np.polyfit(list(differences), list(differences.values()), 1)[0] * 3
        assert row_of(table, measure, SLOPE)["estimate"] == pytest.approx(slope), (
            "layer 2 has no place on the slope, but its room"
        )


def test_rows_and_counts(three):
    _, chosen, _, table = three
    assert len(table) == 2 * (2 * 2 + 3)
    assert (table["n_clusters"] == 30).all()
    assert (table["cluster"] == "document").all()
    whole = table[table["layer"] == -1]
    assert (whole["n_layers"] == 3).all()
    assert (whole["n_neurons"] == chosen.n_neurons).all()
    assert (whole["p_adjusted"] == whole["p"]).all()
    by_layer = table[table["layer"] >= 0]
    for _, rows in by_layer.groupby("measure"):
        np.testing.assert_allclose(rows["p_adjusted"], holm(rows["p"].to_numpy()))
    has_p = table["p_permutation"].notna()
    assert (has_p == ((table["over"] == MEAN) & (table["given"] == NOTHING))).all()


def test_intervals_count_documents_beside_neurons(three):
    """They are wider than Welch's over neurons, whose variance is in them."""
    store, chosen, pairs, table = three
    excess = functional_differentiation(store, pairs, None)["functional_excess"].values[0]
    is_member = np.isin(np.arange(N_NEURONS), chosen.neurons[0])
    welch = ttest_ind(excess[is_member], excess[~is_member], equal_var=False).confidence_interval()
    row = row_of(table, over="layer", layer=0)
    assert row["upper"] - row["lower"] >= welch.high - welch.low - 1e-9
    assert row["upper"] - row["lower"] < 3 * (welch.high - welch.low)


def test_a_relu_differs_by_nothing_at_all(three):
    store, chosen, _, _ = three
    table, _ = contrasts_of(store.assign_attrs(nonlinearity="relu"), chosen)
    row = row_of(table)
    assert [row[name] for name in ("estimate", "lower", "upper", "p", "detectable")] == [0, 0, 0, 1, 0]
    assert row["p_permutation"] == 1
    assert row_of(table, NEGATIVE)["upper"] > 0


def test_an_unknown_nonlinearity_leaves_the_signs(three):
    store, chosen, _, table = three
    signs, _ = contrasts_of(store.assign_attrs(nonlinearity="none"), chosen)
    assert set(signs["measure"]) == {NEGATIVE}
    assert row_of(signs, NEGATIVE)["estimate"] == row_of(table, NEGATIVE)["estimate"]


def test_one_document_has_no_interval(three):
    store, chosen, _, _ = three
    alone = store.assign_coords(document=("token", np.zeros(N_TOKENS, int)))
    row = row_of(contrasts_of(alone, chosen)[0])
    assert np.isfinite([row["estimate"], row["p_permutation"]]).all()
    assert np.isnan([row["lower"], row["p"], row["detectable"]]).all()


N_MANY = 60
MEMBERS = tuple(range(10))


def test_a_planted_cohort_is_found():
    """It spreads similar inputs on the negative side as wide as their signs do, the rest little."""
    store = spreading_store(np.where(np.arange(N_MANY) < 10, 1.0, 0.2), of_groups=range(30, N_MANY))
    table, _ = contrasts_of(store, selection({0: MEMBERS, 1: MEMBERS}, N_MANY))
    row = row_of(table)
    assert row["lower"] > 0.1
    assert row["p"] < 0.001
    assert row["p_permutation"] == 0.01
    assert 0 < row["detectable"] < row["estimate"] < row["equivalence_bound"]
    assert row_of(table, over=SLOPE)["lower"] < 0 < row_of(table, over=SLOPE)["upper"]
    rest = tuple(range(40, 50))
    elsewhere, _ = contrasts_of(store, selection({0: rest, 1: rest}, N_MANY))
    assert row_of(elsewhere)["upper"] < 0


def test_a_slope_is_found():
    """The cohort of the last of three layers spreads, those before it less and not at all."""
    layers = [
        spreading_store(np.where(np.arange(N_MANY) < 10, width, 0.2), seed=3).isel(layer=[0]) for width in (0.2, 0.6, 1.0)
    ]
    store = xr.concat([layer.assign_coords(layer=[i]) for i, layer in enumerate(layers)], "layer", data_vars="minimal")
    table, _ = contrasts_of(store.assign_attrs(nonlinearity="silu"), selection(dict.fromkeys(range(3), MEMBERS), N_MANY))
    by_layer = [row_of(table, over="layer", layer=layer)["estimate"] for layer in range(3)]
    assert row_of(table, over=SLOPE)["estimate"] == pytest.approx(by_layer[2] - by_layer[0])
    assert row_of(table, over=SLOPE)["lower"] > 0


def test_what_is_a_matter_of_shape_alone_goes_at_equal_shape():
    """The more a neuron spreads, the more skewed it is and the larger its excess; the cohort are the most skewed ones."""
    spread = np.linspace(1.0, 0.1, N_MANY)
    table, _ = contrasts_of(spreading_store(spread), selection({0: MEMBERS, 1: MEMBERS}, N_MANY))
    raw, adjusted = row_of(table), row_of(table, given=SHAPE)
    assert raw["lower"] > 0.1
    assert abs(adjusted["estimate"]) < 0.15 * raw["estimate"]
    assert adjusted["lower"] < 0 < adjusted["upper"]


def test_what_is_more_than_shape_stays_at_equal_shape():
    """All neurons have the same distribution; the cohort alone spreads within groups of similar inputs."""
    store = spreading_store(np.linspace(0.8, 1.0, N_MANY)[::-1], of_groups=range(10, N_MANY))
    table, _ = contrasts_of(store, selection({0: MEMBERS, 1: MEMBERS}, N_MANY))
    raw, adjusted = row_of(table), row_of(table, given=SHAPE)
    assert adjusted["lower"] > 0.1
    assert adjusted["estimate"] == pytest.approx(raw["estimate"], rel=0.25)


def null_table(inputs, pairs, seed, with_documents):
    """Contrasts of a cohort that is chosen at random, of neurons that do not know their inputs, in documents that may differ."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(1, N_TOKENS, N_NEURONS)) * rng.lognormal(0, 0.3, (1, 1, N_NEURONS))
    if with_documents:
        document = inputs["document"].values
        of_neurons = rng.normal(size=(1, 30, N_NEURONS))[:, document]
        values = values + 0.5 * rng.normal(size=(1, 30, 1))[:, document] + 0.5 * of_neurons
    store = smooth(inputs.assign(preactivation=(("layer", "token", "neuron"), values.astype(np.float32))))
    chosen = selection({0: tuple(sorted(rng.choice(N_NEURONS, 6, replace=False).tolist()))})
    return pair_contrasts(store, pairs, chosen, shape_of(store), n_top=400, n_permutations=49, seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("with_documents", [False, True])
def test_the_null_is_rejected_at_its_rate(with_documents):
    """200 texts: tests over documents and neurons reject 1% to 8%, also at equal shape; p of permuted cohorts is uniform."""
    inputs = toy_store(9)
    pairs = find_pairs(inputs, n_neighbours=3)
    tables = [null_table(inputs, pairs, seed, with_documents) for seed in range(200)]
    for measure in (FUNCTIONAL, NEGATIVE):
        for given in (NOTHING, SHAPE):
            rejected = np.mean([row_of(table, measure, given=given)["p"] < 0.05 for table in tables])
            assert 0.01 <= rejected <= 0.08, (measure, given)
        permuted = np.array([row_of(table, measure)["p_permutation"] for table in tables])
        jitter = np.random.default_rng(0).random(len(permuted)) / 50
        assert kstest(permuted - jitter, "uniform").pvalue > 0.01, measure
