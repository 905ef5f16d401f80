"""Panels of grammar under ablation: phenomena, the double dissociation, layer groups, training."""

from __future__ import annotations

from typing import Any

import pandas as pd

from reports.basis import basis
from reports.claims import intact, intact_readouts, room, with_intact
from reports.figures.curves import lines, training_axis
from reports.figures.intervals import interval_plot
from reports.matching import caveat, marked
from reports.panel import Panel, cohort_colors, drawn, rows_high
from reports.panels.ablation import main_run
from reports.results import Results, Run, ablated, comparable, first_top, main_intervention
from reports.sentences import effect, excludes, has_intervals, interval, listed, number, p_value, sentence
from reports.style import COLORS


def phenomena(results: Results) -> Panel | None:
    """Minimal pairs by phenomenon."""
    run = main_run(results)
    if run is None or not run.has("accuracy_by_phenomenon"):
        return None
    every = run.tables["accuracy_by_phenomenon"]
    table = with_intact(comparable(every), every, ("checkpoint", "benchmark", "phenomenon"))
    table = table[table["phenomenon"] != "all pairs"]
    table = table.assign(is_whole=table["phenomenon"] == "all")
    if table["benchmark"].nunique() > 1:
        table = table.assign(phenomenon=table["benchmark"] + ": " + table["phenomenon"])
    unmatched = caveat(table)
    table = marked(table)
    colors = cohort_colors(dict(zip(table["cohort"], table["rule"], strict=True)))
    top = first_top(table)
    whole, parts = top[top["is_whole"]], top[~top["is_whole"]]
    hit = parts[(parts["delta_accuracy_lower"] > 0) | (parts["delta_accuracy_upper"] < 0)]
    hit = hit.reindex(hit["delta_accuracy"].abs().sort_values(ascending=False).index)
    who = f"{top['intervention'].iloc[0]} of {top['cohort'].iloc[0]}"
    said = "; ".join(effect(row, "delta_accuracy", 0, f"accuracy on {_name(row)}", who) for _, row in whole.iterrows())
    named = [f"{row['phenomenon']} {interval(row, 'delta_accuracy')}" for _, row in hit.head(3).iterrows()]
    said += f"; {len(hit)} of {len(parts)} phenomena have an interval without 0" + (
        f", largest {listed(named)}" if named else ""
    )
    said += _beside([f"{_name(row)} {intact(row)}" for _, row in whole.iterrows()])
    return Panel(
        "phenomena",
        "Minimal pairs by phenomenon",
        drawn(
            lambda ax: interval_plot(
                table, "phenomenon", "cohort", "delta_accuracy", ax, colors=colors, label="change in accuracy", reference=0
            ),
            (8.0, rows_high(table["phenomenon"].nunique(), table["cohort"].nunique())),
        ),
        "Dots with intervals: change of minimal-pair accuracy against the intact model, by phenomenon and cohort.",
        sentence(said),
        f"{int(whole['n_pairs'].sum()):,} pairs, macro-averaged over paradigms, by total log-probability; {int(whole['n_ties'].sum())} ties. "
        f"{basis(table)} Not corrected for the number of phenomena (paired_tests.csv is, by Holm)."
        + _without_room(parts.drop(hit.index))
        + unmatched,
        f"ablations/{run.name}/analysis/accuracy_by_phenomenon.csv",
    )  # fmt: skip


def _without_room(rows: pd.DataFrame) -> str:
    """Of the phenomena whose interval holds 0, those on which the intact model could not fall far."""
    places: dict[str, list[str]] = {}
    for _, row in rows.iterrows():
        if word := room(row):
            places.setdefault(word, []).append(str(row["phenomenon"]))
    told = [f"{word}: {listed(names)}" for word, names in places.items()]
    return f" Where the interval holds 0, the intact model is {'; '.join(told)}." if told else ""


def _name(row: pd.Series) -> str:
    return "all paradigms" if row["phenomenon"] == "all" else str(row["phenomenon"]).removesuffix(": all")


