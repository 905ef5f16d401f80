"""What panels say of planted tables: effects where they are, none where they are not."""

from __future__ import annotations

import pandas as pd
import pytest

from actstore.ablation.design import CohortSpec, Design
from actstore.selection.selection import Selection
from reports.basis import few_clusters
from reports.methods import limits, methods
from reports.panels import ablation, grammar, layers_and_steps, pairs, surprisal, training
from reports.registry import drawn_sections
from reports.results import Results, Run
from reports.study import AblationStudy, Study
from reports.tables import page_tables

LABELS = {
    "checkpoint": 5,
    "statistic": "wasserstein_distance",
    "fraction": 0.01,
    "scope": "layer",
    "first_layer": 0,
    "last_layer": 3,
    "chosen_at": "same",
    "target_scope": "",
    "controls": "",
    "is_matched": -1,
    "n_neurons": 4,
    "n_seeds": 1,
    "n_clusters": 40,
    "cluster": "document",
}


def conditions(**value):
    """One row a condition: intact, and (intervention, cohort, rule) with an estimate and its bounds."""
    (name, rows), *_ = value.items()
    texts = dict.fromkeys(("statistic", "scope", "chosen_at"), "") | dict.fromkeys(("intervention", "cohort", "rule"), "none")
    table = [{**LABELS, **texts, "fraction": 0.0, "first_layer": -1, "last_layer": -1}]
    for (intervention, cohort), (estimate, lower, upper) in rows.items():
        rule, scope = cohort.partition(" ")[0], "all" if cohort.endswith("all layers") else "layer"
        table.append(
            {
                **LABELS,
                "scope": scope,
                "target_scope": "" if rule == "top" else "layer",
                "controls": "" if rule == "top" else "top 1%",
                "intervention": intervention,
                "cohort": cohort,
                "rule": rule,
                name: estimate,
                f"{name}_lower": lower,
                f"{name}_upper": upper,
            }
        )
    return pd.DataFrame(table).fillna({name: 1.0, f"{name}_lower": 1.0, f"{name}_upper": 1.0})


def perplexity(rows):
    return conditions(perplexity_ratio=rows).assign(perplexity=9.0, target_perplexity=9.5, n_tokens=1000)


def results_of(ablations=None, nonlinearity="gelu", **tables):
    """Results of one model `m` with these tables, and ablations by name → tables."""
    about = {"model": "m", "nonlinearity": nonlinearity}
    runs = {name: Run(name, tables_of_run, about, {}) for name, tables_of_run in (ablations or {}).items()}
    return Results(Study("s", ("m",)), {"m": Run("m", tables, about, {"layer": 2})}, runs, None)


TOP, RANDOM = ("negative-zero", "top 1%"), ("negative-zero", "random 1%")


def test_perplexity_names_the_effect_and_the_controls():
    results = results_of({"a": {"perplexity": perplexity({TOP: (1.2, 1.1, 1.3), RANDOM: (1.0, 0.99, 1.01)})}})
    assert ablation.perplexity(results).finding == (
        "Negative-zero of top 1% raises perplexity: 1.2000 [1.1000, 1.3000]; its controls: random 1% 1.0000 [0.9900, 1.0100]."
    )
    results = results_of({"a": {"perplexity": perplexity({TOP: (1.001, 0.99, 1.01)})}})
    assert ablation.perplexity(results).finding.startswith("There is no evidence that perplexity changes")


MATCHED, UNMATCHED = "perplexity-matched 1%", "perplexity-matched 1%, all layers"


def flagged(table, column="cohort"):
    """With the second of two perplexity-matched controls not matched."""
    flags = table[column].str.removeprefix("negative-zero of ").map({MATCHED: 1, UNMATCHED: 0}).fillna(-1)
    return table.assign(is_matched=flags.astype(int))


def names_of(panel, axes=0):
    """Names of the categories and of the legend of a figure."""
    ax = panel.figure.axes[axes]
    legends = [*panel.figure.legends, *([ax.get_legend()] if ax.get_legend() else [])]
    texts = [*ax.get_yticklabels(), *(text for legend in legends for text in legend.get_texts())]
    return {text.get_text().replace("\n", " ") for text in texts}


CONTROLLED = {TOP: (1.2, 1.1, 1.3), ("negative-zero", MATCHED): (1.2, 1.1, 1.3), ("negative-zero", UNMATCHED): (1.1, 1.0, 1.2)}
CAVEAT = f"Not matched within tolerance: {UNMATCHED}; the nearest is shown and no verdict rests on it."


def test_perplexity_says_how_many_documents_and_draws_there_were():
    table = perplexity({TOP: (1.2, 1.1, 1.3), RANDOM: (1.0, 0.99, 1.01)}).assign(n_clusters=40)
    table.loc[table["rule"] == "random", "n_seeds"] = 5
    note = ablation.perplexity(results_of({"a": {"perplexity": table}})).note
    assert note.endswith(
        "Intervals: 95% each, not adjusted for their number, Student's t over 40 documents and, where neurons were drawn at random, over 5 draws."
    )
    few = ablation.perplexity(results_of({"a": {"perplexity": table.assign(n_clusters=2)}})).note
    assert few.endswith("Few: 2 documents.")


