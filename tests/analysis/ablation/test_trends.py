"""Trends of damage over groups of layers and over training, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.stats import t, ttest_1samp

from analysis import damage_trends
from analysis.ablation.trends import ACCUMULATED, MARGIN, OVER_DEPTH, OVER_TRAINING, PERPLEXITY

N_DOCUMENTS, N_PAIRS = 30, 24
LAST = 7
INTACT = {"rule": "none", "layers": (-1, -1)}


def labels_of(conditions):
    """Columns of the conditions."""
    rules = [condition["rule"] for condition in conditions]
    return {
        "intervention": ["none" if rule == "none" else "negative-zero" for rule in rules],
        "cohort": [f"{rule} {condition['layers']}" for rule, condition in zip(rules, conditions, strict=True)],
        "rule": rules,
        "statistic": ["" if rule == "none" else "wasserstein_distance" for rule in rules],
        "fraction": [0.0 if rule == "none" else 0.5 for rule in rules],
        "scope": ["" if rule == "none" else "layer" for rule in rules],
        "first_layer": [condition["layers"][0] for condition in conditions],
        "last_layer": [condition["layers"][1] for condition in conditions],
        "chosen_at": ["" if rule == "none" else "same" for rule in rules],
        "target_scope": ["layer" if rule == "random" else "" for rule in rules],
        "tolerance": [np.nan] * len(rules),
    }


def a_store(conditions, rises, steps=(4,), losses=None, seed=0, noise=0.1):
    """An ablation of a model of 8 layers.

    `conditions` are mappings with `rule` and `layers` (first, last), the intact model first; `rises` (checkpoint, condition) of
    surprisal, `losses` of the margin of minimal pairs of two paradigms, one three times as large as the other.
    """
    rng = np.random.default_rng(seed)
    shape = (len(steps), len(conditions))
    labels = labels_of(conditions)
    surprisal = rng.exponential(2, (1, 1, 5 * N_DOCUMENTS)) + noise * rng.normal(size=(*shape, 5 * N_DOCUMENTS))
    surprisal += np.asarray(rises, float)[..., None]
    surprisal[..., ::5] = np.nan
    head = ("checkpoint", "condition")
    arrays = {
        "ablated_surprisal": ((*head, "token"), surprisal),
        "perplexity": (head, np.exp(np.nanmean(surprisal, axis=-1))),
        "is_edited": ((*head, "layer", "neuron"), np.ones((*shape, 8, 2), bool)),
    }
    coords = {"checkpoint": list(steps), "layer": np.arange(8)} | {
        name: ("condition", values) for name, values in labels.items()
    }
    coords |= {
        "document": ("token", np.repeat(np.arange(N_DOCUMENTS), 5)),
        "is_scored": ("token", np.arange(5 * N_DOCUMENTS) % 5 > 0),
    }
    if losses is not None:
        margins = 3 + noise * rng.normal(size=(*shape, N_PAIRS)) - np.asarray(losses, float)[..., None]
        arrays |= {
            "log_probability_good": ((*head, "pair"), margins - 20),
            "log_probability_bad": ((*head, "pair"), np.full(margins.shape, -20.0)),
        }
        paradigm = ["a"] * (3 * N_PAIRS // 4) + ["b"] * (N_PAIRS // 4)
        coords |= dict.fromkeys(("paradigm", "phenomenon", "benchmark"), ("pair", paradigm))
        coords |= {f"sentence_{side}": ("pair", [f"{side} {i}" for i in range(N_PAIRS)]) for side in ("good", "bad")}
    return xr.Dataset(arrays, coords)


def top(*layers):
    return {"rule": "top", "layers": layers}


def control(*layers):
    return {"rule": "random", "layers": layers}


def row_of(table, trend, outcome=PERPLEXITY):
    (row,) = table[(table["trend"] == trend) & (table["outcome"] == outcome)].to_dict("records")
    return row


def of_documents(store, checkpoint, condition):
    """(document,) Mean surprisal."""
    return np.nanmean(store["ablated_surprisal"].values[checkpoint, condition].reshape(N_DOCUMENTS, 5), axis=1)


def check(row, values, against, n_states):
    """The row is the t-test of these values of documents."""
    expected = ttest_1samp(values, 0)
    interval = expected.confidence_interval()
    known = [values.mean(), interval.low, interval.high, expected.pvalue]
    assert [row[name] for name in ("estimate", "lower", "upper", "p")] == pytest.approx(known)
    assert (row["against"], row["n_states"], row["n_clusters"], row["cluster"]) == (against, n_states, len(values), "document")


GROUPS = [(0, 2), (3, 5), (6, 7)]
"""Three groups of eight layers, as a design cuts them: the last is smaller."""


def test_a_slope_over_depth_has_all_groups():
    store = a_store([INTACT, *(top(*layers) for layers in GROUPS)], [[0, 0.6, 0.4, 0.1]])
    table = damage_trends(store)
    assert table["trend"].tolist() == [OVER_DEPTH]
    rises = np.stack([of_documents(store, 0, index) - of_documents(store, 0, 0) for index in (1, 2, 3)])
    middle = [1, 4, 6.5]
    slope = np.array([np.polyfit(middle, of_document, 1)[0] * 5.5 for of_document in rises.T])
    check(row_of(table, OVER_DEPTH), slope, "intact", 3)
    assert row_of(table, OVER_DEPTH)["upper"] < -0.3


def test_single_and_cumulative_groups_and_all_layers():
    """The first group is both; the sums of groups have no place on the slope."""
    conditions = [INTACT, *(top(*layers) for layers in GROUPS), top(0, 5), top(0, LAST)]
    store = a_store(conditions, [[0, 0.6, 0.4, 0.1, 0.9, 1.3]])
    table = damage_trends(store)
    assert row_of(table, OVER_DEPTH)["n_states"] == 3
    assert row_of(table, OVER_DEPTH)["estimate"] < -0.3
    check(row_of(table, ACCUMULATED), of_documents(store, 0, 5) - of_documents(store, 0, 1), "intact", 2)


def test_cumulative_groups_alone_have_no_slope():
    store = a_store([INTACT, top(0, 2), top(0, 5), top(0, LAST)], [[0, 0.6, 0.9, 1.3]])
    assert damage_trends(store)["trend"].tolist() == [ACCUMULATED]


def test_one_ablation_has_no_trend():
    assert damage_trends(a_store([INTACT, top(0, LAST), control(0, LAST)], [[0, 1, 0.1]])).empty


def test_controls_count_where_every_state_has_one():
    conditions = [INTACT, *(top(*layers) for layers in GROUPS), *(control(*layers) for layers in GROUPS)]
    rises = [[0, 0.6, 0.4, 0.1, 0.5, 0.2, 0.0]]
    store = a_store(conditions, rises)
    beyond = np.stack([of_documents(store, 0, 1 + k) - of_documents(store, 0, 4 + k) for k in range(3)])
    slope = np.array([np.polyfit([1, 4, 6.5], of_document, 1)[0] * 5.5 for of_document in beyond.T])
    check(row_of(damage_trends(store), OVER_DEPTH), slope, "random", 3)
    without = store.isel(condition=[0, 1, 2, 3, 4, 5])
    assert row_of(damage_trends(without), OVER_DEPTH)["against"] == "intact"


def test_draws_of_the_controls_vary():
    """No noise: each draw of neurons has a slope of its own, and the interval is over these two."""
    conditions = [INTACT, *(top(*layers) for layers in GROUPS), *(control(*layers) for layers in GROUPS for _ in range(2))]
    of_controls = np.array([[0.3, 0.2], [0.1, 0.2], [0.0, 0.1]])
    store = a_store(conditions, [[0, 0.6, 0.4, 0.1, *of_controls.ravel()]], noise=0)
    row = row_of(damage_trends(store), OVER_DEPTH)
    slope_of_top, *slopes = (np.polyfit([1, 4, 6.5], values, 1)[0] * 5.5 for values in ([0.6, 0.4, 0.1], *of_controls.T))
    assert row["estimate"] == pytest.approx(slope_of_top - np.mean(slopes))
    assert row["upper"] - row["estimate"] == pytest.approx(t.ppf(0.975, 1) * np.std(slopes, ddof=1) / np.sqrt(2))


@pytest.mark.parametrize("with_control", [False, True])
def test_a_slope_over_training(with_control):
    steps = (0, 63, 4000)
    conditions = [INTACT, top(0, LAST), *([control(0, LAST)] if with_control else [])]
    rises = [[0, 0.0, 0.1], [5, 5.3, 5.0], [2, 3.0, 2.2]]
    store = a_store(conditions, np.array(rises)[:, : len(conditions)], steps)
    table = damage_trends(store)
    assert table["trend"].tolist() == [OVER_TRAINING]
    reference = 2 if with_control else 0
    damage = np.stack([of_documents(store, index, 1) - of_documents(store, index, reference) for index in range(3)])
    places = np.log2(1 + np.array(steps))
    slope = np.array([np.polyfit(places, of_document, 1)[0] * np.ptp(places) for of_document in damage.T])
    check(row_of(table, OVER_TRAINING), slope, "random" if with_control else "intact", 3)


def test_groups_over_training_are_told_apart_and_depth_is_that_of_the_last_checkpoint():
    conditions = [INTACT, *(top(*layers) for layers in GROUPS)]
    store = a_store(conditions, [[0, 0, 0, 0.0], [0, 0.6, 0.4, 0.1]], (0, 4000))
    table = damage_trends(store)
    over_training = table[table["trend"] == OVER_TRAINING].set_index("first_layer")
    assert over_training["last_layer"].to_dict() == dict(GROUPS)
    assert over_training.loc[0, "estimate"] == pytest.approx(0.6, abs=0.1)
    assert row_of(table, OVER_DEPTH)["estimate"] == pytest.approx(
        row_of(damage_trends(store.isel(checkpoint=[1])), OVER_DEPTH)["estimate"]
    )


def test_margins_are_lost_as_the_average_over_paradigms():
    """A large paradigm and a small one count alike."""
    conditions = [INTACT, *(top(*layers) for layers in GROUPS)]
    zero = [[0] * 4]
    store = a_store(conditions, zero, losses=[[0, 2.0, 1.0, 0.5]])
    store["log_probability_good"][0, 1, -N_PAIRS // 4 :] -= 1
    margins = (store["log_probability_good"] - store["log_probability_bad"]).values[0]
    is_small = np.arange(N_PAIRS) >= 3 * N_PAIRS // 4
    averaged = [(row[~is_small].mean() + row[is_small].mean()) / 2 for row in margins]
    loss = averaged[0] - np.array(averaged[1:])
    row = row_of(damage_trends(store), OVER_DEPTH, MARGIN)
    assert row["estimate"] == pytest.approx(np.polyfit([1, 4, 6.5], loss, 1)[0] * 5.5)
    assert (row["n_clusters"], row["cluster"]) == (N_PAIRS, "minimal-pair cluster")
    assert row["upper"] < 0
    assert row_of(damage_trends(store), OVER_DEPTH)["lower"] < 0 < row_of(damage_trends(store), OVER_DEPTH)["upper"]


def test_the_null_is_rejected_at_its_rate():
    conditions = [INTACT, *(top(*layers) for layers in GROUPS), *(control(*layers) for layers in GROUPS)]
    p = [row_of(damage_trends(a_store(conditions, [[0] * 7], seed=seed)), OVER_DEPTH)["p"] for seed in range(100)]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.045)
