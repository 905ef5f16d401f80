"""Models of surprisal on made-up tables whose answers are known."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from actstore.errors import FitError, UnknownNameError
from analysis.surprisal.mixed_model import FitWarning
from analysis.surprisal.models import control_pairs, fit_surprisal_model, surprisal_curves, surprisal_effects

EFFECTS = {("top", "DET"): 0.6, ("top", "NOUN"): 0.1}


def made(seed=0, n=1200, effects=EFFECTS, conditions=("random", "top")):
    """One row a word and condition; `effects` by (condition, upos), all else noise."""
    rng = np.random.default_rng(seed)
    word, document = rng.integers(60, size=n), rng.integers(25, size=n)
    upos = np.array(["DET", "NOUN", "VERB"])[np.arange(60) % 3][word]
    frames, shared = [], rng.normal(0, 0.3, 60)[word] + rng.normal(0, 0.2, 25)[document]
    for condition in conditions:
        shift = np.array([effects.get((condition, name), 0) for name in upos])
        noise = shared + rng.normal(size=n)
        frames.append(pd.DataFrame({
            "delta": shift + noise, "condition": condition, "upos": upos, "word_type": word, "document": document,
            "log_frequency": np.log((word + 1) / 60), "position": rng.integers(200, size=n), "n_pieces": 1 + word % 2,
        }))  # fmt: skip
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def model():
    return fit_surprisal_model(made(), n_replicates=300)


def test_planted_effects_are_found_where_they_are(model):
    found = model.contrasts("condition", [("top", "random")], ["upos"]).set_index("upos")
    assert found.loc["DET", "estimate"] == pytest.approx(0.6, abs=0.2)
    assert found.loc["DET", "p_adjusted"] < 0.001
    assert found.loc["VERB", "p_adjusted"] > 0.05
    assert found["intervals_agree"].loc["DET"]
    assert (found["p_adjusted"] >= found["p"]).all()
    assert found.loc["DET", "robust_p_adjusted"] < 0.001
    outside = (found["robust_lower"] > 0) | (found["robust_upper"] < 0)
    assert (outside == (found["robust_p"] < 0.05)).all()
    assert model.test("condition:upos")["p"] < 0.001
    assert model.tests()["term"].tolist() == ["log_frequency", "position", "n_pieces", "condition:upos"]


def test_marginal_means_are_predictions_at_the_mean_word(model):
    means = model.marginal_means(["condition", "upos"])
    averages = {name: model.design.means[name] for name in ("log_frequency", "position", "n_pieces")}
    np.testing.assert_allclose(model.predict(means[["condition", "upos"]].assign(**averages)), means["estimate"])
    by_condition = model.marginal_means(["condition"]).set_index("condition")["estimate"]
    np.testing.assert_allclose(means.groupby("condition")["estimate"].mean(), by_condition)
    for lower, upper in (("lower", "upper"), ("robust_lower", "robust_upper"), ("bootstrap_lower", "bootstrap_upper")):
        assert ((means[lower] < means["estimate"]) & (means["estimate"] < means[upper])).all()


def test_one_contrast_squared_is_the_f_test(model):
    effect = model.fixed_effects().set_index("effect").loc["n_pieces"]
    test = model.test("n_pieces")
    assert effect["t"] ** 2 == pytest.approx(test["F"])
    assert effect["df"] == pytest.approx(test["df_denominator"])
    assert effect["p"] == pytest.approx(test["p"])


def test_predictions_with_random_effects_are_the_fitted_values(model):
    table = made()
    np.testing.assert_allclose(model.predict(table, random=True), model.fitted(), atol=1e-8)
    unseen = table.assign(word_type=-5, document=-5)
    np.testing.assert_allclose(model.predict(unseen, random=True), model.predict(table), atol=1e-12)
    with pytest.raises(FitError, match="upos 'ADJ' was not in the fit"):
        model.predict(table.assign(upos="ADJ"))
    with pytest.raises(FitError, match="no column 'position'"):
        model.predict(table.drop(columns="position"))


def test_random_slopes_predict_too():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)  # nothing was planted for the slopes to find
        model = fit_surprisal_model(made(), random={"document": ["condition"]}, robust=False)
    np.testing.assert_allclose(model.predict(made(), random=True), model.fitted(), atol=1e-8)
    assert model.random_effects("document").columns.tolist() == ["document", "Intercept", "condition[T.top]"]
    assert model.variance_components()["effect"].tolist() == ["Intercept", "condition[T.top]", ""]


def test_a_table_read_back_gives_the_same_model(model, tmp_path):
    made().to_csv(tmp_path / "t.csv", index=False)
    again = fit_surprisal_model(pd.read_csv(tmp_path / "t.csv"), n_replicates=300)
    pd.testing.assert_frame_equal(again.fixed_effects(), model.fixed_effects())


def test_residuals_are_described(model):
    quantiles, spread = model.residual_quantiles(), model.residual_spread()
    assert np.corrcoef(quantiles["normal"], quantiles["residual"])[0, 1] > 0.995
    assert spread["n_rows"].sum() == model.n_rows
    assert spread["fitted"].is_monotonic_increasing
    assert abs(model.overview().iloc[0]["residual_excess_kurtosis"]) < 0.5


def test_heavy_tails_in_few_documents_make_the_intervals_disagree():
    table = made(effects={})
    hit = (table["document"] < 2) & (table["condition"] == "top")
    table.loc[hit, "delta"] += np.random.default_rng(0).choice([0, 12], size=hit.sum())
    model = fit_surprisal_model(table, "delta ~ condition", n_replicates=300)
    assert not model.fixed_effects().set_index("effect").loc["condition[T.top]", "intervals_agree"]
    assert model.overview().iloc[0]["n_disagreeing"] > 0


def test_summary_says_what_was_fitted(model):
    text = str(model)
    for said in ("delta", "condition[T.top]:upos[T.NOUN]", "Satterthwaite", "document", "residual", "2400", "bootstrap"):
        assert said in text
    assert "CARE" not in text


def test_rows_without_a_value_are_counted():
    table = made()
    table.loc[:9, "position"] = np.nan
    model = fit_surprisal_model(table, robust=False)
    assert (model.n_dropped, model.n_rows) == (10, 2390)


def test_singular_and_few_levels_cannot_be_overlooked():
    table = made(n=400)
    table["group"] = np.arange(800) % 4
    table["delta"] -= table.groupby("group")["delta"].transform("mean")
    with pytest.warns(FitWarning) as caught:
        model = fit_surprisal_model(table, "delta ~ position", random=("word_type", "group"))
    said = " ".join(str(warning.message) for warning in caught)
    assert "singular: the group variance is zero" in said
    assert "group has 4 levels only" in said
    assert "CARE: singular" in str(model)
    assert "singular" in model.fixed_effects()["flags"].iloc[0]
    assert model.variance_components().set_index("group").loc["group", "is_singular"]


@pytest.mark.parametrize(
    ("change", "formula", "random", "said"),
    [
        ({"condition": "top"}, None, None, "factor condition has one level only, 'top'"),
        ({"delta": 1.0}, None, None, "delta is 1 in all 2400 rows"),
        ({"n_pieces": lambda t: 2 * t["position"] + 1}, None, None, "collinear: n_pieces follows from Intercept, position"),
        ({"delta": lambda t: t["delta"].where((t["condition"] != "top") | (t["upos"] != "DET"))}, None, None,
         r"no rows for condition\[T.top\]|collinear"),
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
)  # fmt: skip
def test_tables_that_cannot_carry_the_model_are_refused(change, formula, random, said):
    table = made().assign(**change)
    options = {key: value for key, value in (("formula", formula), ("random", random)) if value is not None}
    with pytest.raises(FitError, match=said):
        fit_surprisal_model(table, **options)


def test_unknown_names_are_named():
    with pytest.raises(UnknownNameError, match="did you mean 'position'"):
        fit_surprisal_model(made(), "delta ~ positon")
    with pytest.raises(UnknownNameError, match="did you mean 'document'"):
        fit_surprisal_model(made(), random=("documents",))
    with pytest.raises(UnknownNameError, match="term of the formula for slopes"):
        fit_surprisal_model(made(), random={"document": ["conditions"]})


def test_unknown_levels_and_terms_are_named(model):
    for ask in (
        lambda: model.contrasts("condition", [("top", "randm")]),
        lambda: model.contrasts("conditions", [("top", "random")]),
        lambda: model.contrasts("condition", [("top", "random")], correction="none"),
        lambda: model.marginal_means(["position"]),
        lambda: model.test("upos:condition"),
        lambda: model.random_effects("sentence"),
    ):
        with pytest.raises(UnknownNameError):
            ask()
    with pytest.raises(FitError, match="no two levels"):
        model.contrasts("condition", [])


COHORT = {
    "statistic": "wasserstein_distance",
    "fraction": 0.01,
    "scope": "layer",
    "first_layer": 0,
    "last_layer": 3,
    "chosen_at": "same",
}


def ablation_table():
    """Two checkpoints, one intervention, a top cohort with two controls, as `surprisal_table` gives it."""
    frames = []
    for step, size in ((10, 0.2), (20, 0.8)):
        table = made(step, effects={("top", "DET"): size}, conditions=("top", "random", "bottom"))
        frames.append(table.assign(checkpoint=step))
    table = pd.concat(frames, ignore_index=True)
    table["rule"] = table["cohort"] = table["condition"]
    word_class = np.where(table["upos"] == "DET", "scaffolding", "content")
    condition, is_top = "negative-zero " + table["condition"], table["rule"] == "top"
    return table.assign(
        condition=condition, intervention="negative-zero", word_class=word_class, is_matched=-1, n_seeds=1, **COHORT
    ).assign(target_scope=np.where(is_top, "", "layer"), controls=np.where(is_top, "", "top"))


def test_an_ablation_is_modelled_by_part_of_speech_and_class():
    table = ablation_table()
    found = surprisal_effects(table, n_replicates=200)
    assert set(found["surprisal_means"]["checkpoint"]) == {20}
    contrasts = found["surprisal_contrasts"].set_index(["by", "against", "level"])
    assert len(contrasts) == 2 * 3 + 2 * 2
    for against in ("negative-zero random", "negative-zero bottom"):
        assert contrasts.loc[("upos", against, "DET"), "estimate"] == pytest.approx(0.8, abs=0.25)
        assert contrasts.loc[("word_class", against, "content"), "p_adjusted"] > 0.05
    assert found["surprisal_fits"]["is_converged"].all()
    assert set(found["surprisal_variances"]["group"]) == {"word_type", "document", "residual"}


def test_draws_of_a_control_are_in_its_intervals():
    """Three draws that differ by a constant: the contrast's robust interval is as wide as two degrees of freedom ask for."""
    table = ablation_table()
    is_random = table["rule"] == "random"
    shifts = np.array([-0.5, 0.1, 0.4])
    for k, shift in enumerate(shifts, 1):
        table[f"delta_draw_{k}"] = (table["delta"] + shift).where(is_random)
    table["n_seeds"] = np.where(is_random, 3, 1)
    found = surprisal_effects(table, n_replicates=50)["surprisal_contrasts"].set_index(["by", "against", "level"])
    row, other = (found.loc[("word_class", f"negative-zero {rule}", "content")] for rule in ("random", "bottom"))
    assert (row["n_draws"], other["n_draws"]) == (3, 1)
    reach = t.ppf(0.975, 2) * shifts.std(ddof=1) / np.sqrt(3)
    assert row["robust_upper"] - row["estimate"] == pytest.approx(reach, rel=0.02)
    assert other["robust_upper"] - other["estimate"] < 0.5 * reach