def test_one_document_gives_no_verdict():
    table = perplexity({TOP: (1.2, float("nan"), float("nan"))}).assign(n_clusters=1)
    table[["perplexity_ratio_lower", "perplexity_ratio_upper"]] = float("nan")
    panel = ablation.perplexity(results_of({"a": {"perplexity": table}}))
    assert panel.finding.startswith(
        "There is no telling whether perplexity changes under negative-zero of top 1%, from a single document: "
        "1.2000 (no interval)"
    )
    assert panel.note.endswith(
        "Intervals: 95% each, not adjusted for their number, Student's t over 1 document. No interval where there is a single document."
    )


def test_limits_list_what_rests_on_few_clusters():
    table = perplexity({TOP: (1.2, 1.1, 1.3), RANDOM: (1.0, 0.99, 1.01)}).assign(n_clusters=2)
    tests = pd.DataFrame(
        {"phenomenon": ["binding", "all"], "least_p": [0.25, 0.001], "n_clusters": [3, 50], "cluster": "minimal-pair cluster"}
    )
    many = pd.DataFrame({"n_clusters": [50], "cluster": "item"})
    results = results_of(
        {"a": {"perplexity": table, "paired_tests": tests, "probes": many}},
        cohorts=pd.DataFrame({"n_clusters": [5], "cluster": "neuron"}),
    )
    texts = few_clusters(results)
    assert texts[:3] == [
        "Few clusters in model “m”: cohorts (as few as 5 neurons).",
        "Few clusters in ablation “a”: perplexity (as few as 2 documents); paired_tests (as few as 3 minimal-pair clusters).",
        "Intervals over fewer than 20 clusters depend on Student's t and are wide; over one there is none.",
    ]
    assert "In “a” a random control was drawn once: its intervals are of this draw, not of such draws." in texts
    assert "In “a” paired tests of binding cannot be significant, whatever happens: too few clusters." in texts
    table = table.assign(n_clusters=200, n_seeds=5)
    texts = few_clusters(results_of({"a": {"perplexity": table}}))
    assert texts == ["In “a” random controls rest on 5 draws: 5 are few, and intervals are as wide as that."]
    assert few_clusters(results_of({"a": {"perplexity": table.assign(n_seeds=20)}})) == []


def test_an_unmatched_control_is_marked_in_the_figure_the_sentence_and_the_caption():
    panel = ablation.perplexity(results_of({"a": {"perplexity": flagged(perplexity(CONTROLLED))}}))
    assert panel.finding.endswith(
        f"its controls: {MATCHED} 1.2000 [1.1000, 1.3000] and {UNMATCHED} (not matched) 1.1000 [1.0000, 1.2000]."
    )
    assert panel.note.endswith(CAVEAT)
    assert {MATCHED, f"{UNMATCHED} (not matched)"} <= names_of(panel)


def test_a_cohort_is_told_with_its_own_controls_alone():
    rows = {**CONTROLLED, ("negative-zero", "top 1%, all layers"): (2.0, 1.9, 2.1)}
    table = perplexity(rows).assign(is_matched=-1)
    table.loc[table["cohort"] == UNMATCHED, "target_scope"] = "all"
    panel = ablation.perplexity(results_of({"a": {"perplexity": table}}))
    assert panel.finding.startswith("Negative-zero of top 1% raises perplexity: 1.2000")
    assert panel.finding.endswith(f"its controls: {MATCHED} 1.2000 [1.1000, 1.3000].")
    assert "top 1%, all layers" in names_of(panel)


def test_limits_and_methods_tell_what_a_control_is_matched_to():
    table = flagged(perplexity(CONTROLLED))
    results = results_of({"a": {"perplexity": table}})
    assert (
        f"In “a” the control {UNMATCHED} under negative-zero is not matched to top 1% on perplexity at checkpoint 5 "
        "(9.0000, not 9.5000): the nearest is shown and no verdict rests on it."
    ) in limits(results, [])
    assert "Controls are matched on perplexity over all their layers together, not layer by layer." in limits(results, [])
    cohorts = (CohortSpec(), CohortSpec("perplexity-matched", scope=("layer", "all")))
    run = Run(
        "a",
        {"perplexity": table},
        {"model": "m", "corpus": "c", "seed": "0", "checkpoints": "5", "tokens_asked": "2000", "n_documents": "2"},
        {"token": 1009, "checkpoint": 1, "condition": 4, "neuron": 100},
    )
    study = AblationStudy("a", Design("m", cohorts=cohorts))
    text = methods(
        Results(Study("s", ("m",)), {}, {"a": run}, Selection({0: (1,)}, "top", "d", 0.01, "m", "s", "", 5, 9), {"a": study})
    )[-2]
    assert (
        "as many of the bottom neurons (of each layer or of all layers together) as raise perplexity like the cohort that they "
        "control for, top 1% (within 0.5% of its perplexity and a tenth of its rise; matched once, with all these neurons "
        "ablated together, not layer by layer)"
    ) in text
    assert "(c, seed 0; 1,009 of the 2,000 tokens asked, 2 documents)" in text


