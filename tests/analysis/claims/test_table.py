"""The claims of planted and null ablations, and of models that differ: every verdict, and the numbers by a second route."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, ttest_1samp

import analysis
from analysis.ablation.contrasts import perplexity_contrasts
from analysis.ablation.minimal_pairs import pair_accuracy, paired_tests
from analysis.claims.contrasts import CLAIMS, Evidence
from analysis.claims.table import claims_table
from analysis.kernels.multiplicity import holm
from tests.analysis.ablation.test_tables import planted
from tests.analysis.helpers import pair_store

N_DOCUMENTS = 60


def ablation(rise, seed=0):
    """Tables of an ablation whose top cohort has this much more surprisal than one random draw of neurons."""
    rng = np.random.default_rng(seed)
    surprisal = rng.exponential(2, (1, 1, 5 * N_DOCUMENTS)).repeat(4, axis=1)
    surprisal[0, 1:] += rng.normal(0, 0.2, (3, 5 * N_DOCUMENTS))
    surprisal[0, 1] += rise
    surprisal[..., ::5] = np.nan
    store = planted(surprisal).isel(condition=[0, 1, 2])
    return store, {"perplexity_contrasts": perplexity_contrasts(store)}


def verdict_on(table, claim, model="m"):
    (outcome,) = table[(table["claim"] == claim) & (table["model"] == model)]["claim_verdict"].unique()
    return outcome


@pytest.mark.parametrize(("rise", "expected"), [(0.2, "supported"), (-0.2, "contrary")])
def test_planted_damage(rise, expected):
    store, tables = ablation(rise)
    table = claims_table([Evidence("m", "gelu", {}, {"a": tables})])
    assert verdict_on(table, "C4") == expected
    row = table[(table["claim"] == "C4") & table["is_main"]].iloc[0]
    change = np.nanmean((store["ablated_surprisal"][0, 1] - store["ablated_surprisal"][0, 2]).values.reshape(-1, 5), axis=1)
    interval = ttest_1samp(change, 0).confidence_interval()
    np.testing.assert_allclose(row[["estimate", "lower", "upper"]].astype(float), [change.mean(), interval.low, interval.high])
    assert row["source"] == "a/perplexity_contrasts.csv"


def test_null_damage_is_called_supported_or_contrary_at_its_rate():
    verdicts = [
        verdict_on(claims_table([Evidence("m", "gelu", {}, {"a": ablation(0.0, seed)[1]})]), "C4") for seed in range(200)
    ]
    shares = pd.Series(verdicts).value_counts(normalize=True)
    assert shares["no evidence"] == pytest.approx(0.95, abs=0.04)
    assert shares.get("supported", 0) < 0.06


def test_what_was_not_measured_is_not_tested_and_says_what_is_missing():
    table = claims_table([Evidence("m", "gelu")])
    assert table["claim"].unique().tolist() == list(CLAIMS)
    assert set(table["verdict"]) == set(table["claim_verdict"]) == {"not tested"}
    assert (table["missing"] != "").all()
    assert table[["estimate", "p", "p_adjusted", "detectable"]].isna().all(axis=None)


def contrasts_of_pairs(functional, negative, half=0.01):
    """A table of `pair_contrasts` with these means over layers."""
    rows = []
    for measure, value in (("functional share", functional), ("negative–negative share", negative)):
        width = 0.0 if value == 0 else half
        columns = {"estimate": value, "lower": value - width, "upper": value + width, "p": 0.01}
        columns |= {"equivalence_bound": abs(value) + width, "detectable": width}
        rows.append({"measure": measure, "over": "mean over layers", "given": "nothing", **columns})
    return pd.DataFrame(rows)


def test_smooth_models_are_compared_with_the_relu_model():
    smooth = Evidence("smooth", "gelu", {"pair_contrasts": contrasts_of_pairs(0.05, 0.02)})
    relu = Evidence("relu", "relu", {"pair_contrasts": contrasts_of_pairs(0.0, 0.05, half=0.02)})
    table = claims_table([smooth, relu])
    rows = table[(table["claim"] == "C3") & (table["model"] == "smooth")].set_index("contrast")
    functional, negative = (rows.iloc[index] for index in (0, 1))
    assert (functional["estimate"], functional["lower"]) == pytest.approx((0.05, 0.04))
    assert negative["lower"] == pytest.approx(-0.03 - np.hypot(0.01, 0.02))
    assert negative["p"] == pytest.approx(2 * norm.sf(0.03 / (np.hypot(0.01, 0.02) / norm.ppf(0.975))))
    assert (functional["verdict"], negative["verdict"], verdict_on(table, "C3", "smooth")) == (
        "supported",
        "contrary",
        "supported",
    )
    assert verdict_on(table, "C3", "relu") == "not tested"
    assert verdict_on(table, "C2", "relu") == "no evidence"


def test_p_values_are_adjusted_over_all_contrasts_of_a_model():
    evidence = [Evidence(name, "gelu", {"pair_contrasts": contrasts_of_pairs(0.05, 0.02)}) for name in "ab"]
    for _, rows in claims_table(evidence).groupby("model"):
        np.testing.assert_allclose(rows["p_adjusted"], holm(rows["p"].to_numpy()))


@pytest.mark.parametrize(("share_right", "first"), [(1.0, "margin"), (0.8, "accuracy")])
def test_margins_come_first_where_accuracy_is_at_its_ceiling(share_right, first):
    """The control is one that matches the perplexity of the top cohort; the margin falls, no answer changes."""
    rng = np.random.default_rng(0)
    intact = np.where(np.arange(200) < 200 * share_right, 3.0, -3.0)
    margins = np.stack([intact, intact - rng.normal(0.5, 0.1, 200), intact, intact])
    store = pair_store(margins, ["p"] * 200, ["x"] * 200).isel(condition=[0, 1, 2])
    store = store.assign_coords(
        rule=("condition", ["none", "top", "perplexity-matched"]),
        cohort=("condition", ["none", "top", "control"]),
        tolerance=("condition", [np.nan, np.nan, 0.01]),
    )
    tables = {"paired_tests": paired_tests(store), "accuracy_by_phenomenon": pair_accuracy(store)}
    table = claims_table([Evidence("m", "gelu", {}, {"a": tables})])
    rows = table[table["claim"] == "C5"]
    assert rows["contrast"].str.partition(" ")[0].tolist() == [first, "accuracy" if first == "margin" else "margin"]
    assert rows["is_main"].tolist() == [True, False]
    margin = rows[rows["contrast"].str.startswith("margin")].iloc[0]
    assert margin["estimate"] == pytest.approx((margins[1] - margins[2]).mean())
    assert margin["verdict"] == "supported"
    assert verdict_on(table, "C5") == ("supported" if first == "margin" else "no evidence")


def test_a_control_that_is_not_matched_tests_nothing():
    margins = np.zeros((4, 50))
    store = pair_store(margins, ["p"] * 50, ["x"] * 50).isel(condition=[0, 1, 2])
    store = store.assign_coords(
        rule=("condition", ["none", "top", "perplexity-matched"]), tolerance=("condition", [np.nan, np.nan, 0.01])
    )
    store["perplexity"][0, 1] = 12.0
    tables = {"paired_tests": paired_tests(store), "accuracy_by_phenomenon": pair_accuracy(store)}
    table = claims_table([Evidence("m", "gelu", {}, {"a": tables})])
    row = table[table["claim"] == "C5"].iloc[0]
    assert (row["verdict"], row["missing"]) == ("not tested", "no control reaches the perplexity of the top cohort")


def test_public():
    assert analysis.claims_table is claims_table
