"""The interaction of readout type with ablation, planted and absent."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from scipy.stats import norm, ttest_ind

from analysis import dissociation
from tests.analysis.helpers import HEAD, pair_store

N_PAIRS, N_ITEMS = 400, 300
ONE_DRAW = [0, 1, 2]
"""Indices of the conditions, without the second draw of random."""


def planted(pair_accuracies, item_accuracies, seed=0):
    """A store whose conditions (intact, top, two draws of random) have these accuracies.

    Also the right answers (condition, item) of top and random, to pairs and to items.
    """
    rng = np.random.default_rng(seed)
    margins = np.where(rng.random((4, N_PAIRS)) < np.array(pair_accuracies)[:, None], 1.0, -1.0)
    answer = rng.integers(0, 4, N_ITEMS)
    right = rng.random((4, N_ITEMS)) < np.array(item_accuracies)[:, None]
    scores = np.zeros((1, 4, N_ITEMS, 4))
    for condition, item in np.ndindex(right.shape):
        scores[0, condition, item, (answer[item] + (0 if right[condition, item] else 1)) % 4] = 1
    probe = ["facts"] * (N_ITEMS // 3) + ["recall"] * (N_ITEMS - N_ITEMS // 3)
    paradigm, phenomenon = np.repeat(["a", "b"], N_PAIRS // 2), ["x"] * N_PAIRS
    store = pair_store(margins, paradigm, phenomenon, log_probability_option=((*HEAD, "item", "option"), scores))
    return store.assign_coords(answer=("item", answer), probe=("item", probe)), margins[1:] > 0, right[1:]


def row_of(table, against="random", outcome="accuracy"):
    """The row of the top cohort against the intact model or its random control, however often that was drawn."""
    rows = table[(table["cohort"] == "top") & (table["outcome"] == outcome)]
    (row,) = rows[rows["against"].str.startswith(against)].to_dict("records")
    return row


def test_costs_are_differences_of_macro_averages():
    store, margins, right = planted([0.9, 0.6, 0.9, 0.9], [0.8, 0.8, 0.6, 0.6])
    row = row_of(dissociation(store))
    grammar = margins[1:].mean() - margins[0].mean()
    probes = (slice(0, N_ITEMS // 3), slice(N_ITEMS // 3, None))
    rest = np.mean([right[1:, part].mean() - right[0, part].mean() for part in probes])
    assert row["grammar_cost"] == pytest.approx(grammar)
    assert row["other_cost"] == pytest.approx(rest)
    assert row["interaction"] == pytest.approx(grammar - rest)
    assert (row["n_pairs"], row["n_others"]) == (N_PAIRS, N_ITEMS)


def test_only_a_double_dissociation_is_called_double():
    double = row_of(dissociation(planted([0.9, 0.7, 0.9, 0.9], [0.9, 0.9, 0.7, 0.7])[0].isel(condition=ONE_DRAW)))
    assert double["is_double"]
    assert double["interaction_lower"] > 0.2
    assert double["log_odds_interaction_lower"] > 0
    assert not double["is_equivalent"]
    single = row_of(dissociation(planted([0.9, 0.7, 0.9, 0.9], [0.9, 0.9, 0.9, 0.9])[0].isel(condition=ONE_DRAW)))
    assert single["p_adjusted"] < 0.05
    assert not single["is_double"]
    reverse = row_of(dissociation(planted([0.9, 0.9, 0.7, 0.7], [0.9, 0.7, 0.9, 0.9])[0].isel(condition=ONE_DRAW)))
    assert reverse["interaction_upper"] < 0
    assert not reverse["is_double"]


def test_no_change_is_no_certainty():
    store, *_ = planted([0.9] * 4, [0.8] * 4)
    for name in ("log_probability_good", "log_probability_option"):
        store[name][:] = store[name][:, :1].values
    row = row_of(dissociation(store), against="intact")
    error = np.sqrt(2) * np.hypot(1 / (N_PAIRS + 2), 1 / (N_ITEMS + 2))
    assert (row["interaction"], row["p"]) == (0, 1)
    assert row["interaction_upper"] == pytest.approx(1.96 * error, rel=1e-3)
    assert row["other_cost_upper"] == pytest.approx(1.96 * np.sqrt(2) / (N_ITEMS + 2), rel=1e-3)
    assert row["is_equivalent"]


def test_separation_is_reported():
    row = row_of(dissociation(planted([1.0, 0.7, 1.0, 1.0], [0.9] * 4)[0]), against="intact")
    assert row["is_separated"]
    assert np.isnan(row["log_odds_interaction"])
    assert row["interaction"] > 0.2


def long_table(margins, right):
    """One row an item under the ablation and under the control."""
    tables = []
    for answers, is_grammar in ((margins, 1), (right, 0)):
        item = np.arange(answers.shape[1]) + 1000 * is_grammar
        for is_ablated in (1, 0):
            y = answers[1 - is_ablated].astype(float)
            tables.append(pd.DataFrame({"y": y, "ablated": is_ablated, "grammar": is_grammar, "item": item}))
    return pd.concat(tables)


def test_the_contrast_is_that_of_regressions_and_its_interval_is_welch_s():
    """One paradigm and one probe: statsmodels fits the same models to the long table, and Welch's t test is on changes."""
    store, margins, right = planted([0.9, 0.7, 0.9, 0.9], [0.9, 0.85, 0.7, 0.7])
    store = store.assign_coords(paradigm=("pair", ["a"] * N_PAIRS), probe=("item", ["facts"] * N_ITEMS))
    row = row_of(dissociation(store.isel(condition=ONE_DRAW)))
    long = long_table(margins, right)
    clusters = {"cov_type": "cluster", "cov_kwds": {"groups": long["item"], "use_correction": False}}
    linear = smf.ols("y ~ ablated * grammar", long).fit(**clusters)
    assert row["interaction"] == pytest.approx(-linear.params["ablated:grammar"])
    costs = [values[1].astype(float) - values[0] for values in (margins, right)]
    reach = np.ptp(ttest_ind(*costs, equal_var=False).confidence_interval()) / 2
    rare = 2 * norm.ppf(0.975) ** 2 * ((N_PAIRS + 2.0) ** -2 + (N_ITEMS + 2.0) ** -2)
    assert row["interaction_upper"] - row["interaction"] == pytest.approx(np.sqrt(reach**2 + rare), rel=1e-6)
    logistic = smf.glm("y ~ ablated * grammar", long, family=sm.families.Binomial()).fit(**clusters)
    assert row["log_odds_interaction"] == pytest.approx(-logistic.params["ablated:grammar"])
    width = row["log_odds_interaction_upper"] - row["log_odds_interaction_lower"]
    assert width == pytest.approx(2 * 1.96 * logistic.bse["ablated:grammar"], rel=5e-3)