def dissociation(results: Results) -> Panel | None:
    """Cost of grammar and of the rest, and whether they differ."""
    run = main_run(results)
    if run is None or not run.has("dissociation"):
        return None
    table = comparable(run.tables["dissociation"])
    unmatched = caveat(table)
    table = marked(table)
    intact = table[table["against"] == "intact"]
    long = pd.concat([
        intact.assign(what=what, cost=intact[f"{name}_cost"], cost_lower=intact[f"{name}_cost_lower"], cost_upper=intact[f"{name}_cost_upper"])
        for name, what in (("grammar", "minimal pairs"), ("other", "other tasks"))
    ])  # fmt: skip
    versus = table[table["rule"] == "top"]
    colors = {"minimal pairs": COLORS["top"], "other tasks": COLORS["random"]}
    tops = cohort_colors(dict.fromkeys(versus["cohort"], "none"))

    def draw(axes: Any) -> None:
        interval_plot(long, "cohort", "what", "cost", axes[0], colors=colors, label="cost: fall in accuracy", reference=0)
        interval_plot(versus, "against", "cohort", "interaction", axes[1], colors=tops, reference=0,
                      label="interaction: cost of grammar less cost of the rest,\ntop against…")  # fmt: skip

    n = versus.iloc[0]
    return Panel(
        "dissociation",
        "The double dissociation, tested",
        drawn(draw, (9.5, rows_high(max(intact["cohort"].nunique(), len(versus)), 2) + 0.3), ncols=2),
        "Left: fall in accuracy on minimal pairs and on other tasks by cohort. Right: the interaction of the top cohort against each control.",
        sentence(_dissociated(versus) + _beside(intact_readouts(run, int(n["checkpoint"])))),
        f"{int(n['n_pairs']):,} pairs and {int(n['n_others']):,} other items. {basis(table)} Tests by the same, Holm over all comparisons. A bound of "
        "equivalence says how large an effect the data leave possible." + unmatched,
        f"ablations/{run.name}/analysis/dissociation.csv",
    )


def _dissociated(versus: pd.DataFrame) -> str:
    """Whether the top cohorts show a double dissociation; controls that are not matched are told and decide nothing."""
    if versus["cohort"].nunique() > 1:
        versus = versus.assign(against=versus["against"] + " (for " + versus["cohort"] + ")")
    is_evidence = versus["is_matched"] != 0
    evidence, rest = versus[is_evidence], versus[~is_evidence]
    double = evidence[evidence["is_double"].astype(bool)]
    verdict = (
        f"a double dissociation against {listed(list(double['against']))}"
        if len(double)
        else "there is no evidence of a double dissociation"
    )
    controls = evidence[~evidence["against"].str.startswith("intact")]
    counted = f"{verdict}: interaction against {listed(_interactions(controls if len(controls) else evidence))}"
    return counted + (
        f"; not counted, as perplexity is not matched: against {listed(_interactions(rest))}" if len(rest) else ""
    )


def _interactions(rows: pd.DataFrame) -> list[str]:
    return [
        f"{row['against']} {interval(row, 'interaction')}, {p_value(row['p_adjusted'])}"
        + (f" (no effect beyond {number(row['equivalence_bound'])})" if row["is_equivalent"] else "")
        for _, row in rows.iterrows()
    ]


def _beside(told: list[str]) -> str:
    """Accuracies of the intact model at the end of a finding."""
    return f"; accuracy of the intact model: {listed(told)}" if told else ""


