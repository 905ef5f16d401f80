"""What a fitted model says, on tables whose answers are known."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from actstore.errors import FitError, UnknownNameError
from analysis.surprisal.fitting import fit_surprisal_model
from analysis.surprisal.mixed_model import FitWarning
from tests.analysis.surprisal.helpers import toy_table


@pytest.fixture(scope="module")
def model():
    return fit_surprisal_model(toy_table(), n_replicates=300)


def test_only_planted_effects_are_found(model):
    contrasts = model.contrasts("condition", [("top", "random")], ["upos"]).set_index("upos")
    assert contrasts.loc["DET", "estimate"] == pytest.approx(0.6, abs=0.2)
    assert contrasts.loc["DET", "p_adjusted"] < 0.001
    assert contrasts.loc["VERB", "p_adjusted"] > 0.05
    assert contrasts["intervals_agree"].loc["DET"]
    assert (contrasts["p_adjusted"] >= contrasts["p"]).all()
    assert contrasts.loc["DET", "robust_p_adjusted"] < 0.001
    outside = (contrasts["robust_lower"] > 0) | (contrasts["robust_upper"] < 0)
    assert (outside == (contrasts["robust_p"] < 0.05)).all()
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


def test_a_squared_t_is_the_f_of_one_effect(model):
    effect = model.fixed_effects().set_index("effect").loc["n_pieces"]
    test = model.test("n_pieces")
    assert effect["t"] ** 2 == pytest.approx(test["F"])
    assert effect["df"] == pytest.approx(test["df_denominator"])
    assert effect["p"] == pytest.approx(test["p"])


def test_predictions_with_random_effects_are_the_fitted_values(model):
    table = toy_table()
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
        model = fit_surprisal_model(toy_table(), random={"document": ["condition"]}, robust=False)
    np.testing.assert_allclose(model.predict(toy_table(), random=True), model.fitted(), atol=1e-8)
    assert model.random_effects("document").columns.tolist() == ["document", "Intercept", "condition[T.top]"]
    assert model.variance_components()["effect"].tolist() == ["Intercept", "condition[T.top]", ""]


def test_residuals_are_described(model):
    quantiles, spread = model.residual_quantiles(), model.residual_spread()
    assert np.corrcoef(quantiles["normal"], quantiles["residual"])[0, 1] > 0.995
    assert spread["n_rows"].sum() == model.n_rows
    assert spread["fitted"].is_monotonic_increasing
    assert abs(model.overview().iloc[0]["residual_excess_kurtosis"]) < 0.5


def test_heavy_tails_in_few_documents_make_the_intervals_disagree():
    table = toy_table(effects={})
    is_changed = (table["document"] < 2) & (table["condition"] == "top")
    table.loc[is_changed, "delta"] += np.random.default_rng(0).choice([0, 12], size=is_changed.sum())
    model = fit_surprisal_model(table, "delta ~ condition", n_replicates=300)
    assert not model.fixed_effects().set_index("effect").loc["condition[T.top]", "intervals_agree"]
    assert model.overview().iloc[0]["n_disagreeing"] > 0


def test_the_summary_names_what_was_fitted(model):
    text = str(model)
    for part in ("delta", "condition[T.top]:upos[T.NOUN]", "Satterthwaite", "document", "residual", "2400", "bootstrap"):
        assert part in text
    assert "CARE" not in text


def test_unknown_levels_and_terms_are_named(model):
    for request in (
        lambda: model.contrasts("condition", [("top", "randm")]),
        lambda: model.contrasts("conditions", [("top", "random")]),
        lambda: model.contrasts("condition", [("top", "random")], correction="none"),
        lambda: model.marginal_means(["position"]),
        lambda: model.test("upos:condition"),
        lambda: model.random_effects("sentence"),
    ):
        with pytest.raises(UnknownNameError):
            request()
    with pytest.raises(FitError, match="no two levels"):
        model.contrasts("condition", [])


def test_the_difference_of_a_contrast_between_two_levels(model):
    """Estimate, error and degrees of freedom are those of the difference of rows of marginal means."""
    table = model.contrasts("condition", [("top", "random")], ["upos"], between=("DET", "VERB")).set_index("upos")
    assert table.index.tolist() == ["DET", "NOUN", "VERB", "DET less VERB"]
    plain = model.contrasts("condition", [("top", "random")], ["upos"]).set_index("upos")
    for name in ("estimate", "standard_error", "df", "p", "robust_lower", "bootstrap_lower"):
        np.testing.assert_allclose(table.loc[plain.index, name], plain[name], rtol=1e-9)
    row = table.loc["DET less VERB"]
    assert row["estimate"] == pytest.approx(plain.loc["DET", "estimate"] - plain.loc["VERB", "estimate"])
    cells, weights = model.design.grid(["condition", "upos"])
    of_cell = {tuple(cell): row for cell, row in zip(cells.to_numpy(), weights, strict=True)}
    of_level = [of_cell["top", name] - of_cell["random", name] for name in ("DET", "VERB")]
    linear = of_level[0] - of_level[1]
    assert row["standard_error"] == pytest.approx(np.sqrt(linear @ model.fit.covariance @ linear))
    assert row["p"] < 0.01
    assert row["lower"] > 0


def test_a_recoded_model_has_the_difference_as_a_coefficient():
    """With VERB and `random` as references, the coefficient of the interaction is the difference, with its error."""
    coding = "C(condition, Treatment('random')) * C(upos, Treatment('VERB'))"
    covariates = "log_frequency + position + n_pieces"
    plain, recoded = (
        fit_surprisal_model(toy_table(), f"delta ~ {fixed} + {covariates}", n_replicates=200)
        for fixed in ("condition * upos", coding)
    )
    table = plain.contrasts("condition", [("top", "random")], ["upos"], between=("DET", "VERB")).set_index("upos")
    effects = recoded.fixed_effects().set_index("effect")
    (name,) = [name for name in effects.index if "T.top" in name and "T.DET" in name]
    for column in ("estimate", "standard_error", "df", "robust_lower", "robust_upper"):
        assert table.loc["DET less VERB", column] == pytest.approx(effects.loc[name, column], rel=1e-3), column


def test_several_pairs_have_each_their_difference():
    table = toy_table(conditions=("random", "top", "bottom"))
    model = fit_surprisal_model(table, n_replicates=200)
    pairs = [("top", "random"), ("top", "bottom")]
    contrasts = model.contrasts("condition", pairs, ["upos"], between=("DET", "NOUN")).set_index(["against", "upos"])
    assert len(contrasts) == 2 * 4
    for _, against in pairs:
        rows = contrasts.loc[against]["estimate"]
        assert rows["DET less NOUN"] == pytest.approx(rows["DET"] - rows["NOUN"])
    assert (contrasts["p_adjusted"] >= contrasts["p"]).all()


def test_wrong_levels_between_which_to_compare(model):
    pairs = [("top", "random")]
    with pytest.raises(UnknownNameError, match="level of upos 'ADJ'"):
        model.contrasts("condition", pairs, ["upos"], between=("DET", "ADJ"))
    for by in ([], ["upos", "condition"]):
        with pytest.raises(FitError, match="exactly one factor"):
            model.contrasts("condition", pairs, by, between=("DET", "NOUN"))