def test_a_level_in_few_documents_tells_how_many():
    table = made()
    table["kind"] = np.where((table["document"] < 2) & (table["upos"] == "DET"), "rare", "usual")
    means = fit_surprisal_model(table, "delta ~ kind", n_replicates=50).marginal_means(["kind"]).set_index("kind")
    assert means["n_clusters"].to_dict() == {"rare": 2, "usual": 25}
    assert set(means["cluster"]) == {"document"}
    width = means["robust_upper"] - means["robust_lower"]
    assert width["rare"] > 5 * width["usual"]


def test_one_condition_alone_is_modelled_without_contrasts():
    table = ablation_table()
    found = surprisal_effects(table[table["rule"] == "top"], n_replicates=200)
    assert "surprisal_contrasts" not in found
    assert set(found["surprisal_means"]["condition"]) == {"negative-zero top"}
    assert (found["surprisal_fits"]["slopes"] == "none: one condition").all()


def test_a_cohort_is_compared_with_those_that_control_for_it():
    table = ablation_table()
    assert sorted(control_pairs(table)) == [
        ("negative-zero top", "negative-zero bottom"), ("negative-zero top", "negative-zero random")
    ]  # fmt: skip
    assert control_pairs(table.assign(target_scope=np.where(table["rule"] == "random", "layer", ""))) == [
        ("negative-zero top", "negative-zero random")
    ]
    elsewhere = table.assign(intervention=np.where(table["rule"] == "random", "both-zero", "negative-zero"))
    assert control_pairs(elsewhere) == [("negative-zero top", "negative-zero bottom")]