def test_a_relu_model_that_changes_is_an_alarm():
    exact = results_of({"r": {"perplexity": perplexity({TOP: (1, 1, 1)})}}, nonlinearity="relu")
    assert "changes nothing at all" in ablation.relu(exact).finding
    broken = results_of({"r": {"perplexity": perplexity({TOP: (1.01, 1.0, 1.02)})}}, nonlinearity="relu")
    assert "not to be trusted" in ablation.relu(broken).finding
    assert ablation.relu(results_of({"r": {"perplexity": perplexity({TOP: (1, 1, 1)})}})) is None


def test_interventions_are_apart_only_where_their_intervals_are():
    rows = {TOP: (1.0, 0.9, 1.1), ("positive-zero", "top 1%"): (1.5, 1.4, 1.6)}
    assert (
        "apart from negative-zero by their intervals: positive-zero"
        in ablation.mirror(results_of({"a": {"perplexity": perplexity(rows)}})).finding
    )
    table = perplexity(rows)
    table.loc[table["rule"] == "top", ["perplexity_ratio_lower", "perplexity_ratio_upper"]] = float("nan")
    assert (
        "without intervals there is no telling them apart" in ablation.mirror(results_of({"a": {"perplexity": table}})).finding
    )
    rows[("positive-zero", "top 1%")] = (1.05, 0.95, 1.2)
    assert "no interval is apart" in ablation.mirror(results_of({"a": {"perplexity": perplexity(rows)}})).finding
    assert ablation.sign_and_magnitude(results_of({"a": {"perplexity": perplexity(rows)}})) is None


def test_the_sweep_needs_several_shares():
    table = perplexity({TOP: (1.1, 1.0, 1.2)})
    assert ablation.sweep(results_of({"a": {"perplexity": table}})) is None
    many = pd.concat(
        [
            table.assign(fraction=share, cohort=table["cohort"].str.replace("1%", f"{100 * share:g}%"))
            for share in (0.01, 0.02, 0.05)
        ]
    )
    panel = ablation.sweep(results_of({"a": {"perplexity": many}}))
    assert panel.finding == "At 5% of each layer the ratio is top 1.100 [1.000, 1.200]."


def bounded(name, estimate, lower, upper):
    """An estimate and its bounds, as columns."""
    return {name: estimate, f"{name}_lower": lower, f"{name}_upper": upper}


def dissociation_table(is_double, p, compared=("intact", "random 1%")):
    row = {
        **LABELS,
        **bounded("grammar_cost", 0.2, 0.1, 0.3),
        **bounded("other_cost", 0.0, -0.1, 0.1),
        **bounded("interaction", 0.2, 0.1, 0.3),
        "intervention": "negative-zero",
        "cohort": "top 1%",
        "rule": "top",
        "outcome": "accuracy",
        "p_adjusted": p,
        "is_double": is_double,
        "is_equivalent": False,
        "equivalence_bound": 0.3,
        "n_pairs": 100,
        "n_others": 50,
    }
    return pd.DataFrame([{**row, "against": against} for against in compared])


@pytest.mark.parametrize(
    ("is_double", "start"),
    [(True, "A double dissociation against intact and random 1%"), (False, "There is no evidence of a double")],
)
def test_the_dissociation_is_claimed_only_where_there_is_one(is_double, start):
    tables = {
        "perplexity": perplexity({TOP: (1, 1, 1), RANDOM: (1, 1, 1)}),
        "dissociation": dissociation_table(is_double, 0.001),
    }
    panel = grammar.dissociation(results_of({"a": tables}))
    assert panel.finding.startswith(start)
    assert "random 1% +0.200 [+0.100, +0.300], p = 0.001" in panel.finding


@pytest.mark.parametrize("is_double", [True, False])
def test_no_dissociation_rests_on_an_unmatched_control(is_double):
    table = flagged(dissociation_table(is_double, 0.001, (MATCHED, UNMATCHED)), "against")
    table["is_double"] = is_double & (table["against"] == UNMATCHED)
    panel = grammar.dissociation(results_of({"a": {"perplexity": perplexity(CONTROLLED), "dissociation": table}}))
    assert panel.finding == (
        f"There is no evidence of a double dissociation: interaction against {MATCHED} +0.200 [+0.100, +0.300], p = 0.001; "
        f"not counted, as perplexity is not matched: against {UNMATCHED} (not matched) +0.200 [+0.100, +0.300], p = 0.001."
    )
    assert panel.note.endswith(CAVEAT)
    assert names_of(panel, 1) == {MATCHED, f"{UNMATCHED} (not matched)", "top 1%"}
    assert panel.brief == (
        "There is no evidence of a double dissociation against any of 1 control. Not counted, as perplexity is not matched: "
        "1 control."
    )


def test_the_cost_of_an_unmatched_control_is_marked():
    """Against the intact model the cohort itself is the control."""
    table = pd.concat(
        [dissociation_table(False, 0.5, ("intact",)).assign(cohort=name) for name in ("top 1%", MATCHED, UNMATCHED)]
    )
    table = flagged(table.assign(rule=table["cohort"].str.partition(" ")[0]))
    panel = grammar.dissociation(results_of({"a": {"perplexity": perplexity(CONTROLLED), "dissociation": table}}))
    assert {"top 1%", MATCHED, f"{UNMATCHED} (not matched)"} <= names_of(panel)
    assert panel.note.endswith(CAVEAT)


