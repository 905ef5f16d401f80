"""Tables of an ablation on a hand-made store whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import analysis

CONDITIONS = {
    "intervention": ["none", "negative-zero", "negative-zero", "negative-zero"],
    "cohort": ["none", "top", "random", "random"],
}


def made(surprisal, **extra):
    """A store of 4 conditions; tokens are BOS + words of one or two pieces in documents of 5 tokens."""
    n_documents = surprisal.shape[-1] // 5
    word = np.concatenate([[-1, 3 * d, 3 * d + 1, 3 * d + 1, 3 * d + 2] for d in range(n_documents)])
    upos = np.array([["", "DET", "NOUN", "NOUN", "PUNCT"]] * n_documents, dtype=object).ravel()
    coords = {
        "checkpoint": [7], "n_neurons": ("condition", [0, 2, 2, 2]), **{k: ("condition", v) for k, v in CONDITIONS.items()},
        "word": ("token", word), "upos": ("token", upos), "deprel": ("token", upos), "word_form": ("token", upos),
        "document": ("token", np.repeat(np.arange(n_documents), 5)), "sentence": ("token", np.repeat(np.arange(n_documents), 5)),
        "is_scored": ("token", word >= 0), **extra.pop("coords", {}),
    }  # fmt: skip
    return xr.Dataset({"ablated_surprisal": (("checkpoint", "condition", "token"), surprisal), **extra}, coords=coords)


@pytest.fixture
def surprisal():
    values = np.random.default_rng(0).exponential(2, size=(1, 1, 200)).repeat(4, axis=1)
    values[..., ::5] = np.nan
    return values


def test_identical_conditions_have_ratio_one_and_no_spread(surprisal):
    table = analysis.perplexity_table(made(surprisal))
    assert table["perplexity_ratio"].tolist() == [1, 1, 1]
    assert (table["perplexity_ratio_lower"] == 1).all()
    assert table["n_seeds"].tolist() == [1, 1, 2]
    assert table["perplexity"].iloc[0] == pytest.approx(np.exp(np.nanmean(surprisal[0, 0])))


def test_a_constant_rise_is_recovered(surprisal):
    surprisal[0, 1] += 0.5
    surprisal[0, 2] += 0.1
    surprisal[0, 3] += 0.3
    table = analysis.perplexity_table(made(surprisal)).set_index("cohort")
    assert table.loc["top", "perplexity_ratio"] == pytest.approx(np.exp(0.5))
    assert table.loc["random", "perplexity_ratio"] == pytest.approx(np.exp(0.2))
    assert table.loc["random", "perplexity_ratio_lower"] == pytest.approx(np.exp(0.1))
    assert table.loc["random", "perplexity_ratio_upper"] == pytest.approx(np.exp(0.3))


def test_words_sum_their_pieces_and_drop_unscored(surprisal):
    store = made(surprisal)
    words, values = analysis.word_table(store)
    assert len(words) == 120
    assert words["n_pieces"].tolist()[:3] == [1, 2, 1]
    assert values[0, 0, 1] == pytest.approx(surprisal[0, 0, 2] + surprisal[0, 0, 3])
    store["is_scored"].values[3] = False
    words, values = analysis.word_table(store)
    assert len(words) == 119
    assert 1 not in words["word"].tolist()
    assert values.shape == (1, 4, 119)


def test_delta_by_upos_finds_the_planted_class_and_no_other(surprisal):
    rng = np.random.default_rng(1)
    surprisal[0, 1] += rng.normal(0, 0.05, size=200)
    surprisal[0, 1, 1::5] += 0.4
    table = analysis.surprisal_by_upos(made(surprisal))
    top = table[table["cohort"] == "top"].set_index("upos")
    assert top.loc["DET", "delta_surprisal"] == pytest.approx(0.4, abs=0.03)
    assert top.loc["DET", "delta_surprisal_lower"] > 0.3
    assert top["n_words"].tolist() == [40, 40, 40]
    for upos in ("NOUN", "PUNCT"):
        assert abs(top.loc[upos, "delta_surprisal"]) < 0.03
    assert (table[table["cohort"] == "random"]["delta_surprisal"] == 0).all()


def with_pairs(margins):
    """margins (condition, pair): paradigm a (phenomenon x) has 4 pairs, b and c (phenomenon y) 2 each."""
    paradigm = ["a"] * 4 + ["b"] * 2 + ["c"] * 2
    phenomenon = ["x"] * 4 + ["y"] * 4
    good = (("checkpoint", "condition", "pair"), np.asarray(margins, float)[None])
    bad = (("checkpoint", "condition", "pair"), np.zeros((1, *np.shape(margins))))
    values = np.ones((1, 4, 10))
    coords = {"paradigm": ("pair", paradigm), "phenomenon": ("pair", phenomenon)}
    return made(values, log_probability_good=good, log_probability_bad=bad, coords=coords)


def test_accuracy_is_macro_averaged_and_ties_counted_apart():
    margins = np.tile([1, 1, 1, -1, 1, 1, 1, -1.0], (4, 1))
    margins[1] = [1, 1, 0, -1, -1, -1, 1, 1]
    table = analysis.accuracy_by_phenomenon(with_pairs(margins)).set_index(["cohort", "phenomenon"])
    assert table.loc[("none", "x"), "accuracy"] == 0.75
    assert table.loc[("none", "y"), "accuracy"] == 0.75
    assert table.loc[("none", "all"), "accuracy"] == pytest.approx((0.75 + 1 + 0.5) / 3)
    assert table.loc[("top", "x"), "accuracy"] == 0.5
    assert table.loc[("top", "y"), "delta_accuracy"] == pytest.approx((-1 + 0.5) / 2)
    assert table.loc[("top", "x"), "n_ties"] == 1
    assert table.loc[("random", "all"), "delta_accuracy"] == 0
    assert table.loc[("random", "all"), "n_pairs"] == 8


def test_probe_accuracy_against_known_answers():
    scores = np.full((1, 4, 6, 4), -5.0)
    answer = np.array([0, 1, 2, 3, 0, 1])
    scores[0, :, np.arange(6), answer] = -1.0
    scores[0, 1, 0] = [-3, -2, -4, -4]  # the top cohort forgets item 0
    store = made(
        np.ones((1, 4, 10)), log_probability_option=(("checkpoint", "condition", "item", "option"), scores),
        coords={"answer": ("item", answer), "probe": ("item", ["facts"] * 4 + ["recall"] * 2)},
    )  # fmt: skip
    table = analysis.probe_table(store).set_index(["cohort", "probe"])
    assert table.loc[("none", "facts"), "accuracy"] == 1
    assert table.loc[("top", "facts"), "delta_accuracy"] == -0.25
    assert table.loc[("top", "recall"), "delta_accuracy"] == 0
    assert table.loc[("random", "facts"), "chance"] == 0.25


def test_null_intervals_rarely_exclude_zero():
    """No effect: about 5% of the intervals of Δsurprisal exclude 0 (60 stores × 3 classes)."""
    rng = np.random.default_rng(5)
    excluded = []
    for _ in range(60):
        values = rng.exponential(2, size=(1, 1, 300)).repeat(4, axis=1)
        values[0, 1] += rng.standard_t(4, size=300) * 0.3
        table = analysis.surprisal_by_upos(made(values))
        top = table[table["cohort"] == "top"]
        excluded += ((top["delta_surprisal_lower"] > 0) | (top["delta_surprisal_upper"] < 0)).tolist()
    assert np.mean(excluded) < 0.11


def test_on_a_real_ablation(ablation):
    table = analysis.perplexity_table(ablation)
    assert table["cohort"].tolist() == ["none", "random", "top"]
    assert table["perplexity"].iloc[0] == pytest.approx(float(ablation["perplexity"].values[0, 0]), rel=1e-6)
