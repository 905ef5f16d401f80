"""Which cohorts are compared, and which controls match the perplexity of their cohort: planted, and on a real ablation."""

from __future__ import annotations

import numpy as np
import pytest

import analysis
from actstore.ablation.design import CohortSpec, Design
from actstore.ablation.readouts.minimal_pairs import MinimalPairs
from actstore.ablation.readouts.probes import Probes
from actstore.ablation.run import ablate
from actstore.config import TextConfig
from actstore.selection.matching import allowed_difference
from actstore.store.opening import open_store
from analysis.ablation.tables import ablation_tables
from analysis.results import load_table, save_table
from tests.analysis.helpers import HEAD, cohort_columns, pair_store

COHORTS = ["none", "top", "top-all", "matched", "matched-all", "random"]
RULES = ["none", "top", "top", "perplexity-matched", "perplexity-matched", "random"]
CONTROLS = ["", "", "", "top", "top-all", "top"]
SCOPES = ["", "layer", "all", "layer", "all", "layer"]
RATIO = np.array([1, 1.2, 2, 1.205, 1.5, 1.01])
LOST = [0, 30, 40, 4, 2, 1]
N_RIGHT = [55, 55, 55, 20, 20, 55]
COMPARED = {
    ("top", "intact"): -1,
    ("top", "matched"): 1,
    ("top", "random"): -1,
    ("top-all", "intact"): -1,
    ("top-all", "matched-all"): 0,
    ("matched", "intact"): 1,
    ("matched-all", "intact"): 0,
    ("random", "intact"): -1,
}


def planted(ratio=RATIO, tolerance=0.005):
    """A store of two top cohorts of different cost with a control for each, and wrong `is_matched` as the runner's."""
    margins = np.ones((6, 100))
    for condition, n_lost in enumerate(LOST):
        margins[condition, :n_lost] = -1
    answer = np.arange(60) % 4
    scores = np.zeros((1, 6, 60, 4))
    for condition, n_right in enumerate(N_RIGHT):
        scores[0, condition, range(60), (answer + (np.arange(60) >= n_right)) % 4] = 1
    store = pair_store(
        np.ones((4, 100)), ["a", "b"] * 50, ["x"] * 100, log_probability_option=((*HEAD, "item", "option"), scores[:, :4])
    ).isel(condition=[0, 1, 1, 1, 1, 1])
    store["log_probability_good"][:] = margins - 20
    store["log_probability_option"][:] = scores
    surprisal = _surprisal(ratio)
    is_matched = [-1, -1, -1, 1, 1, -1]
    return (
        store.drop_vars("perplexity")
        .assign(
            ablated_surprisal=((*HEAD, "token"), surprisal),
            perplexity=(HEAD, np.exp(np.nanmean(surprisal, axis=-1))),
            is_matched=(HEAD, [is_matched]),
            target_perplexity=(HEAD, np.where(np.array(is_matched) > 0, 1e3, np.nan)[None]),
        )
        .assign_coords(
            **{name: ("condition", column) for name, column in cohort_columns(COHORTS, RULES, CONTROLS, SCOPES).items()},
            tolerance=("condition", np.where(np.array(RULES) == "perplexity-matched", tolerance, np.nan)),
            answer=("item", answer),
            probe=("item", ["facts"] * 60),
            **_words(surprisal.shape[-1]),
        )
    )