def phenomena_table(estimate, lower, upper, accuracy=0.8):
    table = conditions(delta_accuracy={TOP: (estimate, lower, upper)}).assign(benchmark="b", n_pairs=50, n_ties=0)
    intact = table["rule"] == "none"
    for name, offset in (("accuracy", 0), ("accuracy_lower", -0.05), ("accuracy_upper", 0.04)):
        table[name] = [accuracy + offset if is_intact else 0.3 for is_intact in intact]
    for side in ("", "_lower", "_upper"):
        table[f"delta_margin{side}"] = 10 * table[f"delta_accuracy{side}"]
    return pd.concat([table.assign(phenomenon=name) for name in ("binding", "all")], ignore_index=True)


def test_phenomena_count_the_intervals_without_zero():
    tables = {"perplexity": perplexity({TOP: (1, 1, 1)}), "accuracy_by_phenomenon": phenomena_table(-0.2, -0.3, -0.1)}
    panel = grammar.phenomena(results_of({"a": tables}))
    assert "lowers accuracy on all paradigms: −0.200 [−0.300, −0.100]; 1 of 1 phenomena" in panel.finding
    both = pd.concat(
        [phenomena_table(-0.2, -0.3, -0.1), phenomena_table(0, -0.1, 0.1).replace({"b": "c", "binding": "simple_all"})]
    )
    finding = grammar.phenomena(results_of({"a": tables | {"accuracy_by_phenomenon": both}})).finding
    assert "lowers accuracy on b: −0.200" in finding
    assert "no evidence that accuracy on c changes" in finding
    assert "1 of 2 phenomena" in finding
    tables["accuracy_by_phenomenon"] = phenomena_table(-0.2, -0.3, 0.1)
    assert "0 of 1 phenomena" in grammar.phenomena(results_of({"a": tables})).finding


def test_unmatched_controls_are_marked_by_phenomenon_and_in_the_tables_of_the_page():
    rows = dict.fromkeys(CONTROLLED, (-0.2, -0.3, -0.1))
    accuracy = flagged(
        conditions(delta_accuracy=rows).assign(benchmark="b", n_pairs=50, n_ties=0, phenomenon="binding", accuracy=0.5)
    ).assign(accuracy_lower=0.4, accuracy_upper=0.6, **bounded("delta_margin", -2.0, -3.0, -1.0))
    accuracy = pd.concat([accuracy, accuracy.assign(phenomenon="all")], ignore_index=True)
    tests = flagged(dissociation_table(False, 0.5, (MATCHED, UNMATCHED)), "against")
    tables = {
        "perplexity": flagged(perplexity(CONTROLLED)),
        "accuracy_by_phenomenon": accuracy,
        "dissociation": tests,
        "paired_tests": tests.assign(benchmark="b", phenomenon="all", n_lost=1, n_gained=1, delta_accuracy=0.1, p=0.5),
        "probes": accuracy.assign(probe="facts", n_items=9, chance=0.25),
    }
    panel = grammar.phenomena(results_of({"a": tables}))
    assert panel.note.endswith(CAVEAT)
    assert f"{UNMATCHED} (not matched)" in names_of(panel)
    neurons = pd.DataFrame({"layer": [0], "neuron": [1], "wasserstein_distance": [0.2], "selected": [True]})
    surprisal_of = {
        name: flagged(table, "against")
        for name, table in surprisal_tables((0.2, 0.1, 0.3), 0.01, UNMATCHED).items()
        if "against" in table
    }
    printed = {table.key: table for table in page_tables(results_of({"a": tables | surprisal_of}, neurons=neurons))}
    for key in ("perplexity", "phenomena", "dissociation", "paired-tests", "probes", "surprisal-contrasts"):
        texts = {cell.text.removeprefix("negative-zero of ") for row in printed[key].rows for cell in row}
        assert f"{UNMATCHED} (not matched)" in texts, key
        assert UNMATCHED not in texts, key


@pytest.mark.parametrize("is_layers", [True, False])
def test_curves_and_layer_groups_mark_unmatched_controls(is_layers):
    table = perplexity({TOP: (1.2, 1.1, 1.3), ("negative-zero", MATCHED): (1.2, 1.1, 1.3)})
    if is_layers:
        parts = [
            table.assign(first_layer=first, last_layer=first + 1, cohort=table["cohort"] + f", layers {first} to {first + 1}")
            for first in (0, 2)
        ]
    else:
        parts = [table.assign(checkpoint=step) for step in (5, 6)]
    parts[0].loc[parts[0]["rule"] == "perplexity-matched", "is_matched"] = 1
    parts[1].loc[parts[1]["rule"] == "perplexity-matched", "is_matched"] = 0
    results = results_of({"a": {"perplexity": pd.concat(parts, ignore_index=True)}})
    panel = layers_and_steps.layers(results) if is_layers else layers_and_steps.ablation_over_training(results)
    kind = "perplexity-matched" + ("" if is_layers else ", chosen at the same step")
    assert {kind, f"{kind} (not matched)"} <= names_of(panel)
    assert f"Not matched within tolerance: {MATCHED}{', layers 2 to 3' if is_layers else ''};" in panel.note


