"""Panels of the same ablation in several places: in groups of layers, and at several checkpoints."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.rows import (
    ablated,
    layer_ranges,
    main_intervention,
    of_intact,
    of_layer_groups,
    of_main_intervention,
    over_all_paradigms,
    rules_of,
    tops,
    when_chosen,
)
from reports.basis import basis, no_width
from reports.figures.curves import lines, training_axis
from reports.figures.intervals import interval_plot
from reports.headroom import headroom, intact_readouts
from reports.matching import caveat, marked
from reports.outcomes import Measure, measures_of
from reports.panel import Panel, cohort_colors, drawn, plot_height
from reports.panels.grammar import beside
from reports.registry import panel
from reports.results import Results, Run
from reports.sentences import excluding, has_intervals, interval, listed, sentence
from reports.style import shared_legend

_SINGLE, _CUMULATIVE = "one group at a time", "cumulative, from the first"


@panel("What an ablation costs", needs="layer groups (needs an ablation with layer_groups)")
def layers(results: Results) -> Panel | None:
    """Layer groups, one at a time and cumulatively."""
    run = results.ablation(lambda run: len(of_layer_groups(run.tables["perplexity"])) > 1)
    if run is None:
        return None
    measures = measures_of(run)
    tables = {measure: _of_groups(run, measure) for measure in measures}
    ratios = tables[measures[0]]
    kinds = _kinds_of_groups(ratios)
    single = kinds.get(_SINGLE, [])
    effects = [_largest_effect(tables[measure], single, measure) for measure in measures]
    share = f"{100 * tops(ratios)['fraction'].iloc[0]:g}% of each layer"
    return Panel(
        title="Layer groups, single and cumulative",
        figure=_layers_figure(tables, kinds),
        alt=(
            "Dots with intervals: perplexity ratio and change of margin and accuracy when the neurons of some layers are ablated, one "
            "group at a time and cumulatively."
        ),
        finding=sentence("; ".join(effects) + _intact_at_last_step(run)) if single else "No ablation of one group was run.",
        note=f"{main_intervention(ratios)}, {share}. {basis(*tables.values())}"
        + "".join(no_width(table, measure.value, measure.reference) for measure, table in tables.items())
        + caveat(ratios),
        source=_source(run, measures),
    )


def _of_groups(run: Run, measure: Measure) -> pd.DataFrame:
    """Groups of layers at the last checkpoint; `group` names their layers, `kind` their rule."""
    rows = of_main_intervention(over_all_paradigms(of_layer_groups(measure.rows_of(run.last(measure.table)))))
    return marked(rows.assign(kind=rows["rule"], group=[_group(layers) for layers in layer_ranges(rows)]), "kind")


def _kinds_of_groups(table: pd.DataFrame) -> dict[str, list[str]]:
    """Groups of layers that were ablated one at a time, and those that begin at the first layer.

    A kind of which there is one group only is left out.
    """
    ranges = sorted(set(layer_ranges(table)), key=lambda layers: layers[::-1])
    narrowest = min(last - first for first, last in ranges)
    kinds = {
        _SINGLE: [_group((first, last)) for first, last in ranges if first > 0 or last - first == narrowest],
        _CUMULATIVE: [_group((first, last)) for first, last in ranges if first == 0],
    }
    return {kind: groups for kind, groups in kinds.items() if len(groups) > 1}


def _layers_figure(tables: dict[Measure, pd.DataFrame], kinds: dict[str, list[str]]) -> Figure:
    """A row of axes a kind of groups, a column a measure."""
    colors = cohort_colors(rules_of(next(iter(tables.values())), "kind"))

    def draw(axes: Any) -> None:
        for row, (kind, groups) in enumerate(kinds.items()):
            for ax, (measure, table) in zip(axes[row], tables.items(), strict=True):
                part = table[table["group"].isin(groups)].sort_values(["last_layer", "first_layer"], kind="stable")
                interval_plot(
                    part, "group", "kind", measure.value, ax, colors=colors, label=measure.label, reference=measure.reference
                )
                ax.set_title(kind, loc="left", fontsize=9)
        shared_legend(axes.ravel())

    height = sum(plot_height(len(groups), len(colors)) for groups in kinds.values()) + 0.5
    return drawn(draw, (9.5, height), nrows=len(kinds), ncols=len(tables), squeeze=False)


def _group(layers: tuple[int, int]) -> str:
    first, last = layers
    return f"layer {first}" if first == last else f"layers {first}–{last}"


def _largest_effect(table: pd.DataFrame, groups: list[str], measure: Measure) -> str:
    """The group of layers whose ablation alone changes a measure most, and all groups that change it."""
    rows = tops(table)
    rows = rows[rows["group"].isin(groups)]
    value, reference = measure.value, measure.reference
    if rows.empty:
        return f"no {measure.label} of one group"
    largest = rows.iloc[int((rows[value] - reference).abs().to_numpy().argmax())]
    changed = list(excluding(rows, value, reference)["group"])
    if not has_intervals(rows, value):
        verdict = "there are no intervals to tell it from none"
    elif changed:
        verdict = f"the interval leaves out “no effect” for {listed(changed)}"
    else:
        verdict = "no group's interval leaves out “no effect”"
    estimate = interval(largest, value)
    return f"the largest {measure.label} of one group alone is that of {largest['group']}, {estimate}, and {verdict}"


def _intact_at_last_step(run: Run) -> str:
    """Accuracy of the intact model on minimal pairs at the last checkpoint."""
    checkpoint = int(run.tables["perplexity"]["checkpoint"].max())
    return beside(intact_readouts(run, checkpoint, ("accuracy_by_phenomenon",)))


@panel(
    "Controls of the intervention itself",
    needs="the ablation over checkpoints (needs an ablation at several checkpoints)",
)
def ablation_over_training(results: Results) -> Panel | None:
    """The ablation at every checkpoint."""
    run = results.ablation(lambda run: run.tables["perplexity"]["checkpoint"].nunique() > 1)
    if run is None:
        return None
    measures = measures_of(run)
    tables = {measure: _at_every_step(run, measure) for measure in measures}
    first = measures[min(1, len(measures) - 1)]
    rows = tops(tables[first])
    share = f"{100 * rows['fraction'].iloc[0]:g}% of each layer"
    return Panel(
        title="The ablation over checkpoints",
        figure=_steps_figure(tables),
        alt=(
            "Lines with bands: perplexity ratio and change of margin and accuracy under the ablation over training steps, by cohort."
        ),
        finding=sentence(_effect_at_steps(rows, first) + _intact_at_last_step(run)),
        note=(
            f"{main_intervention(rows)}, {share}. {basis(*tables.values(), label='Bands')}"
            f"{_steps_without_headroom(run)}{caveat(tables[measures[0]])}"
        ),
        source=_source(run, measures),
    )


def _at_every_step(run: Run, measure: Measure) -> pd.DataFrame:
    """All checkpoints; `kind` says how neurons were chosen, and when."""
    rows = of_main_intervention(over_all_paradigms(ablated(measure.rows_of(run.tables[measure.table]))))
    return marked(rows.assign(kind=[f"{row['rule']}, chosen {when_chosen(row)}" for _, row in rows.iterrows()]), "kind")


def _steps_figure(tables: dict[Measure, pd.DataFrame]) -> Figure:
    colors = cohort_colors(rules_of(next(iter(tables.values())), "kind"))

    def draw(axes: Any) -> None:
        for ax, (measure, table) in zip(axes.ravel(), tables.items(), strict=True):
            bounds = (f"{measure.value}_lower", f"{measure.value}_upper")
            lines(table, "checkpoint", measure.value, "kind", ax, colors=colors, reference=measure.reference, bounds=bounds)
            training_axis(ax)
            ax.set_ylabel(measure.label)
        shared_legend(axes.ravel(), most=2)

    return drawn(draw, (9.5, 3.9), ncols=len(tables), squeeze=False)


def _effect_at_steps(rows: pd.DataFrame, measure: Measure) -> str:
    """The effect at the last step, and the steps at which there is one."""
    last = rows[rows["checkpoint"] == rows["checkpoint"].max()]
    effects = [f"{row['kind']} {interval(row, measure.value)}" for _, row in last.iterrows()]
    steps = sorted(set(excluding(rows, measure.value, measure.reference)["checkpoint"]))
    verdict = (
        f"intervals without “no effect” at steps {listed([str(step) for step in steps])}"
        if steps
        else "no interval leaves out “no effect” at any step"
    )
    return f"{measure.label} at the last step: {listed(effects)}; {verdict}"


def _steps_without_headroom(run: Run) -> str:
    """The steps at which the intact model could not fall far."""
    if not run.has("accuracy_by_phenomenon"):
        return ""
    steps: dict[str, list[str]] = {}
    for _, row in of_intact(over_all_paradigms(run.tables["accuracy_by_phenomenon"])).iterrows():
        if words := headroom(row, value="accuracy"):
            steps.setdefault(words, []).append(str(row["checkpoint"]))
    clauses = [f"{words}: {listed(list(dict.fromkeys(names)))}" for words, names in steps.items()]
    return f" Steps at which the intact model is {'; '.join(clauses)}." if clauses else ""


def _source(run: Run, measures: list[Measure]) -> str:
    names = dict.fromkeys(measure.table for measure in measures)
    return listed([f"ablations/{run.name}/analysis/{name}.csv" for name in names])
