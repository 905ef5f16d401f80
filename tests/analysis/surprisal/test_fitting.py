"""Fits of tables by formula: warnings, refusals, coverage."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from actstore.errors import FitError, UnknownNameError
from analysis.surprisal.fitting import fit_surprisal_model
from analysis.surprisal.mixed_model import FitWarning
from tests.analysis.surprisal.helpers import toy_table

WITHOUT_A_CELL = {"delta": lambda t: t["delta"].where((t["condition"] != "top") | (t["upos"] != "DET"))}


def test_a_table_read_back_gives_the_same_model(tmp_path):
    toy_table().to_csv(tmp_path / "t.csv", index=False)
    tables = (toy_table(), pd.read_csv(tmp_path / "t.csv"))
    pd.testing.assert_frame_equal(*(fit_surprisal_model(table, n_replicates=300).fixed_effects() for table in tables))


def test_rows_without_a_value_are_counted():
    table = toy_table()
    table.loc[:9, "position"] = np.nan
    model = fit_surprisal_model(table, robust=False)
    assert (model.n_dropped, model.n_rows) == (10, 2390)


def test_singular_fits_and_few_levels_are_flagged():
    table = toy_table(n=400)
    table["group"] = np.arange(800) % 4
    table["delta"] -= table.groupby("group")["delta"].transform("mean")
    with pytest.warns(FitWarning) as caught:
        model = fit_surprisal_model(table, "delta ~ position", random=("word_type", "group"))
    messages = " ".join(str(warning.message) for warning in caught)
    assert "singular: the group variance is zero" in messages
    assert "group has 4 levels only" in messages
    assert "CARE: singular" in str(model)
    assert "singular" in model.fixed_effects()["flags"].iloc[0]
    assert model.variance_components().set_index("group").loc["group", "is_singular"]


@pytest.mark.parametrize(
    ("change", "formula", "random", "message"),
    [
        ({"condition": "top"}, None, None, "factor condition has one level only, 'top'"),
        ({"delta": 1.0}, None, None, "delta is 1 in all 2400 rows"),
        ({"n_pieces": lambda t: 2 * t["position"] + 1}, None, None, "collinear: n_pieces follows from Intercept, position"),
        (WITHOUT_A_CELL, None, None, r"no rows for condition\[T.top\]|collinear"),
        ({"delta": np.nan}, None, None, "no row has a value"),
        ({"position": np.inf}, None, None, "'position' holds infinite"),
        ({"document": 1}, None, None, "document has one level only"),
        ({"document": lambda t: np.arange(len(t))}, None, None, "document has 2400 effects for 2400 rows"),
        ({"document": lambda t: t["word_type"] + 7}, None, None, "word_type and document group the rows alike"),
        ({"delta": lambda t: 3.0 * t["position"]}, "delta ~ position", None, "without error"),
        ({}, "condition * upos", None, "no response"),
        ({}, "delta ~ condition +* upos", None, "cannot read the formula"),
        ({}, "delta ~ np.nosuch(position)", None, "cannot evaluate the formula"),
        ({}, None, (), "needs a random factor"),
        ({}, None, ("delta",), "delta is the response"),
    ],
)
def test_tables_that_cannot_carry_the_model_are_refused(change, formula, random, message):
    table = toy_table().assign(**change)
    options = {key: value for key, value in (("formula", formula), ("random", random)) if value is not None}
    with pytest.raises(FitError, match=message):
        fit_surprisal_model(table, **options)


def test_unknown_names_are_named():
    with pytest.raises(UnknownNameError, match="did you mean 'position'"):
        fit_surprisal_model(toy_table(), "delta ~ positon")
    with pytest.raises(UnknownNameError, match="did you mean 'document'"):
        fit_surprisal_model(toy_table(), random=("documents",))
    with pytest.raises(UnknownNameError, match="term of the formula for slopes"):
        fit_surprisal_model(toy_table(), random={"document": ["conditions"]})


def test_a_level_in_few_documents_has_few_clusters():
    table = toy_table()
    table["kind"] = np.where((table["document"] < 2) & (table["upos"] == "DET"), "rare", "usual")
    means = fit_surprisal_model(table, "delta ~ kind", n_replicates=50).marginal_means(["kind"]).set_index("kind")
    assert means["n_clusters"].to_dict() == {"rare": 2, "usual": 25}
    assert set(means["cluster"]) == {"document"}
    width = means["robust_upper"] - means["robust_lower"]
    assert width["rare"] > 5 * width["usual"]


@pytest.mark.slow
def test_intervals_cover_and_the_null_is_rejected_at_its_rate():
    """1,000 simulations of a small design without effects."""
    covered, rejected = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        for seed in range(1000):
            rng = np.random.default_rng(seed)
            word, document = rng.integers(40, size=160).repeat(3), rng.integers(20, size=160).repeat(3)
            noise = rng.normal(0, 0.5, 40)[word] + rng.normal(0, 0.3, 20)[document] + rng.normal(size=480)
            table = pd.DataFrame({"delta": noise, "word_type": word, "document": document})
            table = table.assign(condition=np.tile(["a", "b", "c"], 160), upos=np.array(["D", "N", "V"])[word % 3])
            model = fit_surprisal_model(table, "delta ~ condition * upos", robust=False)
            effects = model.fixed_effects()
            covered.append((effects["lower"] <= 0) & (effects["upper"] >= 0))
            rejected.append(model.test("condition:upos")["p"] < 0.05)
    assert 0.935 <= np.mean(covered) <= 0.965
    assert 0.035 <= np.mean(rejected) <= 0.065