def test_the_sweep_marks_the_shares_that_are_not_matched():
    table = flagged(perplexity(CONTROLLED))
    many = [
        table.assign(fraction=share, cohort=table["cohort"].str.replace("1%", f"{100 * share:g}%"))
        for share in (0.01, 0.02, 0.05)
    ]
    panel = ablation.sweep(results_of({"a": {"perplexity": pd.concat(many, ignore_index=True)}}))
    assert {"perplexity-matched", "perplexity-matched, all layers (not matched)"} <= names_of(panel)
    assert "perplexity-matched, all layers (not matched) 1.100" in panel.finding
    assert (
        "Not matched within tolerance: perplexity-matched 1%, all layers, perplexity-matched 2%, all layers and" in panel.note
    )


@pytest.mark.parametrize(
    ("accuracy", "end"),
    [
        (0.8, "0.800 [0.750, 0.840]."),
        (0.52, "0.520 [0.470, 0.560] (at chance, nothing to lose)."),
        (0.3, "0.300 [0.250, 0.340] (below chance)."),
        (0.96, "0.960 [0.910, 1.000] (near its ceiling, little room to fall)."),
        (0.995, "0.995 [0.945, 1.035] (at its ceiling, almost no room to fall)."),
    ],
)
def test_accuracy_of_the_intact_model_is_beside_a_null(accuracy, end):
    tables = {"perplexity": perplexity({TOP: (1, 1, 1)}), "accuracy_by_phenomenon": phenomena_table(0, -0.1, 0.1, accuracy)}
    panel = grammar.phenomena(results_of({"a": tables}))
    outcome = "margin" if accuracy > 0.95 else "accuracy"
    assert f"no evidence that {outcome} on all paradigms changes" in panel.finding
    assert panel.finding.endswith(f"accuracy of the intact model: all paradigms {end}")
    headroom = end.partition("(")[2].rstrip(").")
    is_told = bool(headroom) and outcome == "accuracy"
    assert (f"Where the interval holds 0, the intact model is {headroom}: binding." in panel.note) == is_told
    assert panel.figure.axes[0].get_xlabel().partition(" (")[0] == f"change in {outcome}"
    tables["dissociation"] = dissociation_table(False, 0.5)
    assert grammar.dissociation(results_of({"a": tables})).finding.endswith(f"accuracy of the intact model: b {end}")


def test_an_effect_on_a_phenomenon_is_not_excused_by_its_ceiling():
    tables = {"perplexity": perplexity({TOP: (1, 1, 1)})}
    tables["accuracy_by_phenomenon"] = phenomena_table(-0.2, -0.3, -0.1, 0.96)
    assert "Where the interval holds 0" not in grammar.phenomena(results_of({"a": tables})).note


def test_tables_of_accuracy_have_the_intact_model_beside_each_row():
    tables = {"perplexity": perplexity({TOP: (1, 1, 1)}), "accuracy_by_phenomenon": phenomena_table(0, -0.1, 0.1, 0.96)}
    probes = tables["accuracy_by_phenomenon"].query("phenomenon == 'all'").drop(columns=["phenomenon", "benchmark"])
    tables["probes"] = probes.assign(probe="facts", chance=0.25, n_items=9)
    tests = tables["accuracy_by_phenomenon"].assign(against="intact", n_lost=0, n_gained=0, p=1.0, p_adjusted=1.0)
    tables["paired_tests"] = tests.drop(columns=["accuracy", "accuracy_lower", "accuracy_upper"])
    run = Run("a", tables, {"model": "m"}, {})
    printed = {table.key: table for table in page_tables(neurons_beside(run))}
    for key, n_rows in (("phenomena", 4), ("probes", 2), ("paired-tests", 2)):
        table = printed[key]
        assert len(table.rows) == n_rows
        if n_rows > 2:
            assert "intact 0.960 [0.910, 1.000]; room to fall near its ceiling, little room to fall" in table.constants
            assert not {"intact", "room to fall"} & set(table.head)
            continue
        columns = [table.head.index(name) for name in ("intact", "room to fall")]
        cells = [[row[column].text for column in columns] for row in table.rows]
        assert cells == [["0.960 [0.910, 1.000]", "near its ceiling, little room to fall"]] * n_rows, key


def neurons_beside(run):
    """Results with that ablation, and the table of neurons that each page begins with."""
    neurons = pd.DataFrame({"layer": [0], "neuron": [1], "wasserstein_distance": [0.2], "selected": [True]})
    return Results(Study("s", ("m",)), {"m": Run("m", {"neurons": neurons}, {"model": "m"}, {})}, {run.name: run}, None)


def overlap(n_documents_seen, n_tokens_seen):
    return pd.DataFrame(
        [{"n_documents": 9, "n_documents_seen": n_documents_seen, "n_tokens": 1000, "n_tokens_seen": n_tokens_seen}]
    )