def test_two_draws_have_a_wider_interval_than_one():
    """Two draws that differ only by chance: their variance is in the interval, and the table has their number."""
    store = planted([0.9, 0.7, 0.9, 0.9], [0.9, 0.9, 0.7, 0.7])[0]
    single, both = (row_of(dissociation(part)) for part in (store.isel(condition=ONE_DRAW), store))
    assert (single["n_draws"], both["n_draws"]) == (1, 2)
    width = [row["interaction_upper"] - row["interaction_lower"] for row in (single, both)]
    assert width[1] > 1.5 * width[0]
    assert (both["n_clusters"], both["cluster"]) == (N_ITEMS, "item")


def test_a_null_is_rejected_at_its_rate():
    """300 stores whose conditions have equal accuracies: 5% ± 2.5% of the single-seed contrasts are rejected."""
    p = [row_of(dissociation(planted([0.85] * 4, [0.8] * 4, seed)[0]), against="intact")["p"] for seed in range(300)]
    assert abs(np.mean(np.array(p) < 0.05) - 0.05) < 0.025
    assert np.std(p) == pytest.approx(1 / np.sqrt(12), abs=0.05)


def test_margins_see_what_accuracy_at_its_ceiling_cannot():
    """Every answer stays right while grammar loses 0.5 nats and the rest none: Welch's test of changes, one draw a side."""
    store, *_ = planted([1.0] * 4, [1.0] * 4)
    rng = np.random.default_rng(1)
    loss = rng.normal(0.5, 0.1, N_PAIRS)
    good = store["log_probability_good"].values
    good += 4 - good.min()
    good[0, 1] -= loss
    options = store["log_probability_option"].values
    options *= rng.uniform(2, 3, (1, 4, N_ITEMS, 1))
    table = dissociation(store.isel(condition=ONE_DRAW))
    accuracy, margin = (row_of(table, outcome=outcome) for outcome in ("accuracy", "margin"))
    assert accuracy["interaction"] == 0
    right = np.take_along_axis(options[0], store["answer"].values[None, :, None], axis=-1)[..., 0]
    rest = right[2] - right[1]
    of_probes = np.mean([rest[: N_ITEMS // 3].mean(), rest[N_ITEMS // 3 :].mean()])
    assert margin["grammar_cost"] == pytest.approx(loss.mean())
    assert margin["other_cost"] == pytest.approx(of_probes)
    assert margin["interaction_lower"] > 0.3
    assert np.isnan(margin["log_odds_interaction"])
    assert 0 < margin["detectable"] < margin["interaction"]
