"""Tables of an ablation on a small store with known answers."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.stats import t, ttest_1samp

import analysis
from tests.analysis.helpers import cohort_columns

_COHORTS = ["none", "top", "random", "random"]
CONDITIONS = {
    "intervention": ["none", "negative-zero", "negative-zero", "negative-zero"],
    "tolerance": [np.nan] * 4,
    **cohort_columns(_COHORTS, _COHORTS, ["", "", "top", "top"]),
}
EDITED = np.array([[[[0, 0, 0, 0]], [[1, 1, 0, 0]], [[0, 0, 1, 1]], [[0, 1, 1, 0]]]], dtype=bool)


def planted(surprisal, coords=None, **variables):
    """A store of 4 conditions; tokens are BOS + words of one or two pieces in documents of 5 tokens."""
    n_documents = surprisal.shape[-1] // 5
    word = np.concatenate([[-1, 3 * d, 3 * d + 1, 3 * d + 1, 3 * d + 2] for d in range(n_documents)])
    upos = np.array([["", "DET", "NOUN", "NOUN", "PUNCT"]] * n_documents, dtype=object).ravel()
    document = np.repeat(np.arange(n_documents), 5)
    of_tokens = {"word": word, "document": document, "sentence": document, "is_scored": word >= 0}
    of_tokens |= dict.fromkeys(("upos", "deprel", "word_form"), upos)
    axes = {name: ("condition", values) for name, values in CONDITIONS.items()}
    axes |= {name: ("token", values) for name, values in of_tokens.items()}
    arrays = {
        "ablated_surprisal": (("checkpoint", "condition", "token"), surprisal),
        "is_edited": (("checkpoint", "condition", "layer", "neuron"), EDITED),
        "perplexity": (("checkpoint", "condition"), np.exp(np.nanmean(surprisal, axis=-1))),
    }
    return xr.Dataset(arrays | variables, coords={"checkpoint": [7], "layer": [0]} | axes | (coords or {}))


@pytest.fixture
def surprisal():
    values = np.random.default_rng(0).exponential(2, size=(1, 1, 200)).repeat(4, axis=1)
    values[..., ::5] = np.nan
    return values


def test_identical_conditions_have_ratio_one_and_no_spread(surprisal):
    table = analysis.perplexity_table(planted(surprisal))
    assert table["perplexity_ratio"].tolist() == [1, 1, 1]
    assert (table["perplexity_ratio_lower"] == 1).all()
    assert table["n_seeds"].tolist() == [1, 1, 2]
    assert table["perplexity"].iloc[0] == pytest.approx(np.exp(np.nanmean(surprisal[0, 0])))


def test_a_constant_rise_is_recovered(surprisal):
    surprisal[0, 1] += 0.5
    surprisal[0, 2] += 0.1
    surprisal[0, 3] += 0.3
    table = analysis.perplexity_table(planted(surprisal)).set_index("cohort")
    assert table.loc["top", "perplexity_ratio"] == pytest.approx(np.exp(0.5))
    assert table.loc["random (2 draws)", "perplexity_ratio"] == pytest.approx(np.exp(0.2))
    reach = t.ppf(0.975, 1) * 0.1  # two draws, one degree of freedom; all documents change alike
    assert table.loc["random (2 draws)", "perplexity_ratio_lower"] == pytest.approx(np.exp(0.2 - reach))
    assert table.loc["random (2 draws)", "perplexity_ratio_upper"] == pytest.approx(np.exp(0.2 + reach))
    assert table["n_clusters"].tolist() == [40, 40, 40]
    assert set(table["cluster"]) == {"document"}


def test_few_documents_have_the_interval_of_student_s_t(surprisal):
    """Documents of one length: the interval of the mean change is that of a t-test on the documents' means."""
    surprisal[0, 1] += np.random.default_rng(3).normal(0.1, 0.3, size=200)
    store = planted(surprisal[..., :10])
    change = np.nanmean((surprisal[0, 1] - surprisal[0, 0])[:10].reshape(2, 5), axis=1)
    row = analysis.perplexity_table(store).set_index("cohort").loc["top"]
    expected = ttest_1samp(change, 0).confidence_interval()
    np.testing.assert_allclose(
        np.log([row["perplexity_ratio_lower"], row["perplexity_ratio_upper"]]), [expected.low, expected.high]
    )
    assert row["n_clusters"] == 2


def test_one_document_has_no_interval(surprisal):
    surprisal[0, 1] += 0.5 + np.random.default_rng(3).normal(0, 0.3, size=200)
    store = planted(surprisal[..., :5])
    row = analysis.perplexity_table(store).set_index("cohort").loc["top"]
    assert row["perplexity_ratio"] > 1
    assert np.isnan([row["perplexity_ratio_lower"], row["perplexity_ratio_upper"]]).all()
    by_upos = analysis.surprisal_by_upos(store)
    assert by_upos[["delta_surprisal_lower", "delta_surprisal_upper"]].isna().all(axis=None)
    assert (by_upos["n_clusters"] == 1).all()