@pytest.mark.parametrize(
    ("tables", "text", "limit"),
    [
        ({"text_overlap": overlap(0, 0)}, "1,000 tokens of text that the extraction did not see.", None),
        (
            {"text_overlap": overlap(4, 350)},
            "1,000 tokens of text; 4 of 9 documents were seen by the extraction (350 tokens).",
            "In “a” neurons were chosen on some of the text that perplexity is measured on: 1,000 tokens of text; 4 of 9",
        ),
        (
            {},
            "1,000 tokens of text that was not compared with the extraction's.",
            "In “a” the text of perplexity was not compared",
        ),
    ],
)
def test_captions_say_whether_the_extraction_saw_the_text(tables, text, limit):
    results = results_of({"a": {"perplexity": perplexity({TOP: (1.2, 1.1, 1.3)}), **tables}})
    assert ablation.perplexity(results).note.startswith(text)
    printed = {table.key: table for table in page_tables(neurons_beside(results.ablations["a"]))}
    assert printed["perplexity"].caption == f"Perplexity, intact and under each intervention: {text}"
    on_text = [each for each in limits(results, []) if "text of perplexity was" in each or "chosen on some of the text" in each]
    assert [each.startswith(limit) for each in on_text] == ([True] if limit else [])


def signs_table(top, rest):
    """Pair signs in one layer; `top` and `rest` are the excess of negative–negative pairs with its bounds."""
    basis = {"n_neurons": 5, "n_clusters": 12, "cluster": "document"}
    rows = []
    for cohort, excess in (("top", top), ("rest", rest)):
        for pool, values in (("similar", (None, None, None)), ("matched", excess)):
            estimates = bounded("pair_frac", 0.3, 0.2, 0.4) | bounded("excess", *values)
            row = {"layer": 0, "cohort": cohort, "pool": pool, **estimates, **basis}
            rows += [{**row, "signs": signs} for signs in ("NN", "PN", "PP")]
    return pd.DataFrame(rows)


def test_an_excess_of_negative_pairs_is_special_only_beyond_the_rest():
    special = results_of(pair_signs=signs_table((0.5, 0.4, 0.6), (0.1, 0.05, 0.15)))
    assert "in 1 more so for Wasserstein neurons than for the rest" in pairs.pair_signs(special).finding
    less = results_of(pair_signs=signs_table((0.1, 0.05, 0.15), (0.5, 0.4, 0.6)))
    assert pairs.pair_signs(less).finding.endswith("in 1 less so for Wasserstein neurons than for the rest.")
    common = results_of(pair_signs=signs_table((0.5, 0.4, 0.6), (0.5, 0.45, 0.55)))
    assert "no evidence that it is special to them" in pairs.pair_signs(common).finding
    alone = results_of(pair_signs=signs_table((0.5, float("nan"), float("nan")), (0.5, float("nan"), float("nan"))))
    assert pairs.pair_signs(alone).finding.startswith("Without intervals there is no telling whether similar pairs")
    text = "Intervals: 95% each, not adjusted for their number, Student's t over 12 documents and 5 neurons. Few: 5 neurons."
    assert pairs.pair_signs(common).note.endswith(text)


def test_smooth_and_relu_compare_models():
    smooth, relu = (
        Run(name, {"pair_signs": signs_table((excess, excess - 0.1, excess + 0.1), (0, -0.1, 0.1))}, about, {})
        for name, about, excess in (
            ("a", {"model": "a", "nonlinearity": "gelu"}, 0.5),
            ("b", {"model": "b", "nonlinearity": "relu"}, 0.1),
        )
    )
    results = Results(Study("s", ("a", "b")), {"a": smooth, "b": relu}, {}, None)
    assert pairs.smooth_and_relu(results).finding.endswith("under the ReLU its largest value is smaller.")
    results = Results(Study("s", ("a", "b")), {"a": smooth, "b": Run("b", smooth.tables, relu.attributes, {})}, {}, None)
    assert "the contrast that the paper reports is not seen here" in pairs.smooth_and_relu(results).finding
    assert pairs.smooth_and_relu(results_of(pair_signs=smooth.tables["pair_signs"])) is None


def surprisal_tables(scaffolding, p, against="random 1%"):
    fit = {
        "checkpoint": 5,
        "intervention": "negative-zero",
        "n_rows": 9,
        "slopes": "none",
        "flags": "",
        "residual_excess_kurtosis": 9.0,
        "n_disagreeing": 1,
        "n_effects": 4,
    }
    fits = pd.DataFrame([{**fit, "by": by} for by in ("upos", "word_class")])
    estimate, lower, upper = scaffolding
    row = {
        "checkpoint": 5,
        "intervention": "negative-zero",
        "condition": "negative-zero of top 1%",
        "against": f"negative-zero of {against}",
        "is_matched": -1,
        "n_draws": 5,
        "n_clusters": 12,
        "cluster": "document",
    }
    bounds = {"estimate": estimate, "robust_lower": lower, "robust_upper": upper, "robust_p_adjusted": p}
    contrasts = pd.DataFrame([{**row, **bounds, "by": "word_class", "level": level} for level in ("scaffolding", "content")])
    row = {key: value for key, value in row.items() if key != "against"} | {"rule": "top"}
    means = pd.DataFrame([{**row, **bounds, "by": "upos", "level": level} for level in ("DET", "NOUN")])
    return {
        "perplexity": perplexity({TOP: (1, 1, 1)}),
        "surprisal_fits": fits,
        "surprisal_contrasts": contrasts,
        "surprisal_means": means,
    }