def _surprisal(ratio):
    """Changes of every word that average to the logarithm of the ratio."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.3, size=(1, 6, 400))
    noise[:, 0] = 0
    values = rng.exponential(2, size=400) + noise - noise.mean(axis=-1, keepdims=True)
    return values + np.log(np.asarray(ratio))[:, None]


def _words(n):
    types = np.random.default_rng(2).integers(30, size=n)
    upos = np.array(["DET", "NOUN"], dtype=object)[types % 2]
    coords = {
        "word": np.arange(n),
        "word_form": np.array([f"w{word_type}" for word_type in types], dtype=object),
        "upos": upos,
        "deprel": upos,
        "document": np.arange(n) // 20,
        "sentence": np.arange(n) // 10,
        "position": np.arange(n) % 20,
        "is_scored": np.ones(n, bool),
    }
    return {name: ("token", values) for name, values in coords.items()}


def compared(table):
    """(cohort, against) → the flags of its rows."""
    flags = table.groupby(["cohort", "against"], sort=False)["is_matched"].unique().map(list).to_dict()
    assert all(len(values) == 1 for values in flags.values())
    return {key: int(values[0]) for key, values in flags.items()}


def test_every_table_compares_a_control_with_its_own_cohort_and_flags_it(tmp_path):
    store = planted()
    tables = ablation_tables(store)
    dissociation = tables["dissociation"][tables["dissociation"]["outcome"] == "accuracy"]
    assert compared(tables["paired_tests"]) == compared(dissociation) == COMPARED
    whole = tables["paired_tests"][tables["paired_tests"]["phenomenon"] == "all"].set_index(["cohort", "against"])
    for cohort, control in zip(COHORTS[3:], CONTROLS[3:], strict=True):
        change = (LOST[COHORTS.index(cohort)] - LOST[COHORTS.index(control)]) / 100
        assert whole.loc[(control, cohort), "delta_accuracy"] == pytest.approx(change)
        row = dissociation.set_index(["cohort", "against"]).loc[(control, cohort)]
        assert row["grammar_cost"] == pytest.approx(-change)
        assert row["is_double"] == (cohort == "matched"), "not against a control that is not matched, even if it costs the rest"
    for name in ("accuracy_by_phenomenon", "probes", "surprisal_by_upos"):
        flags = tables[name].groupby("cohort")["is_matched"].unique().map(list).to_dict()
        assert flags == {name: [flag] for name, flag in zip(COHORTS, [-1, -1, -1, 1, 0, -1], strict=True) if name in flags}
    save_table(analysis.surprisal_table(store), tmp_path / "words.csv.gz")
    table = analysis.surprisal_effects(load_table(tmp_path / "words.csv.gz"), n_replicates=50)["surprisal_contrasts"]
    table = table.rename(columns={"condition": "cohort"}).replace("negative-zero of ", "", regex=True)
    assert compared(table) == {key: flag for key, flag in COMPARED.items() if key[1] != "intact"}


def test_the_perplexity_table_names_the_target_and_measures_it():
    store = planted()
    table = analysis.perplexity_table(store).set_index("cohort")
    assert table["controls"].tolist() == CONTROLS
    assert table["is_matched"].tolist() == [-1, -1, -1, 1, 0, -1], "computed, not read from the store"
    for control, cohort in (("matched", "top"), ("matched-all", "top-all")):
        assert table.loc[control, "target_perplexity"] == pytest.approx(table.loc[cohort, "perplexity"])
        assert table.loc[control, "tolerance"] == 0.005
    assert table.loc[["none", "top", "top-all", "random"], ["target_perplexity", "tolerance"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("control", "top", "is_matched"),
    [
        (1.2059, 1.2, 1),  # within 0.5% of the target
        (1.2061, 1.2, 0),
        (1.0109, 1.01, 1),  # within a tenth of the rise
        (1.0111, 1.01, 0),  # within 0.5%, but not within a tenth of the rise
        (1.0, 1.001, 0),  # without an effect there is no match
        (0.981, 0.98, 0),  # the target does not raise perplexity
    ],
)
def test_a_match_is_within_the_tolerance_and_a_tenth_of_the_rise(control, top, is_matched):
    table = analysis.perplexity_table(planted([1, top, 2, control, 1.5, 1])).set_index("cohort")
    assert table.loc["matched", "is_matched"] == is_matched


def test_a_control_without_its_cohort_is_not_matched():
    table = analysis.perplexity_table(planted().isel(condition=[0, 1, 3, 4])).set_index("cohort")
    assert table["is_matched"].to_dict() == {"none": -1, "top": -1, "matched": 1, "matched-all": 0}
    assert compared(analysis.paired_tests(planted().isel(condition=[0, 3, 4]))).keys() == {
        ("matched", "intact"),
        ("matched-all", "intact"),
    }


def test_the_controls_of_a_real_ablation_have_the_perplexity_of_the_cohort_they_are_compared_with(run_folder, tmp_path):
    """Controls of both scopes are matched to the one top cohort with which they are compared."""
    cohorts = (CohortSpec(fraction=(0.1,)), CohortSpec("perplexity-matched", fraction=(0.1,), scope=("layer", "all")))
    design = Design(
        "pico-neox",
        statistics=str(run_folder / "analysis" / "entanglement.zarr"),
        text=TextConfig("builtin-evaluation", tokens=1500),
        readouts=(MinimalPairs(per_paradigm=1), Probes(("facts",))),
        cohorts=cohorts,
    )
    ablate(design, tmp_path / "a.zarr", progress=False)
    store = open_store(tmp_path / "a.zarr")
    top, *controls = store["cohort"].values[1:].tolist()
    assert store["target_scope"].values.tolist() == ["", "", "layer", "layer"]
    intact, of_top, *of_controls = store["perplexity"].values[0]
    allowed = allowed_difference(of_top, intact, 0.005)
    is_matched = dict(zip(controls, (int(abs(value - of_top) <= allowed) for value in of_controls), strict=True))
    assert store["is_matched"].values[0].tolist() == [-1, -1, *is_matched.values()]
    np.testing.assert_allclose(store["target_perplexity"].values[0, 2:], of_top, rtol=1e-9)
    assert 1 in is_matched.values()
    tables = ablation_tables(store)
    expected = {(top, "intact"): -1} | {(top, name): flag for name, flag in is_matched.items()}
    expected |= {(name, "intact"): flag for name, flag in is_matched.items()}
    assert compared(tables["paired_tests"]) == compared(tables["dissociation"]) == expected
    assert tables["perplexity"].set_index("cohort")["is_matched"].to_dict() == {"none": -1, top: -1} | is_matched
    words = analysis.surprisal_table(store)
    assert sorted(analysis.control_pairs(words)) == sorted(
        (f"negative-zero of {top}", f"negative-zero of {name}") for name in controls
    )
    assert words.groupby("cohort", observed=True)["is_matched"].first().to_dict() == {top: -1} | is_matched
