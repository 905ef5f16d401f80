"""Panels of ablations by perplexity: share of neurons, controls, sign and magnitude, mirror, ReLU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.rows import (
    ablated,
    at_first_fraction,
    comparable,
    controls_of,
    first_top,
    in_words,
    is_on_all_layers,
    kind_of_cohort,
    main_intervention,
    of_main_intervention,
    over_all_paradigms,
    rules_of,
    tops,
)
from reports.basis import basis, no_width
from reports.figures.curves import lines
from reports.figures.intervals import interval_plot
from reports.headroom import intact_readouts, text_of
from reports.matching import caveat, marked
from reports.outcomes import Measure, measures_of
from reports.panel import Panel, cohort_colors, drawn, plot_height
from reports.registry import panel
from reports.results import Results, Run
from reports.sentences import (
    are_disjoint,
    counted,
    effect,
    excluding,
    has_intervals,
    interval,
    listed,
    number,
    p_value,
    sentence,
    sentences,
)
from reports.style import only_left_labels, shared_legend

_COSTS, _CONTROLS = "What an ablation costs", "Controls of the intervention itself"
_RATIO = "perplexity, ratio to the intact model"


@panel(_COSTS, needs="perplexity against the share of neurons (needs an ablation with several fractions)")
def sweep(results: Results) -> Panel | None:
    """Perplexity against the share of neurons."""
    run = results.ablation(lambda run: tops(_on_all_layers(run))["fraction"].nunique() > 2)
    if run is None:
        return None
    table = of_main_intervention(_on_all_layers(run))
    unmatched = caveat(table)
    table = marked(table.assign(kind=[kind_of_cohort(row) for _, row in table.iterrows()]), "kind")
    largest = table["fraction"].max()
    ratios = [f"{row['kind']} {interval(row, 'perplexity_ratio')}" for _, row in table[table["fraction"] == largest].iterrows()]
    return Panel(
        title="Perplexity against the share of neurons",
        figure=drawn(lambda ax: _draw_sweep(table, ax), (7.5, 4.0)),
        alt=(
            "Lines with bands: perplexity relative to the intact model by share of ablated neurons, for each way of choosing "
            "them."
        ),
        finding=sentence(f"at {100 * largest:g}% of each layer the ratio is {listed(ratios)}"),
        note=f"{main_intervention(table)}; {text_of(run)}. {basis(table, label='Bands')}{unmatched}",
        source=_source(run),
    )


def _draw_sweep(table: pd.DataFrame, ax: Any) -> None:
    colors = cohort_colors(rules_of(table, "kind"))
    bounds = ("perplexity_ratio_lower", "perplexity_ratio_upper")
    lines(table, "fraction", "perplexity_ratio", "kind", ax, colors=colors, reference=1, bounds=bounds)
    ax.set_xscale("log")
    fractions = sorted(set(table["fraction"]))
    ax.set_xticks(fractions, [f"{100 * fraction:g}%" for fraction in fractions])
    ax.minorticks_off()
    ax.set(xlabel="share of each layer's neurons", ylabel=_RATIO)


@panel(_COSTS)
def perplexity(results: Results) -> Panel | None:
    """Perplexity of the cohorts of the main comparison."""
    run = results.main_ablation
    if run is None:
        return None
    table = comparable(run.tables["perplexity"])
    note = f"{text_of(run)}. {basis(table)}{no_width(table, 'perplexity_ratio', 1)}{caveat(table)}"
    table = marked(table)
    top = first_top(table).iloc[0]
    ratios = [f"{row['cohort']} {interval(row, 'perplexity_ratio', 4)}" for _, row in controls_of(table, top).iterrows()]
    controls = f"; its controls: {listed(ratios)}" if ratios else ""
    note += _against_controls(run)
    condition = f"{top['intervention']} of {top['cohort']}"
    return Panel(
        title="Perplexity: the Wasserstein neurons and their controls",
        figure=drawn(lambda ax: _draw_ratios(table, "cohort", ax), (7.5, plot_height(len(table), 1))),
        alt=("Dots with intervals: perplexity relative to the intact model, for the selected neurons and every control."),
        finding=sentence(effect(top, "perplexity_ratio", 1, "perplexity", condition, 4) + controls),
        note=note,
        source=_source(run),
        is_headline=True,
        brief=_brief_effect(top, controls_of(table, top)),
    )


def _against_controls(run: Run) -> str:
    """The top cohort less each of its controls, paired by document."""
    if not run.has("perplexity_contrasts"):
        return ""
    rows = comparable(run.tables["perplexity_contrasts"])
    ratios = [
        f"{row['against']} {interval(row, 'ratio', 4)} ({p_value(row['p_adjusted'])}; detectable {number(np.exp(row['detectable']), 4)})"
        for _, row in rows.iterrows()
    ]
    return (
        f" Perplexity of the top cohort over that of a control, paired by document (p by Holm; the smallest ratio that would be "
        f"found with 80% power): {listed(ratios)}."
    )


def _brief_effect(top: pd.Series, controls: pd.DataFrame) -> str:
    """The effect on the top cohort, and how many of its controls have one."""
    condition = f"{top['intervention']} of {in_words(top)}"
    n_changed = len(excluding(controls, "perplexity_ratio", 1))
    of_controls = f"intervals without 1: of {n_changed} of its {counted(len(controls), 'control')}"
    return sentences([effect(top, "perplexity_ratio", 1, "perplexity", condition, 4), of_controls if len(controls) else ""])


def _draw_ratios(table: pd.DataFrame, category: str, ax: Any) -> None:
    """Perplexity ratios in every category, a row of dots a cohort."""
    colors = cohort_colors(rules_of(table))
    interval_plot(table, category, "cohort", "perplexity_ratio", ax, colors=colors, label=_RATIO, reference=1)


@panel(_CONTROLS, needs="sign against magnitude (needs sign-flip or identity-on-positive)")
def sign_and_magnitude(results: Results) -> Panel | None:
    """What of the negative side matters: its sign, its differences, its mean, the curvature beside it."""
    interventions = ("negative-zero", "mean-ablate-negative", "sign-flip", "identity-on-positive")
    run = _run_with(results, {"sign-flip", "identity-on-positive", "mean-ablate-negative"})
    if run is None:
        return None
    explanation = (
        "negative-zero removes the negative side; mean-ablate-negative keeps its mean and removes its differences; sign-flip "
        "keeps its magnitude and turns its sign; identity-on-positive leaves it and removes the curvature of the positive "
        "side."
    )
    return _interventions(run, interventions, "Sign against magnitude", explanation)


@panel(_CONTROLS, needs="the mirror clamp (needs positive-zero)")
def mirror(results: Results) -> Panel | None:
    """The positive side clamped instead."""
    run = _run_with(results, {"positive-zero"})
    if run is None:
        return None
    explanation = "The same neurons with the negative side clamped to zero, the positive side, or both."
    interventions = ("negative-zero", "positive-zero", "both-zero")
    return _interventions(run, interventions, "The mirror clamp", explanation, is_headline=True)


def _run_with(results: Results, interventions: set[str]) -> Run | None:
    """The first ablation with any of these interventions beside negative-zero on a top cohort."""

    def has_both(run: Run) -> bool:
        names = set(tops(_on_all_layers(run))["intervention"])
        return "negative-zero" in names and bool(interventions & names)

    return results.ablation(has_both)


def _interventions(run: Run, interventions: Sequence[str], title: str, explanation: str, *, is_headline: bool = False) -> Panel:
    """Several interventions on the same neurons, by perplexity and, where they were measured, minimal pairs."""
    ratios = _ratios_under(run, interventions)
    measures = measures_of(run)[1:]
    tables = {measure: _pairs_beside(run, measure, ratios, interventions) for measure in measures}
    note = f"{explanation} {basis(ratios, *tables.values())}{no_width(ratios, 'perplexity_ratio', 1)}"
    note += "".join(no_width(table, measure.value) for measure, table in tables.items())
    if measures:
        note += f" Accuracy of the intact model: {listed(intact_readouts(run, ratios['checkpoint'].iloc[0]))}."
    drawn_measures = listed(["perplexity ratio", *(measure.label for measure in measures)])
    return Panel(
        title=title,
        figure=_intervention_figure(ratios, tables),
        alt=f"Dots with intervals: {drawn_measures} under each intervention on the selected neurons.",
        finding=sentence(_intervention_ratios(tops(ratios))),
        note=note,
        source=_source(run) + (f" and ablations/{run.name}/analysis/accuracy_by_phenomenon.csv" if measures else ""),
        is_headline=is_headline,
        brief=sentences([f"perplexity ratio under {words}" for words in _ratios_in_words(tops(ratios))]),
    )


def _ratios_under(run: Run, interventions: Sequence[str]) -> pd.DataFrame:
    """Perplexity of top and random cohorts on all layers, at the first fraction, in the order of the interventions."""
    table = run.last("perplexity")
    rows = table[table["intervention"].isin(interventions) & table["rule"].isin(["top", "random"]) & is_on_all_layers(table)]
    return _in_order(at_first_fraction(rows), interventions)


def _pairs_beside(run: Run, measure: Measure, ratios: pd.DataFrame, interventions: Sequence[str]) -> pd.DataFrame:
    """Minimal pairs over all paradigms in the conditions of these ratios."""
    keys = ["intervention", "cohort"]
    table = over_all_paradigms(measure.rows_of(run.last(measure.table))).merge(ratios[keys], on=keys)
    return _in_order(table, interventions)


def _in_order(table: pd.DataFrame, interventions: Sequence[str]) -> pd.DataFrame:
    return table.sort_values("intervention", key=lambda names: names.map(interventions.index), kind="stable")


def _intervention_figure(ratios: pd.DataFrame, tables: dict[Measure, pd.DataFrame]) -> Figure:
    def draw(axes: Any) -> None:
        _draw_ratios(ratios, "intervention", axes[0, 0])
        colors = cohort_colors(rules_of(ratios))
        for ax, (measure, table) in zip(axes[0, 1:], tables.items(), strict=True):
            interval_plot(
                table,
                "intervention",
                "cohort",
                measure.value,
                ax,
                colors=colors,
                label=measure.label,
                reference=measure.reference,
            )
        shared_legend(axes.ravel())
        only_left_labels(axes.ravel())

    height = plot_height(ratios["intervention"].nunique(), ratios["cohort"].nunique()) + 0.4
    return drawn(draw, (9.0, height), ncols=1 + len(tables), squeeze=False)


def _intervention_ratios(rows: pd.DataFrame) -> str:
    """The perplexity ratio of the top cohort under every intervention, and which are apart from that of negative-zero."""
    ratios = _ratios_in_words(rows)
    is_base = rows["intervention"] == "negative-zero"
    base = rows[is_base].iloc[0]
    disjoint = [row["intervention"] for _, row in rows[~is_base].iterrows() if are_disjoint(row, base, "perplexity_ratio")]
    if disjoint:
        verdict = f"apart from negative-zero by their intervals: {listed(disjoint)}"
    elif has_intervals(rows, "perplexity_ratio"):
        verdict = "no interval is apart from that of negative-zero"
    else:
        verdict = "without intervals there is no telling them apart"
    return f"perplexity ratios of the top cohort: {listed(ratios)}; {verdict}"


def _ratios_in_words(rows: pd.DataFrame) -> list[str]:
    return [f"{row['intervention']} {interval(row, 'perplexity_ratio', 4)}" for _, row in rows.iterrows()]


@panel(_CONTROLS, needs="the ReLU null control (needs an ablation of a ReLU model)")
def relu(results: Results) -> Panel | None:
    """negative-zero of a ReLU model, which must change nothing."""
    run = next((run for run in results.ablations.values() if run.attributes.get("nonlinearity") == "relu"), None)
    if run is None:
        return None
    table = ablated(run.last("perplexity"))
    note = f"{text_of(run)}. {basis(table)}{no_width(table, 'perplexity_ratio', 1)}{caveat(table)}"
    table = marked(table)
    height = plot_height(table["intervention"].nunique(), table["cohort"].nunique()) + 0.3
    return Panel(
        title=f"The null control: {results.model_name(run)}, a ReLU model",
        figure=drawn(lambda ax: _draw_ratios(table, "intervention", ax), (7.5, height)),
        alt="Dots with intervals: perplexity ratio of a ReLU model under each intervention.",
        finding=sentence(_null_verdict(table)),
        note=note,
        source=_source(run),
    )


def _null_verdict(table: pd.DataFrame) -> str:
    """Whether negative-zero changes exactly nothing; the ratios under other interventions for comparison."""
    is_null = table["intervention"] == "negative-zero"
    estimates = table.loc[is_null, ["perplexity_ratio", "perplexity_ratio_lower", "perplexity_ratio_upper"]]
    if estimates.empty:
        verdict = "negative-zero was not run"
    elif (estimates == 1).all(axis=None):
        verdict = "negative-zero changes nothing at all, as it must: the ReLU is zero there already"
    else:
        verdict = "negative-zero changes perplexity, though the ReLU is zero there already: the runner is not to be trusted"
    ratios = [
        f"{row['intervention']} of {row['cohort']} {interval(row, 'perplexity_ratio')}" for _, row in table[~is_null].iterrows()
    ]
    return verdict + (f"; for comparison {listed(ratios)}" if ratios else "")


def _on_all_layers(run: Run) -> pd.DataFrame:
    """Perplexity at the last checkpoint under every intervention on all layers."""
    rows = ablated(run.last("perplexity"))
    return rows[is_on_all_layers(rows)]


def _source(run: Run) -> str:
    return f"ablations/{run.name}/analysis/perplexity.csv"
