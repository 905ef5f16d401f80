"""Models of an ablation, on made-up tables whose answers are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from actstore.errors import UnknownNameError
from analysis.surprisal.models import control_pairs, surprisal_curves, surprisal_effects
from tests.analysis.surprisal.helpers import toy_table

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
        table = toy_table(step, effects={("top", "DET"): size}, conditions=("top", "random", "bottom"))
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
    tables = surprisal_effects(table, n_replicates=200)
    assert set(tables["surprisal_means"]["checkpoint"]) == {20}
    contrasts = tables["surprisal_contrasts"].set_index(["by", "against", "level"])
    assert len(contrasts) == 2 * 3 + 2 * (2 + 1), "classes of words also less one another"
    for against in ("negative-zero random", "negative-zero bottom"):
        assert contrasts.loc[("upos", against, "DET"), "estimate"] == pytest.approx(0.8, abs=0.25)
        assert contrasts.loc[("word_class", against, "content"), "p_adjusted"] > 0.05
    assert tables["surprisal_fits"]["is_converged"].all()
    assert set(tables["surprisal_variances"]["group"]) == {"word_type", "document", "residual"}


def test_draws_of_a_control_are_in_its_intervals():
    """Three draws that differ by a constant: the contrast's robust interval is as wide as two degrees of freedom ask for."""
    table = ablation_table()
    is_random = table["rule"] == "random"
    shifts = np.array([-0.5, 0.1, 0.4])
    for k, shift in enumerate(shifts, 1):
        table[f"delta_draw_{k}"] = (table["delta"] + shift).where(is_random)
    table["n_seeds"] = np.where(is_random, 3, 1)
    contrasts = surprisal_effects(table, n_replicates=50)["surprisal_contrasts"].set_index(["by", "against", "level"])
    drawn, fixed = (contrasts.loc[("word_class", f"negative-zero {rule}", "content")] for rule in ("random", "bottom"))
    assert (drawn["n_draws"], fixed["n_draws"]) == (3, 1)
    reach = t.ppf(0.975, 2) * shifts.std(ddof=1) / np.sqrt(3)
    assert drawn["robust_upper"] - drawn["estimate"] == pytest.approx(reach, rel=0.02)
    assert fixed["robust_upper"] - fixed["estimate"] < 0.5 * reach


def test_contrasts_by_class_are_also_compared_between_classes():
    """Planted: determiners alone, which are scaffolding; `content` is left out of one table."""
    table = ablation_table()
    contrasts = surprisal_effects(table, n_replicates=200)["surprisal_contrasts"]
    rows = contrasts[(contrasts["by"] == "word_class") & (contrasts["against"] == "negative-zero random")].set_index("level")
    assert set(rows.index) == {"scaffolding", "content", "scaffolding less content"}
    difference = rows.loc["scaffolding less content"]
    assert difference["estimate"] == pytest.approx(rows.loc["scaffolding", "estimate"] - rows.loc["content", "estimate"])
    assert difference["lower"] > 0.4
    assert not contrasts.loc[contrasts["by"] == "upos", "level"].str.contains("less").any()
    without = table.assign(word_class=np.where(table["word_class"] == "content", "other", "scaffolding"))
    of_one = surprisal_effects(without, n_replicates=200)["surprisal_contrasts"]
    assert not of_one["level"].str.contains("less").any()


def test_a_single_condition_has_no_contrasts():
    table = ablation_table()
    tables = surprisal_effects(table[table["rule"] == "top"], n_replicates=200)
    assert "surprisal_contrasts" not in tables
    assert set(tables["surprisal_means"]["condition"]) == {"negative-zero top"}
    assert (tables["surprisal_fits"]["slopes"] == "none: one condition").all()


def test_a_cohort_is_compared_with_its_controls():
    table = ablation_table()
    top = "negative-zero top"
    assert sorted(control_pairs(table)) == [(top, "negative-zero bottom"), (top, "negative-zero random")]
    assert control_pairs(table.assign(target_scope=np.where(table["rule"] == "random", "layer", ""))) == [
        (top, "negative-zero random")
    ]
    elsewhere = table.assign(intervention=np.where(table["rule"] == "random", "both-zero", "negative-zero"))
    assert control_pairs(elsewhere) == [(top, "negative-zero bottom")]


def test_an_unmatched_control_is_flagged_in_means_contrasts_and_curves():
    """Matched at step 10 and not at step 20: the last checkpoint decides, in the curve each step for itself."""
    table = ablation_table()
    is_random = table["rule"] == "random"
    table["is_matched"] = np.where(is_random, (table["checkpoint"] == 10).astype(int), -1)
    tables = surprisal_effects(table, n_replicates=200)
    expected = {"negative-zero top": -1, "negative-zero random": 0, "negative-zero bottom": -1}
    for name, column in (("surprisal_means", "condition"), ("surprisal_contrasts", "against")):
        flags = tables[name].groupby(column)["is_matched"].unique().map(list).to_dict()
        assert flags == {key: [flag] for key, flag in expected.items() if key in flags}
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