def test_the_change_by_upos_is_that_of_the_planted_class_alone(surprisal):
    rng = np.random.default_rng(1)
    surprisal[0, 1] += rng.normal(0, 0.05, size=200)
    surprisal[0, 1, 1::5] += 0.4
    table = analysis.surprisal_by_upos(planted(surprisal))
    top = table[table["cohort"] == "top"].set_index("upos")
    assert top.loc["DET", "delta_surprisal"] == pytest.approx(0.4, abs=0.03)
    assert top.loc["DET", "delta_surprisal_lower"] > 0.3
    assert top["n_words"].tolist() == [40, 40, 40]
    for upos in ("NOUN", "PUNCT"):
        assert abs(top.loc[upos, "delta_surprisal"]) < 0.03
    assert (table[table["cohort"] == "random (2 draws)"]["delta_surprisal"] == 0).all()


def test_probe_accuracy_against_known_answers():
    scores = np.full((1, 4, 6, 4), -5.0)
    answer = np.array([0, 1, 2, 3, 0, 1])
    scores[0, :, np.arange(6), answer] = -1.0
    scores[0, 1, 0] = [-3, -2, -4, -4]  # the top cohort forgets item 0
    coords = {"answer": ("item", answer), "probe": ("item", ["facts"] * 4 + ["recall"] * 2)}
    options = (("checkpoint", "condition", "item", "option"), scores)
    store = planted(np.ones((1, 4, 10)), coords, log_probability_option=options)
    table = analysis.probe_table(store).set_index(["cohort", "probe"])
    assert table.loc[("none", "facts"), "accuracy"] == 1
    assert table.loc[("top", "facts"), "delta_accuracy"] == -0.25
    assert table.loc[("top", "recall"), "delta_accuracy"] == 0
    assert table.loc[("random (2 draws)", "facts"), "chance"] == 0.25


def test_probe_margins_are_t_tests_of_items():
    rng = np.random.default_rng(2)
    scores, answer = rng.normal(-5, 1, size=(1, 4, 30, 4)), rng.integers(0, 4, 30)
    coords = {"answer": ("item", answer), "probe": ("item", ["facts"] * 20 + ["recall"] * 10)}
    store = planted(np.ones((1, 4, 10)), coords, log_probability_option=(("checkpoint", "condition", "item", "option"), scores))
    table = analysis.probe_table(store).set_index(["cohort", "probe"])
    margins = np.array(
        [[row[right] - np.delete(row, right).max() for row, right in zip(of, answer, strict=True)] for of in scores[0]]
    )
    for probe, items in (("facts", slice(20)), ("recall", slice(20, None))):
        row = table.loc[("top", probe)]
        for name, values in (("margin", margins[1, items]), ("delta_margin", (margins[1] - margins[0])[items])):
            interval = ttest_1samp(values, 0).confidence_interval()
            bounds = [row[name], row[f"{name}_lower"], row[f"{name}_upper"]]
            assert bounds == pytest.approx([values.mean(), interval.low, interval.high])
        drawn = table.loc[("random (2 draws)", probe), "delta_margin"]
        assert drawn == pytest.approx((margins[2:, items] - margins[0, items]).mean())


def test_null_intervals_rarely_exclude_zero():
    """No effect: about 5% of the intervals of Δsurprisal exclude 0 (60 stores × 3 classes)."""
    rng = np.random.default_rng(5)
    excluded = []
    for _ in range(60):
        values = rng.exponential(2, size=(1, 1, 300)).repeat(4, axis=1)
        values[0, 1] += rng.standard_t(4, size=300) * 0.3
        table = analysis.surprisal_by_upos(planted(values))
        top = table[table["cohort"] == "top"]
        excluded += ((top["delta_surprisal_lower"] > 0) | (top["delta_surprisal_upper"] < 0)).tolist()
    assert np.mean(excluded) < 0.11


def test_on_a_real_ablation(ablation):
    table = analysis.perplexity_table(ablation)
    assert table["cohort"].tolist() == ["none", "random 1% (2 draws)", "top 1%"]
    assert table["n_neurons"].tolist() == [0, 20, 20]
    assert table["perplexity"].iloc[0] == pytest.approx(float(ablation["perplexity"].values[0, 0]), rel=1e-6)


def test_edited_neurons_are_counted_by_layer(surprisal):
    table = analysis.edited_by_layer(planted(surprisal))
    assert table["n_edited"].tolist() == [0, 2, 2, 2]
    assert table["edited_frac"].tolist() == [0, 0.5, 0.5, 0.5]


def test_tasks_by_metric():
    scores = np.zeros((1, 4, 6))
    scores[0, 0] = [1, 1, 1, 0, 5, 6]
    scores[0, 1] = [1, 0, 0, 0, 5, 8]
    coords = {"task": ("sample", ["a"] * 6), "metric": ("sample", ["acc"] * 4 + ["f1"] * 2)}
    store = planted(np.ones((1, 4, 10)), coords, task_score=(("checkpoint", "condition", "sample"), scores))
    table = analysis.task_table(store).set_index(["cohort", "metric"])
    assert table.loc[("none", "acc"), "score"] == 0.75
    assert table.loc[("top", "acc"), "delta_score"] == -0.5
    assert table.loc[("top", "f1"), "delta_score"] == 1
    assert table.loc[("top", "f1"), "n_items"] == 2