def layers(results: Results) -> Panel | None:
    """Layer groups, one at a time and cumulatively."""
    run = results.ablation(lambda run: _groups(run.tables["perplexity"]).shape[0] > 1)
    if run is None:
        return None
    measures = _measures(run)
    tables = {}
    for name, *_ in measures:
        table = _groups(run.last(name))
        table = table[table["phenomenon"] == "all"] if "phenomenon" in table else table
        table = table[table["intervention"] == main_intervention(table)]
        tables[name] = marked(table.assign(who=table["rule"]), "who")
    width = {cell: _width(cell) for cell in tables["perplexity"]["cohort_layers"]}
    single = min(width.values())
    kinds = {"one group at a time": [c for c in width if width[c] == single or not c.startswith("0-")],
             "cumulative, from the first": [c for c in width if c.startswith("0-")]}  # fmt: skip
    kinds = {kind: cells for kind, cells in kinds.items() if len(set(cells)) > 1}
    colors = cohort_colors(dict(zip(tables["perplexity"]["who"], tables["perplexity"]["rule"], strict=True)))

    def draw(axes: Any) -> None:
        for row, (kind, cells) in enumerate(kinds.items()):
            for column, (name, value, reference, label) in enumerate(measures):
                part = tables[name][tables[name]["cohort_layers"].isin(cells)]
                part = part.assign(group=[_group(cells) for cells in part["cohort_layers"]]).sort_values(
                    "cohort_layers", key=lambda c: c.map(_ends)
                )
                ax = axes[row][column]
                interval_plot(part, "group", "who", value, ax, colors=colors, label=label, reference=reference)
                ax.set_title(kind, loc="left", fontsize=9)
                if ax.get_legend() and (row or column):
                    ax.get_legend().remove()

    tops = tables["perplexity"][tables["perplexity"]["rule"] == "top"]
    alone = kinds.get("one group at a time", [])
    said = [_largest(tables[name], alone, value, reference, label) for name, value, reference, label in measures]
    said[-1] += _intact_accuracy(run, measures)
    height = sum(rows_high(len(set(cells)), len(colors)) for cells in kinds.values()) + 0.5
    return Panel(
        "layers",
        "Layer groups, single and cumulative",
        drawn(draw, (9.5, height), nrows=len(kinds), ncols=len(measures), squeeze=False),
        "Dots with intervals: perplexity ratio and change of accuracy when the neurons of some layers are ablated, one group at a time and cumulatively.",
        sentence("; ".join(said)) if alone else "No ablation of one group was run.",
        f"{main_intervention(tables['perplexity'])}, {100 * tops['fraction'].iloc[0]:g}% of each layer. {basis(*tables.values())}{caveat(tables['perplexity'])}",
        listed([f"ablations/{run.name}/analysis/{name}.csv" for name, *_ in measures]),
    )


def _intact_accuracy(run: Run, measures: list[tuple[str, str, float, str]]) -> str:
    """Accuracy of the intact model at the last step, where changes of accuracy are told."""
    tables = [name for name, *_ in measures if name == "accuracy_by_phenomenon"]
    return _beside(intact_readouts(run, int(run.tables["perplexity"]["checkpoint"].max()), tables))


def _steps_without_room(run: Run) -> str:
    """The steps at which the intact model could not fall far."""
    if not run.has("accuracy_by_phenomenon"):
        return ""
    rows = run.tables["accuracy_by_phenomenon"]
    rows = rows[(rows["rule"] == "none") & (rows["phenomenon"] == "all")]
    steps: dict[str, list[str]] = {}
    for _, row in rows.iterrows():
        if word := room(row, value="accuracy"):
            steps.setdefault(word, []).append(str(row["checkpoint"]))
    told = [f"{word}: {listed(list(dict.fromkeys(names)))}" for word, names in steps.items()]
    return f" Steps at which the intact model is {'; '.join(told)}." if told else ""


def _largest(table: pd.DataFrame, groups: list[str], value: str, reference: float, label: str) -> str:
    """Which single group of layers matters most, and which matter at all."""
    rows = table[(table["rule"] == "top") & table["cohort_layers"].isin(groups)]
    if rows.empty:
        return f"no {label} of one group"
    worst = rows.iloc[int((rows[value] - reference).abs().to_numpy().argmax())]
    hit = [_group(str(row["cohort_layers"])) for _, row in rows.iterrows() if excludes(row, value, reference)]
    known = f"the interval leaves out “no effect” for {listed(hit)}" if hit else "no group's interval leaves out “no effect”"
    known = known if has_intervals(rows, value) else "there are no intervals to tell it from none"
    return f"the largest {label} of one group alone is that of {_group(worst['cohort_layers'])}, {interval(worst, value)}, and {known}"


