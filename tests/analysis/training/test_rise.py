"""The rise of an early cohort, by t-tests of its changes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_ind

from actstore.errors import SelectionError
from analysis import rise
from analysis.training.rise import ITSELF
from tests.analysis.training.helpers import over_training, selection

STEPS = [0, 20, 50, 80]
MEMBERS = (0, 1, 2, 3, 4)


@pytest.fixture
def values():
    """One layer of 30 neurons; the first five rise by 2, the rest by 0.5, from step 20 to step 80."""
    rng = np.random.default_rng(0)
    array = rng.normal(size=(4, 1, 30)) * 0.3
    array[3] += np.where(np.arange(30) < 5, 2, 0.5)
    return array


def early(layers=(0,), members=MEMBERS, n_neurons=30):
    """Chosen at step 20."""
    return selection(dict.fromkeys(layers, members), n_neurons)


def rows_of(values, chosen, steps=STEPS, duplicate_of=None):
    return rise(over_training(values, steps, duplicate_of), chosen).set_index("against")


def test_of_one_layer_it_is_a_t_test(values):
    table = rows_of(values, early())
    change = values[3, 0] - values[1, 0]
    alone, beyond = ttest_1samp(change[:5], 0), ttest_ind(change[:5], change[5:], equal_var=False)
    for against, expected, estimate in (
        (ITSELF, alone, change[:5].mean()),
        ("rest", beyond, change[:5].mean() - change[5:].mean()),
    ):
        row, interval = table.loc[against], expected.confidence_interval()
        known = [estimate, interval.low, interval.high, expected.pvalue]
        assert row[["estimate", "lower", "upper", "p"]].tolist() == pytest.approx(known)
        assert (row["step_from"], row["step_to"], row["n_layers"], row["n_neurons"]) == (20, 80, 1, 5)
        assert (row["n_clusters"], row["cluster"]) == (5, "neuron")
    assert table.loc["rest", "estimate"] == pytest.approx(1.5, abs=0.4)


def test_layers_count_alike(values):
    layers = np.concatenate([values, 3 * values, values], axis=1)
    chosen = selection({0: MEMBERS, 1: MEMBERS[:3]}, 30)
    table = rows_of(layers, chosen)
    change = layers[3] - layers[1]
    assert table.loc[ITSELF, "estimate"] == pytest.approx((change[0, :5].mean() + change[1, :3].mean()) / 2)
    assert (table["n_layers"] == 2).all(), "layer 2 has no neuron of the cohort"
    variance = (change[0, :5].var(ddof=1) / 5 + change[1, :3].var(ddof=1) / 3) / 4
    row = table.loc[ITSELF]
    assert row["upper"] - row["lower"] > 2 * 1.96 * np.sqrt(variance)


def test_neurons_without_a_value_are_left_out(values):
    values[3, 0, [0, 20]] = np.nan
    change = values[3, 0] - values[1, 0]
    table = rows_of(values, early())
    assert table.loc[ITSELF, "estimate"] == pytest.approx(change[1:5].mean())
    assert table.loc["rest", "estimate"] == pytest.approx(change[1:5].mean() - np.nanmean(change[5:]))


def test_a_single_neuron_has_no_interval(values):
    table = rows_of(values, early(members=(3,)))
    assert np.isfinite(table["estimate"]).all()
    assert np.isnan(table[["lower", "upper", "p", "detectable"]]).all(axis=None)


def test_repeated_checkpoints_do_not_count(values):
    repeated = np.concatenate([values, values[1:2]])
    table = rows_of(repeated, early(), [*STEPS, 90], [-1, -1, -1, -1, 20])
    assert table.equals(rows_of(values, early()))


def test_a_cohort_of_the_last_checkpoint_has_not_risen_yet(values):
    assert rise(over_training(values[:2], [0, 20]), early()).empty


def test_a_cohort_of_another_checkpoint_is_not_measured(values):
    assert rise(over_training(values, [0, 10, 50, 80]), early()).empty


def test_a_cohort_of_other_layers_is_refused(values):
    with pytest.raises(SelectionError, match="layers of 9 neurons"):
        rise(over_training(values, STEPS), early(n_neurons=9))


def test_a_null_is_rejected_at_its_rate():
    rng = np.random.default_rng(1)
    p = [rows_of(rng.normal(size=(4, 2, 30)), early((0, 1)))["p"] for _ in range(300)]
    assert np.mean(np.array(p) < 0.05, axis=0) == pytest.approx([0.05, 0.05], abs=0.03)