def test_an_unmatched_control_is_flagged_in_means_contrasts_and_curves():
    """Matched at step 10 and not at step 20: the last checkpoint decides, in the curve each step for itself."""
    table = ablation_table()
    is_random = table["rule"] == "random"
    table["is_matched"] = np.where(is_random, (table["checkpoint"] == 10).astype(int), -1)
    tables = surprisal_effects(table, n_replicates=200)
    wanted = {"negative-zero top": -1, "negative-zero random": 0, "negative-zero bottom": -1}
    for name, column in (("surprisal_means", "condition"), ("surprisal_contrasts", "against")):
        flags = tables[name].groupby(column)["is_matched"].unique().map(list).to_dict()
        assert flags == {key: [flag] for key, flag in wanted.items() if key in flags}
    curves = surprisal_curves(table)
    flags = curves[curves["rule"] == "random"].groupby("checkpoint")["is_matched"].unique().map(list).to_dict()
    assert flags == {10: [1], 20: [0]}
    pooled = surprisal_curves(table, "layers")
    assert (pooled.loc[pooled["rule"] == "random", "is_matched"] == 0).all(), "over both steps it is not matched"


def test_curves_follow_the_checkpoints_and_may_miss_cells():
    table = ablation_table()
    table = table[(table["checkpoint"] == 20) | (table["rule"] != "bottom")]
    curves = surprisal_curves(table).set_index(["condition", "level", "checkpoint"]).sort_index()
    assert len(curves) == 2 * 2 * 2 + 2
    rise = curves.xs(("negative-zero top", "scaffolding"))["estimate"]
    assert rise[10] == pytest.approx(0.2, abs=0.25)
    assert rise[20] == pytest.approx(0.8, abs=0.25)
    with pytest.raises(UnknownNameError):
        surprisal_curves(table, "step")


@pytest.mark.slow
def test_intervals_cover_and_the_null_is_not_rejected_too_often():
    """1,000 simulations of a small design without effects."""
    covered, rejected = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        for seed in range(1000):
            rng = np.random.default_rng(seed)
            word, document = rng.integers(40, size=160).repeat(3), rng.integers(20, size=160).repeat(3)
            noise = rng.normal(0, 0.5, 40)[word] + rng.normal(0, 0.3, 20)[document] + rng.normal(size=480)
            table = pd.DataFrame({
                "delta": noise, "condition": np.tile(["a", "b", "c"], 160), "upos": np.array(["D", "N", "V"])[word % 3],
                "word_type": word, "document": document,
            })  # fmt: skip
            model = fit_surprisal_model(table, "delta ~ condition * upos", robust=False)
            effects = model.fixed_effects()
            covered.append((effects["lower"] <= 0) & (effects["upper"] >= 0))
            rejected.append(model.test("condition:upos")["p"] < 0.05)
    assert 0.935 <= np.mean(covered) <= 0.965
    assert 0.035 <= np.mean(rejected) <= 0.065