def _measures(run: Run) -> list[tuple[str, str, float, str]]:
    """What is shown of an ablation: table, column, where "no effect" is, and label."""
    found = [("perplexity", "perplexity_ratio", 1.0, "perplexity ratio")]
    if run.has("accuracy_by_phenomenon"):
        found.append(("accuracy_by_phenomenon", "delta_accuracy", 0.0, "change in accuracy"))
    return found


def _groups(table: pd.DataFrame) -> pd.DataFrame:
    rows = ablated(table)
    return rows[rows["cohort_layers"].astype(str).str.contains("-")]


def _group(cells: str) -> str:
    last, first = _ends(cells)
    return f"layer {first}" if first == last else f"layers {first}–{last}"


def _ends(cells: str) -> tuple[int, int]:
    first, _, last = str(cells).partition("-")
    return int(last or first), int(first)


def _width(cells: str) -> int:
    last, first = _ends(cells)
    return last - first


def over_training(results: Results) -> Panel | None:
    """The ablation at every checkpoint."""
    run = results.ablation(lambda run: run.tables["perplexity"]["checkpoint"].nunique() > 1)
    if run is None:
        return None
    measures = _measures(run)
    tables = {}
    for name, *_ in measures:
        table = ablated(run.tables[name])
        table = table[table["phenomenon"] == "all"] if "phenomenon" in table else table
        table = table[table["intervention"] == main_intervention(table)]
        chosen = {"same": "at the same step", "last": "at the end"}
        who = [f"{row['rule']}, chosen {chosen.get(row['chosen_at'], row['chosen_at'])}" for _, row in table.iterrows()]
        tables[name] = marked(table.assign(who=who), "who")
    colors = cohort_colors(dict(zip(tables["perplexity"]["who"], tables["perplexity"]["rule"], strict=True)))

    def draw(axes: Any) -> None:
        for ax, (name, value, reference, label) in zip(axes.ravel(), measures, strict=True):
            lines(
                tables[name],
                "checkpoint",
                value,
                "who",
                ax,
                colors=colors,
                reference=reference,
                bounds=(f"{value}_lower", f"{value}_upper"),
            )
            training_axis(ax)
            ax.set_ylabel(label)

    name, value, reference, label = measures[-1]
    rows = tables[name][tables[name]["rule"] == "top"]
    last = rows[rows["checkpoint"] == rows["checkpoint"].max()]
    hit = rows[(rows[f"{value}_lower"] > reference) | (rows[f"{value}_upper"] < reference)]
    shown = [f"{row['who']} {interval(row, value)}" for _, row in last.iterrows()]
    where = f"intervals without “no effect” at steps {listed([str(s) for s in sorted(set(hit['checkpoint']))])}" if len(hit) else \
        "no interval leaves out “no effect” at any step"  # fmt: skip
    return Panel(
        "ablation-over-training",
        "The ablation over checkpoints",
        drawn(draw, (9.5, 3.9), ncols=len(measures), squeeze=False),
        "Lines with bands: perplexity ratio and change of accuracy under the ablation over training steps, by cohort.",
        sentence(f"{label} at the last step: {listed(shown)}; {where}{_intact_accuracy(run, measures)}"),
        f"{main_intervention(rows)}, {100 * rows['fraction'].iloc[0]:g}% of each layer. {basis(*tables.values(), what='Bands')} Not corrected for the number of steps."
        + _steps_without_room(run)
        + caveat(tables["perplexity"]),
        listed([f"ablations/{run.name}/analysis/{name}.csv" for name, *_ in measures]),
    )