def test_scaffolding_words_suffer_only_where_the_corrected_test_says_so():
    results = results_of({"a": surprisal_tables((0.2, 0.1, 0.3), 0.01)})
    assert surprisal.surprisal_contrasts(results).finding.startswith(
        "Scaffolding words suffer more than under 1 of 1 controls; "
        "against random 1%: scaffolding +0.200 [+0.100, +0.300] (p = 0.010)"
    )
    insignificant = results_of({"a": surprisal_tables((0.2, 0.1, 0.3), 0.2)})
    finding = surprisal.surprisal_contrasts(insignificant).finding
    assert finding.startswith("There is no evidence that scaffolding words suffer more")
    finding = surprisal.surprisal_upos(results).finding
    assert finding.startswith("Under the top cohort 2 of 2 parts of speech have an interval without 0; largest DET +0.200")


def test_surprisal_says_what_its_intervals_rest_on():
    text = (
        "Intervals: 95% each, not adjusted for their number, cluster-robust over 12 documents and over word types and, where neurons were drawn at random, "
        "over 5 draws. Few: 12 documents."
    )
    results = results_of({"a": surprisal_tables((0.2, 0.1, 0.3), 0.01)})
    assert text in surprisal.surprisal_contrasts(results).note
    assert text in surprisal.surprisal_upos(results).note


def test_scaffolding_is_not_said_to_suffer_on_an_unmatched_control():
    tables = surprisal_tables((0.2, 0.1, 0.3), 0.01, UNMATCHED)
    unmatched = flagged(tables["surprisal_contrasts"], "against")
    panel = surprisal.surprisal_contrasts(results_of({"a": tables | {"surprisal_contrasts": unmatched}}))
    differences = "scaffolding +0.200 [+0.100, +0.300] (p = 0.010) and content +0.200 [+0.100, +0.300] (p = 0.010)"
    assert panel.finding == (
        "No control is matched, so nothing is said of scaffolding words; not counted, as perplexity is not matched: against "
        f"{UNMATCHED} (not matched): {differences}."
    )
    assert panel.note.endswith(CAVEAT)
    assert f"{UNMATCHED} (not matched)" in names_of(panel)
    matched = flagged(surprisal_tables((0.2, -0.1, 0.3), 0.4, MATCHED)["surprisal_contrasts"], "against")
    both = tables | {"surprisal_contrasts": pd.concat([matched, unmatched], ignore_index=True)}
    finding = surprisal.surprisal_contrasts(results_of({"a": both})).finding
    assert finding.startswith(
        f"There is no evidence that scaffolding words suffer more than under any control; against {MATCHED}: scaffolding"
    )
    assert finding.endswith(f"not counted, as perplexity is not matched: against {UNMATCHED} (not matched): {differences}.")


def test_means_and_curves_of_surprisal_mark_unmatched_controls():
    tables = surprisal_tables((0.2, 0.1, 0.3), 0.01)
    means = tables["surprisal_means"]
    means = pd.concat(
        [
            means,
            *(means.assign(condition=f"negative-zero of {name}", rule="perplexity-matched") for name in (MATCHED, UNMATCHED)),
        ]
    )
    means = flagged(means, "condition")
    steps = pd.concat([means.assign(checkpoint=step, level="scaffolding") for step in (5, 6)], ignore_index=True)
    steps = pd.concat([steps, steps.assign(level="content")], ignore_index=True)
    results = results_of(
        {
            "a": tables
            | {
                "surprisal_means": means,
                "surprisal_over_checkpoint": steps.drop_duplicates(["condition", "level", "checkpoint"]),
            }
        }
    )
    for panel, axes in ((surprisal.surprisal_upos(results), 0), (surprisal.surprisal_over_training(results), 1)):
        assert panel.note.endswith(CAVEAT)
        assert {"top 1%", MATCHED, f"{UNMATCHED} (not matched)"} <= names_of(panel, axes)


