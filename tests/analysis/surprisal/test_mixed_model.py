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
