"""Panels of grammar under ablation: minimal pairs by phenomenon, and the double dissociation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.rows import comparable, first_top, largest_categories_first, rules_of, tops, unmoved
from reports.basis import basis, no_width
from reports.figures.intervals import interval_plot
from reports.headroom import headroom, intact_accuracy, intact_readouts, with_intact
from reports.matching import caveat, is_evidence, marked
from reports.outcomes import ACCURACY, Outcome, outcomes_of
from reports.panel import Panel, cohort_colors, drawn, plot_height
from reports.registry import panel
from reports.results import Results
from reports.sentences import counted, effect, excluding, interval, largest_first, listed, number, p_value, sentence, sentences
from reports.style import COLORS, only_left_labels, shared_legend

_SECTION = "What an ablation costs"


@panel(_SECTION, needs="minimal pairs by phenomenon (needs minimal pairs)")
def phenomena(results: Results) -> Panel | None:
    """Minimal pairs by phenomenon."""
    run = results.main_ablation
    if run is None or not run.has("accuracy_by_phenomenon"):
        return None
    outcomes = outcomes_of(run)
    first = outcomes[0]
    table = _by_phenomenon(run.tables["accuracy_by_phenomenon"])
    unmatched = caveat(table)
    table = marked(table)
    top = first_top(table)
    whole, parts = top[top["is_whole"]], top[~top["is_whole"]]
    changed = excluding(parts, first.change, 0)
    still = unmoved(table[~table["is_whole"]], "phenomenon", first.change)
    return Panel(
        title="Minimal pairs by phenomenon",
        figure=_phenomena_figure(_ordered(table, still, first), outcomes),
        alt="Dots with intervals: change of minimal pairs’ margin and accuracy against the intact model, by phenomenon and cohort.",
        finding=sentence(_effects(whole, first) + _changed_phenomena(changed, len(parts), first) + _intact_on(whole)),
        note=(
            f"{int(whole['n_pairs'].sum()):,} pairs, macro-averaged over paradigms, by total log-probability; "
            f"{int(whole['n_ties'].sum())} ties. Margin: log-probability of the good sentence less that of the bad one; it comes "
            f"first where the intact model is right so often that accuracy cannot show an effect. {basis(table)} p-values are in "
            f"paired_tests.csv, adjusted by Holm. {_left_out(still)}{_without_headroom(parts.drop(changed.index), first)}"
            f"{no_width(table[~table['phenomenon'].isin(still)], 'delta_accuracy')}{unmatched}"
        ),
        source=f"ablations/{run.name}/analysis/accuracy_by_phenomenon.csv",
        is_headline=True,
        brief=sentences(
            [
                *_effects(whole, first).split("; "),
                f"{len(changed)} of {len(parts)} phenomena have an interval without 0",
                *(f"accuracy of the intact model on {words}" for words in _intact_accuracies(whole)),
            ]
        ),
    )


def _ordered(table: pd.DataFrame, still: list[str], outcome: Outcome) -> pd.DataFrame:
    """Whole benchmarks, then the phenomena that change most under the top cohort; without those of which nothing changes."""
    moving = table[table["is_whole"] | ~table["phenomenon"].isin(still)]
    ordered = largest_categories_first(moving, first_top(moving), "phenomenon", outcome.change)
    return ordered.sort_values("is_whole", ascending=False, kind="stable")


def _left_out(still: list[str]) -> str:
    """Which phenomena the figure leaves out."""
    return f"Left out, as nothing changes under any condition: {listed(still)}." if still else "No phenomenon is left out."


def _by_phenomenon(accuracy: pd.DataFrame) -> pd.DataFrame:
    """The main comparison by phenomenon, with the intact model; `is_whole` marks rows over all paradigms of a benchmark."""
    table = with_intact(comparable(accuracy), accuracy, ("checkpoint", "benchmark", "phenomenon"))
    table = table[table["phenomenon"] != "all pairs"]
    table = table.assign(is_whole=table["phenomenon"] == "all")
    if table["benchmark"].nunique() > 1:
        table = table.assign(phenomenon=table["benchmark"] + ": " + table["phenomenon"])
    return table


def _phenomena_figure(table: pd.DataFrame, outcomes: Sequence[Outcome]) -> Figure:
    """The two outcomes side by side, the one that can show an effect first."""
    colors = cohort_colors(rules_of(table))

    def draw(axes: Any) -> None:
        for ax, outcome in zip(axes, outcomes, strict=True):
            interval_plot(table, "phenomenon", "cohort", outcome.change, ax, colors=colors, label=outcome.label(), reference=0)
        shared_legend(axes)
        only_left_labels(axes)

    return drawn(draw, (9.5, plot_height(table["phenomenon"].nunique(), table["cohort"].nunique())), ncols=2)


def _effects(whole: pd.DataFrame, outcome: Outcome) -> str:
    """Whether the outcome on each whole benchmark changes."""
    return "; ".join(
        effect(row, outcome.change, 0, f"{outcome.name} on {_benchmark(row)}", f"{row['intervention']} of {row['cohort']}")
        for _, row in whole.iterrows()
    )


def _changed_phenomena(changed: pd.DataFrame, n_phenomena: int, outcome: Outcome) -> str:
    """How many phenomena change, and the three that change most."""
    text = f"; {len(changed)} of {n_phenomena} phenomena have an interval without 0"
    largest = [
        f"{row['phenomenon']} {interval(row, outcome.change)}"
        for _, row in largest_first(changed, outcome.change).head(3).iterrows()
    ]
    return text + (f", largest {listed(largest)}" if largest else "")


def _intact_on(whole: pd.DataFrame) -> str:
    return beside(_intact_accuracies(whole))


def _intact_accuracies(whole: pd.DataFrame) -> list[str]:
    return [f"{_benchmark(row)} {intact_accuracy(row)}" for _, row in whole.iterrows()]


def _without_headroom(rows: pd.DataFrame, outcome: Outcome) -> str:
    """Of the phenomena whose interval of accuracy holds 0: those on which the intact model could not fall far."""
    if outcome is not ACCURACY:
        return ""
    phenomena: dict[str, list[str]] = {}
    for _, row in rows.iterrows():
        if words := headroom(row):
            phenomena.setdefault(words, []).append(str(row["phenomenon"]))
    clauses = [f"{words}: {listed(names)}" for words, names in phenomena.items()]
    return f" Where the interval holds 0, the intact model is {'; '.join(clauses)}." if clauses else ""


def _benchmark(row: pd.Series) -> str:
    """The name of a whole benchmark."""
    return "all paradigms" if row["phenomenon"] == "all" else str(row["phenomenon"]).removesuffix(": all")


def beside(accuracies: list[str]) -> str:
    """Accuracies of the intact model, as the end of a finding."""
    return f"; accuracy of the intact model: {listed(accuracies)}" if accuracies else ""


@panel(_SECTION, needs="the double dissociation (needs minimal pairs and probes or tasks)")
def dissociation(results: Results) -> Panel | None:
    """Cost of grammar and of the rest, and whether they differ."""
    run = results.main_ablation
    if run is None or not run.has("dissociation"):
        return None
    every = comparable(run.tables["dissociation"])
    outcome = next(outcome for outcome in outcomes_of(run) if outcome.name in set(every["outcome"]))
    table = every[every["outcome"] == outcome.name]
    unmatched = caveat(table)
    table = marked(table)
    comparisons = tops(table)
    first = comparisons.iloc[0]
    return Panel(
        title="The double dissociation, tested",
        figure=_dissociation_figure(table[table["against"] == "intact"], comparisons, outcome),
        alt=(
            f"Left: fall in {outcome.name} on minimal pairs and on other tasks by cohort. Right: the interaction of the top cohort "
            "against each control."
        ),
        finding=sentence(_verdict(comparisons) + beside(intact_readouts(run, int(first["checkpoint"])))),
        note=(
            f"{_of_outcome(outcome)} {int(first['n_pairs']):,} pairs and {int(first['n_others']):,} other items. {basis(table)} Tests by the same, "
            "Holm "
            "over all comparisons. A bound of equivalence says how large an effect the data leave possible." + unmatched
        ),
        source=f"ablations/{run.name}/analysis/dissociation.csv",
        is_headline=True,
        brief=_brief_verdict(comparisons),
    )


def _of_outcome(outcome: Outcome) -> str:
    """What a cost is, in the note of the dissociation."""
    if outcome is ACCURACY:
        return "Costs are falls in accuracy; those in margins are in the table."
    return (
        "Costs are falls in margins, in nats: the log-probability of the right answer less that of the best wrong one, of pairs "
        "and of other items alike. Accuracy is at its ceiling; its costs are in the table."
    )


def _dissociation_figure(costs: pd.DataFrame, comparisons: pd.DataFrame, outcome: Outcome) -> Figure:
    """Left: both costs of every cohort. Right: the interactions of the top cohorts."""
    cost_colors = {"minimal pairs": COLORS["top"], "other tasks": COLORS["random"]}
    top_colors = cohort_colors(dict.fromkeys(comparisons["cohort"], "none"))
    long = pd.concat([_costs_of(costs, "grammar", "minimal pairs"), _costs_of(costs, "other", "other tasks")])
    cost_label = f"cost: fall in {outcome.label().removeprefix('change in ')}"
    label = "interaction: cost of grammar less cost of the rest,\ntop against…"

    def draw(axes: Any) -> None:
        left, right = axes
        interval_plot(long, "cohort", "tasks", "cost", left, colors=cost_colors, label=cost_label, reference=0)
        interval_plot(comparisons, "against", "cohort", "interaction", right, colors=top_colors, label=label, reference=0)

    height = plot_height(max(costs["cohort"].nunique(), len(comparisons)), 2) + 0.3
    return drawn(draw, (9.5, height), ncols=2)


def _costs_of(costs: pd.DataFrame, name: str, tasks: str) -> pd.DataFrame:
    """Columns `cost` and its bounds from those of one kind of tasks."""
    columns = {f"cost{bound}": costs[f"{name}_cost{bound}"] for bound in ("", "_lower", "_upper")}
    return costs.assign(tasks=tasks, **columns)


def _verdict(comparisons: pd.DataFrame) -> str:
    """Whether the top cohorts show a double dissociation. Controls that are not matched are named and not counted."""
    if comparisons["cohort"].nunique() > 1:
        names = comparisons["against"] + " (for " + comparisons["cohort"] + ")"
        comparisons = comparisons.assign(against=names)
    mask = is_evidence(comparisons)
    evidence, rest = comparisons[mask], comparisons[~mask]
    double = evidence[evidence["is_double"].astype(bool)]
    verdict = (
        f"a double dissociation against {listed(list(double['against']))}"
        if len(double)
        else "there is no evidence of a double dissociation"
    )
    controls = evidence[~evidence["against"].str.startswith("intact")]
    text = f"{verdict}: interaction against {listed(_interactions(controls if len(controls) else evidence))}"
    if len(rest):
        text += f"; not counted, as perplexity is not matched: against {listed(_interactions(rest))}"
    return text


def _brief_verdict(comparisons: pd.DataFrame) -> str:
    """Against how many controls there is a double dissociation, and how many do not count."""
    controls = comparisons[comparisons["against"] != "intact"]
    evidence = controls[is_evidence(controls)]
    n_double, n_unmatched = int(evidence["is_double"].astype(bool).sum()), len(controls) - len(evidence)
    verdict = f"a double dissociation against {n_double} of {counted(len(evidence), 'control')}"
    if n_double == 0:
        verdict = f"there is no evidence of a double dissociation against any of {counted(len(evidence), 'control')}"
    unmatched = f"not counted, as perplexity is not matched: {counted(n_unmatched, 'control')}" if n_unmatched else ""
    return sentences([verdict, unmatched])


def _interactions(comparisons: pd.DataFrame) -> list[str]:
    return [
        f"{row['against']} {interval(row, 'interaction')}, {p_value(row['p_adjusted'])}"
        + (f" (no effect beyond {number(row['equivalence_bound'])})" if row["is_equivalent"] else "")
        for _, row in comparisons.iterrows()
    ]
