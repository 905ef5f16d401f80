"""Tables of minimal pairs on small stores with known answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, t, ttest_1samp

from actstore.errors import UnknownNameError
from analysis import pair_accuracy, pair_clusters, pair_margins, paired_tests
from analysis.ablation.minimal_pairs import macro_average
from tests.analysis.helpers import pair_store

PARADIGM = ["a"] * 4 + ["b"] * 2 + ["c"] * 2
PHENOMENON = ["x"] * 4 + ["y"] * 4


def small(top, **options):
    margins = np.tile([1, 1, 1, -1, 1, 1, 1, -1.0], (4, 1))
    margins[1] = top
    return pair_store(margins, PARADIGM, PHENOMENON, **options)


def test_accuracy_is_macro_averaged_and_ties_are_counted():
    table = pair_accuracy(small([1, 1, 0, -1, -1, -1, 1, 1])).set_index(["cohort", "phenomenon"])
    assert table.loc[("none", "x"), "accuracy"] == 0.75
    assert table.loc[("none", "y"), "accuracy"] == 0.75
    assert table.loc[("none", "all"), "accuracy"] == pytest.approx((0.75 + 1 + 0.5) / 3)
    assert table.loc[("none", "all pairs"), "accuracy"] == 0.75
    assert table.loc[("top", "x"), "accuracy"] == 0.5
    assert table.loc[("top", "y"), "delta_accuracy"] == pytest.approx((-1 + 0.5) / 2)
    assert table.loc[("top", "x"), "n_ties"] == 1
    assert table.loc[("random (2 draws)", "all"), "delta_accuracy"] == 0
    assert table.loc[("random (2 draws)", "all"), "equivalence_bound"] == 3 / 8, "the bound is never below 3/n"
    assert not table.loc[("random (2 draws)", "all"), "is_equivalent"]
    wide = pair_accuracy(small([1, 1, 1, -1, 1, 1, 1, -1]), margin=0.5).set_index(["cohort", "phenomenon"])
    assert wide.loc[("random (2 draws)", "all"), "is_equivalent"]
    assert table.loc[("random (2 draws)", "all"), "n_pairs"] == 8


def test_by_paradigm():
    table = pair_accuracy(small([1, 1, 0, -1, -1, -1, 1, 1]), by="paradigm").set_index(["cohort", "paradigm"])
    assert [table.loc[("top", name), "accuracy"] for name in "abc"] == [0.5, 0, 1]


def test_each_benchmark_has_its_own_rows():
    table = pair_accuracy(small([-1] * 8, benchmark=["one"] * 4 + ["two"] * 4)).set_index(["cohort", "benchmark", "phenomenon"])
    assert table.loc[("none", "one", "all"), "accuracy"] == 0.75
    assert table.loc[("none", "two", "all"), "n_pairs"] == 4


def test_scores():
    store = small([1] * 8)
    store["n_tokens_good"][:] = 4
    store["n_tokens_bad"][:] = 2
    good, bad = store["log_probability_good"].values, store["log_probability_bad"].values
    np.testing.assert_allclose(pair_margins(store).values, good - bad)
    np.testing.assert_allclose(pair_margins(store, "mean").values, good / 4 - bad / 2)
    np.testing.assert_allclose(pair_margins(store, "critical").values, 2 * (good - bad))
    with pytest.raises(UnknownNameError, match="pair score"):
        pair_margins(store, "sum")


def test_an_undefined_score_is_neither_right_nor_wrong():
    store = small([1] * 8)
    store["critical_log_probability_good"][..., 3] = np.nan
    table = pair_accuracy(store, score="critical").set_index(["cohort", "phenomenon"])
    assert table.loc[("none", "x"), "accuracy"] == 1
    assert table.loc[("none", "x"), "n_undefined"] == 1


def test_pairs_that_share_a_sentence_are_one_cluster():
    store = small([1] * 8)
    store = store.assign_coords(
        sentence_good=("pair", list("abcdefgh")), sentence_bad=("pair", ["A", "a", "A", "D", "E", "F", "G", "d"])
    )
    clusters = pair_clusters(store)
    assert clusters[0] == clusters[1] == clusters[2]
    assert clusters[3] == clusters[7]
    assert len(set(clusters.tolist())) == 5


def test_the_paired_test_is_mcnemar_on_single_pairs():
    rng = np.random.default_rng(0)
    margins = np.ones((4, 60))
    margins[1, rng.choice(60, 12, replace=False)] = -1
    margins[0, :5], margins[1, :5] = -1, 1
    n_lost, n_gained = int(((margins[1] < 0) & (margins[0] > 0)).sum()), 5
    table = paired_tests(pair_store(margins, ["a"] * 60, ["x"] * 60)).set_index(["cohort", "against", "phenomenon"])
    row = table.loc[("top", "intact", "all")]
    assert (row["n_lost"], row["n_gained"]) == (n_lost, n_gained)
    assert row["p"] == pytest.approx(binomtest(n_gained, n_lost + n_gained).pvalue)
    assert table.loc[("random (2 draws)", "intact", "all"), "n_gained"] == 5
    assert ("top", "random (2 draws)", "all") in table.index
    assert ("random (2 draws)", "top", "all") not in table.index


def test_phenomena_are_corrected_together():
    margins = np.ones((4, 90))
    margins[1, :7] = margins[1, 30:36] = margins[1, 60:61] = -1
    names = ["a"] * 30 + ["b"] * 30 + ["c"] * 30
    table = paired_tests(pair_store(margins, names, names))
    table = table[(table["cohort"] == "top") & (table["against"] == "intact")].set_index("phenomenon")
    p = table.loc[["a", "b", "c"], "p"].tolist()
    assert p == pytest.approx([2 / 2**7, 2 / 2**6, 1])
    assert table.loc[["a", "b", "c"], "p_adjusted"].tolist() == pytest.approx([3 * p[0], 2 * p[1], 1])
    assert set(table["correction"]) == {"holm"}
    by_rate = paired_tests(pair_store(margins, names, names), correction="bh")
    assert set(by_rate["correction"]) == {"bh"}


def test_a_planted_loss_is_detected_and_a_null_is_not():
    """Of 200 stores without an effect 5% ± 3% are rejected; a loss of 15% of the pairs is detected in nearly all."""
    rng = np.random.default_rng(1)
    rejected = {"null": [], "loss": []}
    for _ in range(200):
        is_right = rng.random(120) < 0.8
        for effect, frac in (("null", 0.1), ("loss", 0.15)):
            margins = np.tile(np.where(is_right, 1.0, -1.0), (4, 1))
            is_changed, is_gain = rng.random(120) < frac, rng.random(120) < 0.5
            if effect == "null":
                margins[:2, is_changed] = np.where(is_gain, [[-1.0], [1.0]], [[1.0], [-1.0]])[:, is_changed]
            else:
                margins[1, is_changed] = -1
            table = paired_tests(pair_store(margins, ["a"] * 120, ["x"] * 120))
            row = table.set_index(["cohort", "against", "phenomenon"]).loc[("top", "intact", "all")]
            rejected[effect].append(row["p"] < 0.05)
    assert np.mean(rejected["null"]) < 0.08  # the exact test is conservative
    assert np.mean(rejected["loss"]) > 0.95


def test_clusters_widen_the_interval():
    """Ten copies of every pair are as much evidence as one."""
    rng = np.random.default_rng(2)
    margins = np.ones((4, 40))
    margins[1] = np.where(rng.random(40) < 0.3, -1, 1)
    once = pair_store(margins, ["a"] * 40, ["x"] * 40)
    texts = [f"good {i}" for i in np.repeat(np.arange(40), 10)]
    copied = pair_store(np.repeat(margins, 10, axis=1), ["a"] * 400, ["x"] * 400).assign_coords(sentence_good=("pair", texts))

    def width(store):
        row = pair_accuracy(store).set_index(["cohort", "phenomenon"]).loc[("top", "all")]
        return row["accuracy_upper"] - row["accuracy_lower"]

    assert width(copied) == pytest.approx(width(once), rel=0.1)
    tables = [paired_tests(store).set_index(["cohort", "against", "phenomenon"]) for store in (once, copied)]
    p, p_copied = (table.loc[("top", "intact", "all"), "p"] for table in tables)
    assert p_copied == p


def with_losses(seed=0, loss=0.3, n=40):
    """Margins (condition, pair) far from zero, so that accuracy stays at its ceiling; the top cohort loses `loss` of them."""
    margins = 4 + 0.3 * np.random.default_rng(seed).normal(size=(4, n))
    margins[1] -= loss
    return margins


def test_margins_and_their_change_are_t_tests_of_pairs():
    margins = with_losses()
    table = pair_accuracy(pair_store(margins, ["a"] * 40, ["x"] * 40)).set_index(["cohort", "phenomenon"])
    row = table.loc[("top", "all")]
    for name, values in (("margin", margins[1]), ("delta_margin", margins[1] - margins[0])):
        interval = ttest_1samp(values, 0).confidence_interval()
        bounds = [row[name], row[f"{name}_lower"], row[f"{name}_upper"]]
        assert bounds == pytest.approx([values.mean(), interval.low, interval.high])
    assert (row["delta_accuracy"], row["is_equivalent"]) == (0, False)
    drawn = table.loc[("random (2 draws)", "all")]
    assert drawn["margin"] == pytest.approx(margins[2:].mean())
    assert drawn["delta_margin"] == pytest.approx((margins[2:] - margins[0]).mean())
    assert table.loc[("none", "all"), ["delta_margin", "delta_margin_lower", "delta_margin_upper"]].tolist() == [0, 0, 0]


def test_margins_are_averaged_as_accuracy_is():
    table = pair_accuracy(small([8, 4, 2, 2, -1, -3, 5, 7.0])).set_index(["cohort", "phenomenon"])
    margin = table.loc["top", "margin"]
    assert margin.loc[["x", "y", "all", "all pairs"]].tolist() == pytest.approx([4, 2, (4 - 2 + 6) / 3, 3])


def test_a_score_that_is_not_defined_has_no_margin():
    store = small([1] * 8)
    store["critical_log_probability_good"][0, 1, 3] = np.nan
    table = pair_accuracy(store, score="critical").set_index(["cohort", "phenomenon"])
    assert table.loc[("none", "x"), "margin"] == 2, "of the pairs that are defined under every condition, twice the total"
    margins, _ = macro_average(store, "critical")
    assert margins.shape == (1, 4, 7)


def test_changes_of_margin_are_tested_where_accuracy_is_blind():
    margins = with_losses()
    table = paired_tests(pair_store(margins, ["a"] * 40, ["x"] * 40)).set_index(["cohort", "against", "phenomenon"])
    row, change = table.loc[("top", "intact", "all")], margins[1] - margins[0]
    expected, error = ttest_1samp(change, 0), change.std(ddof=1) / np.sqrt(40)
    interval = expected.confidence_interval()
    assert row["p"] == 1
    bounds = [row[name] for name in ("delta_margin", "delta_margin_lower", "delta_margin_upper", "margin_p")]
    assert bounds == pytest.approx([change.mean(), interval.low, interval.high, expected.pvalue])
    assert row["margin_p"] < 0.01
    assert row["margin_equivalence_bound"] == pytest.approx(abs(change.mean()) + t.ppf(0.95, 39) * error)
    assert row["margin_detectable"] == pytest.approx((t.ppf(0.975, 39) + t.ppf(0.8, 39)) * error)
    against = table.loc[("top", "random (2 draws)", "all")]
    assert against["delta_margin"] == pytest.approx((margins[1] - margins[2:]).mean())
    assert against["delta_margin_upper"] - against["delta_margin_lower"] > 2 * 12.7 * np.std(margins[2:].mean(axis=1))


def test_margins_of_phenomena_are_corrected_together():
    names = ["a"] * 20 + ["b"] * 20
    table = paired_tests(pair_store(with_losses(loss=0.15), names, names))
    table = table[(table["cohort"] == "top") & (table["against"] == "intact")].set_index("phenomenon")
    least, most = sorted(table.loc[["a", "b"], "margin_p"])
    assert sorted(table.loc[["a", "b"], "margin_p_adjusted"]) == pytest.approx([2 * least, max(2 * least, most)])
    assert table.loc["all", "margin_p_adjusted"] == table.loc["all", "margin_p"]


def test_a_lost_or_gained_answer_has_a_bound_of_equivalence():
    """No answer changes: what is left is one more change of either sign, by the normal distribution."""
    table = paired_tests(pair_store(np.ones((4, 50)), ["a"] * 50, ["x"] * 50)).set_index(["cohort", "against", "phenomenon"])
    row = table.loc[("top", "intact", "all")]
    error = np.sqrt(2) / 52
    assert row["equivalence_bound"] == pytest.approx(1.644854 * error)
    assert row["detectable"] == pytest.approx((1.959964 + 0.841621) * error)


def test_paradigms_of_all_benchmarks_count_alike_in_the_macro_average():
    """Of two benchmarks, each with a paradigm `a`, and one with a paradigm `b`."""
    margins = np.random.default_rng(3).normal(size=(4, 10))
    store = pair_store(margins, ["a"] * 5 + ["b"] * 5, ["x"] * 10, benchmark=["one"] * 2 + ["two"] * 8)
    values, clusters = macro_average(store)
    np.testing.assert_allclose(values, margins[None])
    estimate = clusters.estimate(values[:, 1])
    expected = (margins[1, :2].mean() + margins[1, 2:5].mean() + margins[1, 5:].mean()) / 3
    assert estimate.value == pytest.approx([expected])
    assert clusters.n_clusters.tolist() == [10]
    shared = store.assign_coords(sentence_good=("pair", [f"good {i // 2}" for i in range(10)]))
    assert macro_average(shared)[1].n_clusters.tolist() == [5]
