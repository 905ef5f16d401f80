"""Top less each control by stored surprisals: t-tests of documents, draws, and the null."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t, ttest_1samp

from analysis import perplexity_contrasts
from analysis.kernels.multiplicity import benjamini_hochberg, holm
from tests.analysis.ablation.test_tables import planted

N_DOCUMENTS = 40
ONE_DRAW = [0, 1, 2]


def surprisals(seed=0, noise=0.3, n_documents=N_DOCUMENTS):
    """(checkpoint, condition, token) of four conditions that differ by noise alone; BOS has none."""
    rng = np.random.default_rng(seed)
    values = rng.exponential(2, (1, 1, 5 * n_documents)) + noise * rng.normal(size=(1, 4, 5 * n_documents))
    values[..., ::5] = np.nan
    return values


def by_document(values):
    """Means (…, document) of values (…, token)."""
    return np.nanmean(values.reshape(*values.shape[:-1], -1, 5), axis=-1)


def test_of_one_draw_it_is_the_paired_t_test_of_documents():
    values = surprisals()
    values[0, 1] += 0.2
    (row,) = perplexity_contrasts(planted(values).isel(condition=ONE_DRAW)).to_dict("records")
    change = by_document(values[0, 1] - values[0, 2])
    expected = ttest_1samp(change, 0)
    interval = expected.confidence_interval()
    assert (row["cohort"], row["against"], row["against_rule"]) == ("top", "random", "random")
    known = [change.mean(), interval.low, interval.high, expected.pvalue]
    assert [row[name] for name in ("estimate", "lower", "upper", "p")] == pytest.approx(known)
    assert [row[name] for name in ("ratio", "ratio_lower", "ratio_upper")] == pytest.approx(np.exp(known[:3]))
    assert row["ratio"] == pytest.approx(np.exp(np.nanmean(values[0, 1])) / np.exp(np.nanmean(values[0, 2])))
    assert (row["n_draws"], row["n_clusters"], row["cluster"], row["is_matched"]) == (1, N_DOCUMENTS, "document", -1)
    error = change.std(ddof=1) / np.sqrt(N_DOCUMENTS)
    assert row["detectable"] == pytest.approx(error * (t.ppf(0.975, 39) + t.ppf(0.8, 39)))
    assert row["equivalence_bound"] == pytest.approx(change.mean() + error * t.ppf(0.95, 39))


def test_draws_of_the_control_count():
    """All documents change alike, so that the draws alone vary: two draws, one degree of freedom."""
    values = surprisals(noise=0)
    values[0, 1:] += np.array([0.5, 0.1, 0.3])[:, None]
    (row,) = perplexity_contrasts(planted(values)).to_dict("records")
    assert (row["against"], row["n_draws"]) == ("random (2 draws)", 2)
    assert row["estimate"] == pytest.approx(0.3)
    assert row["upper"] - row["estimate"] == pytest.approx(t.ppf(0.975, 1) * 0.1)


def test_documents_and_draws_by_hand():
    values = surprisals(3)
    (row,) = perplexity_contrasts(planted(values)).to_dict("records")
    sides = by_document(values[0, 1])[None] - by_document(values[0, 2:])
    over_draws = sides.mean(axis=1).var(ddof=1) / 2
    residual = sides - sides.mean(axis=0)
    residual = residual - residual.mean(axis=1, keepdims=True)
    interaction = (residual**2).sum() / 2 / N_DOCUMENTS / (N_DOCUMENTS - 1)
    over_documents = sides.mean(axis=0).var(ddof=1) / N_DOCUMENTS - interaction
    reach = np.hypot(t.ppf(0.975, 39) * np.sqrt(over_documents), t.ppf(0.975, 1) * np.sqrt(over_draws))
    assert row["estimate"] == pytest.approx(sides.mean())
    assert row["upper"] - row["estimate"] == pytest.approx(reach)


def test_several_controls_are_corrected_together():
    store = planted(surprisals(1)).isel(condition=[*ONE_DRAW, 3])
    store = store.assign_coords(dict.fromkeys(("rule", "cohort"), ("condition", ["none", "top", "random", "bottom"])))
    for correction, function in (("holm", holm), ("bh", benjamini_hochberg)):
        table = perplexity_contrasts(store, correction)
        assert table["against"].tolist() == ["random", "bottom"]
        np.testing.assert_allclose(table["p_adjusted"], function(table["p"].to_numpy()))
        assert (table["correction"] == correction).all()


def test_without_a_control_there_is_no_row():
    assert perplexity_contrasts(planted(surprisals()).isel(condition=[0, 1])).empty


def test_one_document_has_no_interval():
    (row,) = perplexity_contrasts(planted(surprisals(n_documents=1)).isel(condition=ONE_DRAW)).to_dict("records")
    assert np.isfinite(row["estimate"])
    assert np.isnan([row["lower"], row["p"], row["ratio_upper"]]).all()


def test_the_null_is_rejected_at_its_rate():
    tables = [perplexity_contrasts(planted(surprisals(seed, n_documents=12)).isel(condition=ONE_DRAW)) for seed in range(200)]
    assert np.mean([table["p"].iloc[0] < 0.05 for table in tables]) == pytest.approx(0.05, abs=0.03)


def test_on_a_real_ablation(ablation):
    (row,) = perplexity_contrasts(ablation).to_dict("records")
    perplexity = ablation["perplexity"].values[0]
    rule = ablation["rule"].values
    expected = np.log(perplexity[rule == "top"][0]) - np.log(perplexity[rule == "random"]).mean()
    assert row["estimate"] == pytest.approx(expected, rel=1e-4)