def neuron_tables():
    """The tables that are there for every study: neurons, their ranks, one histogram, means by layer."""
    neurons = pd.DataFrame(
        {
            "layer": [0, 1],
            "neuron": [0, 1],
            "wasserstein_distance": [0.1, 0.2],
            "selected": [False, True],
            "mapping_difficulty": [1.0, 2],
            "skewness": [0.0, 1],
            "excess_kurtosis": [0.0, 1],
            "negative_wasserstein_frac": [0.5, 0.6],
            "negative_frac": [0.5, 0.5],
        }
    )
    of_layer = {"checkpoint": 5, "layer": 0, "n_clusters": 512, "cluster": "neuron"}
    correlation = bounded("rank_correlation", 0.5, 0.4, 0.6)
    ranks = [{**of_layer, **correlation, "statistic": statistic} for statistic in ("mapping_difficulty", "abs_skewness")]
    explained = [{**of_layer, **bounded("r2", 0.5, 0.4, 0.6)}]
    trajectory = [
        {"layer": layer, **bounded("mean", *estimate), "n_clusters": n}
        for layer, estimate, n in ((0, (0.1, 0, 1), 502), (1, (0.4, 0, 1), 502), (-1, (0.2, 0.15, 0.25), 1004))
    ]
    histogram = pd.DataFrame(
        {
            "left": [-1.0, 0],
            "right": [0.0, 1],
            "density": [0.5, 0.5],
            "zero": 0.0,
            "layer": 1,
            "neuron": 1,
            "checkpoint": 5,
            "n_tokens": 9,
        }
    )
    return {
        "neurons": neurons,
        "rank_correlations": pd.DataFrame(ranks),
        "explained_by_shape": pd.DataFrame(explained),
        "histogram": histogram,
        "trajectory": pd.DataFrame(trajectory).assign(checkpoint=5, cohort="rest", cluster="neuron"),
    }


def test_panels_without_their_tables_are_left_out_and_named():
    results = results_of({"a": {"perplexity": perplexity({TOP: (1, 1, 1)})}})
    for panel in (
        training.distance_over_training,
        training.weights_over_training,
        training.grammar_over_training,
        layers_and_steps.layers,
        layers_and_steps.ablation_over_training,
        surprisal.surprisal_over_training,
        pairs.separated_pairs,
    ):
        assert panel(results) is None
    selection = type("S", (), {"checkpoint": 5, "fraction": 0.5, "scope": "layer"})()
    whole = results_of(**neuron_tables())
    sections, missing = drawn_sections(Results(whole.study, whole.models, {}, selection))
    panels = sections[0].panels
    assert [section.title for section in sections] == ["Neurons far from Gaussian"]
    assert list(panels) == ["wasserstein-distance", "one-neuron", "mapping-difficulty", "shape"]
    assert "layer groups (needs an ablation with layer_groups)" in missing
    assert "The mean of the others is 0.200 [0.150, 0.250] SD" in panels["wasserstein-distance"].finding
    assert "no layer's interval holds 0" in panels["mapping-difficulty"].finding


def trajectories():
    """A cohort whose layers differ, with the interval of all layers together, and the accuracy beside it."""
    means = {0: (0.1, 0.3, 0.2), 4: (0.2, 0.4, 0.3), 8: (0.3, 0.7, 0.5)}
    rows = [
        {"checkpoint": step, "chosen_at": chosen_at, "layer": layer, "cohort": cohort}
        | bounded("mean", mean + shift, mean + shift - half, mean + shift + half)
        for step in means
        for chosen_at, shift in ((4, 0), (8, 0.1))
        for layer, mean, half in zip((0, 1, -1), means[step], (0.2, 0.2, 0.05), strict=True)
        for cohort in ("top", "rest")
    ]
    emerged = [
        {"chosen_at": step, "layer": layer, "step_from": 4, "step_to": 8, "slope": 0.1} for step in (4, 8) for layer in (0, -1)
    ]
    of_intact = {"intervention": "none", "rule": "none", "phenomenon": "all", "benchmark": "pairs"}
    accuracy = [
        {"checkpoint": step, **of_intact, **bounded("accuracy", value, value - 0.01, value + 0.01)}
        for step, value in ((8, 0.9), (0, 0.5))
    ]
    over_pairs = {"n_clusters": 100, "cluster": "minimal-pair cluster"}
    return (
        pd.DataFrame(rows).assign(n_clusters=10, cluster="neuron"),
        pd.DataFrame(emerged),
        pd.DataFrame(accuracy).assign(**over_pairs),
    )


def test_a_mean_over_layers_is_drawn_with_its_own_interval():
    cohorts, emerged, accuracy = trajectories()
    results = results_of({"a": {"accuracy_by_phenomenon": accuracy}}, cohorts=cohorts, emergence=emerged)
    panel = training.grammar_over_training(results)
    assert panel.finding == (
        "The cohort's mean distance goes from 0.300 [0.250, 0.350] to 0.600 [0.550, 0.650] SD, rising most steeply, per "
        "doubling of the step, from step 4 to 8; accuracy on pairs goes from 0.500 [0.490, 0.510] to 0.900 [0.890, 0.910]."
    )
    band = panel.figure.axes[0].collections[0].get_paths()[0].vertices
    assert set(band[:, 1].round(3)) == {0.25, 0.35, 0.45, 0.55, 0.65}
    falling = results_of({"a": {"accuracy_by_phenomenon": accuracy}}, cohorts=cohorts, emergence=emerged.assign(slope=-0.1))
    assert "steeply" not in training.grammar_over_training(falling).finding
    assert (
        "Bands and intervals: 95% each, not adjusted for their number, Student's t over 10 neurons and 100 minimal-pair clusters. Few: 10 neurons."
        in panel.note
    )
    finding = training.distance_over_training(results).finding
    assert "chosen at the end goes from 0.300 [0.250, 0.350] to 0.600 [0.550, 0.650] SD" in finding
    assert "frozen at step 4 from 0.200 [0.150, 0.250] to 0.500 [0.450, 0.550] SD" in finding
