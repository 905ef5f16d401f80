"""Panels of ablations by perplexity: share of neurons, controls, sign and magnitude, mirror, ReLU."""

from __future__ import annotations

from typing import Any

import pandas as pd

from reports.basis import basis
from reports.claims import intact_readouts, text_of
from reports.figures.curves import lines
from reports.figures.intervals import interval_plot
from reports.matching import caveat, marked
from reports.panel import Panel, cohort_colors, drawn, rows_high
from reports.results import Results, Run, ablated, comparable, first_top, main_intervention
from reports.sentences import apart, effect, has_intervals, interval, listed, sentence

_RATIO = "perplexity, ratio to the intact model"


def sweep(results: Results) -> Panel | None:
    """Perplexity against the share of neurons."""
    run = results.ablation(lambda run: _last(run).loc[lambda t: t["rule"] == "top", "fraction"].nunique() > 2)
    if run is None:
        return None
    table = _last(run)
    table = table[table["intervention"] == main_intervention(table)]
    table = table.assign(who=[_cohort_kind(row) for _, row in table.iterrows()])
    unmatched = caveat(table)
    table = marked(table, "who")
    colors = cohort_colors(dict(zip(table["who"], table["rule"], strict=True)))

    def draw(ax: Any) -> None:
        lines(table, "fraction", "perplexity_ratio", "who", ax, colors=colors, reference=1,
              bounds=("perplexity_ratio_lower", "perplexity_ratio_upper"))  # fmt: skip
        ax.set_xscale("log")
        shares = sorted(set(table["fraction"]))
        ax.set_xticks(shares, [f"{100 * share:g}%" for share in shares])
        ax.minorticks_off()
        ax.set(xlabel="share of each layer's neurons", ylabel=_RATIO)

    largest = table["fraction"].max()
    rows = table[table["fraction"] == largest].set_index("who")
    shown = [f"{who} {interval(row, 'perplexity_ratio')}" for who, row in rows.iterrows()]
    return Panel(
        "sweep",
        "Perplexity against the share of neurons",
        drawn(draw, (7.5, 4.0)),
        "Lines with bands: perplexity relative to the intact model by share of ablated neurons, for each way of choosing them.",
        sentence(f"at {100 * largest:g}% of each layer the ratio is {listed(shown)}"),
        f"{main_intervention(table)}; {text_of(run)}. {basis(table, what='Bands')}{unmatched}",
        _source(run),
    )


def perplexity(results: Results) -> Panel | None:
    """Perplexity of the cohorts of the main comparison."""
    run = main_run(results)
    if run is None:
        return None
    table = comparable(run.tables["perplexity"])
    note = basis(table) + caveat(table)
    table = marked(table)
    colors = cohort_colors(dict(zip(table["cohort"], table["rule"], strict=True)))
    top = first_top(table).iloc[0]
    controls = table[table["controls"] == top["cohort"]]
    shown = [f"{row['cohort']} {interval(row, 'perplexity_ratio', 4)}" for _, row in controls.iterrows()]
    said = effect(top, "perplexity_ratio", 1, "perplexity", f"{top['intervention']} of {top['cohort']}", 4)
    return Panel(
        "perplexity",
        "Perplexity: the Wasserstein neurons and their controls",
        drawn(
            lambda ax: interval_plot(table, "cohort", "cohort", "perplexity_ratio", ax, colors=colors, label=_RATIO, reference=1),
            (7.5, rows_high(len(table), 1)),
        ),
        "Dots with intervals: perplexity relative to the intact model, for the selected neurons and every control.",
        sentence(said + (f"; its controls: {listed(shown)}" if shown else "")),
        f"{text_of(run)}. {note}",
        _source(run),
    )  # fmt: skip


def sign_and_magnitude(results: Results) -> Panel | None:
    """What of the negative side matters: its sign, its differences, its mean, the curvature beside it."""
    wanted = ("negative-zero", "mean-ablate-negative", "sign-flip", "identity-on-positive")
    return _interventions(
        results, wanted, {"sign-flip", "identity-on-positive", "mean-ablate-negative"}, "sign-and-magnitude", "Sign against magnitude",
        "negative-zero removes the negative side; mean-ablate-negative keeps its mean and removes its differences; sign-flip keeps its magnitude "
        "and turns its sign; identity-on-positive leaves it and removes the curvature of the positive side.",
    )  # fmt: skip


def mirror(results: Results) -> Panel | None:
    """The positive side clamped instead."""
    return _interventions(
        results, ("negative-zero", "positive-zero", "both-zero"), {"positive-zero"}, "mirror", "The mirror clamp",
        "The same neurons with the negative side clamped to zero, the positive side, or both.",
    )  # fmt: skip


def _interventions(
    results: Results, wanted: tuple[str, ...], any_of: set[str], key: str, title: str, note: str
) -> Panel | None:
    run = results.ablation(
        lambda run: bool(any_of & set(_tops(run)["intervention"])) and "negative-zero" in set(_tops(run)["intervention"])
    )
    if run is None:
        return None
    table = run.last("perplexity")
    table = table[
        table["intervention"].isin(wanted) & table["rule"].isin(["top", "random"]) & (table["cohort_layers"] == "all")
    ]
    table = table[table["fraction"] == table.loc[table["rule"] == "top", "fraction"].iloc[0]]
    table = table.sort_values("intervention", key=lambda names: names.map(wanted.index), kind="stable")
    accuracy = run.last("accuracy_by_phenomenon") if run.has("accuracy_by_phenomenon") else pd.DataFrame()
    if len(accuracy):
        keys = ["intervention", "cohort"]
        accuracy = accuracy[accuracy["phenomenon"] == "all"].merge(table[keys], on=keys)
        accuracy = accuracy.sort_values("intervention", key=lambda names: names.map(wanted.index), kind="stable")
    colors = cohort_colors(dict(zip(table["cohort"], table["rule"], strict=True)))
    n_columns = 2 if len(accuracy) else 1

    def draw(axes: Any) -> None:
        axes = axes.ravel()
        interval_plot(table, "intervention", "cohort", "perplexity_ratio", axes[0], colors=colors, label=_RATIO, reference=1)
        if len(accuracy):
            interval_plot(accuracy, "intervention", "cohort", "delta_accuracy", axes[1], colors=colors,
                          label="change in accuracy on minimal pairs", reference=0)  # fmt: skip
            axes[1].set_yticklabels([])
            if axes[1].get_legend():
                axes[1].get_legend().remove()

    tops = table[table["rule"] == "top"]
    shown = [f"{row['intervention']} {interval(row, 'perplexity_ratio', 4)}" for _, row in tops.iterrows()]
    base = tops[tops["intervention"] == "negative-zero"].iloc[0]
    different = [
        row["intervention"]
        for _, row in tops.iterrows()
        if row["intervention"] != "negative-zero" and apart(row, base, "perplexity_ratio")
    ]
    verdict = (
        f"apart from negative-zero by their intervals: {listed(different)}"
        if different
        else "no interval is apart from that of negative-zero"
        if has_intervals(tops, "perplexity_ratio")
        else "without intervals there is no telling them apart"
    )
    return Panel(
        key,
        title,
        drawn(
            draw,
            (9.0, rows_high(table["intervention"].nunique(), table["cohort"].nunique()) + 0.4),
            ncols=n_columns,
            squeeze=False,
        ),
        f"Dots with intervals: perplexity ratio{' and change of accuracy' if len(accuracy) else ''} under each intervention on the selected neurons.",
        sentence(f"perplexity ratios of the top cohort: {listed(shown)}; {verdict}"),
        f"{note} {basis(table, *([accuracy] if len(accuracy) else []))}"
        + (
            f" Accuracy of the intact model: {listed(intact_readouts(run, table['checkpoint'].iloc[0]))}."
            if len(accuracy)
            else ""
        ),
        _source(run) + (f" and ablations/{run.name}/analysis/accuracy_by_phenomenon.csv" if len(accuracy) else ""),
    )


def relu(results: Results) -> Panel | None:
    """negative-zero of a ReLU model, which must change nothing."""
    run = next((run for run in results.ablations.values() if run.attributes.get("nonlinearity") == "relu"), None)
    if run is None:
        return None
    table = ablated(run.last("perplexity"))
    note = f"{text_of(run)}. {basis(table)}{caveat(table)}"
    table = marked(table)
    colors = cohort_colors(dict(zip(table["cohort"], table["rule"], strict=True)))
    zero = table[table["intervention"] == "negative-zero"]
    exact = bool(len(zero)) and bool(
        (zero[["perplexity_ratio", "perplexity_ratio_lower", "perplexity_ratio_upper"]] == 1).all(axis=None)
    )
    said = (
        "negative-zero changes nothing at all, as it must: the ReLU is zero there already"
        if exact
        else "negative-zero changes perplexity, though the ReLU is zero there already: the runner is not to be trusted"
        if len(zero)
        else "negative-zero was not run"
    )
    rest = [
        f"{row['intervention']} of {row['cohort']} {interval(row, 'perplexity_ratio')}"
        for _, row in table.iterrows()
        if row["intervention"] != "negative-zero"
    ]
    return Panel(
        "relu",
        f"The null control: {results.called(run)}, a ReLU model",
        drawn(
            lambda ax: interval_plot(table, "intervention", "cohort", "perplexity_ratio", ax, colors=colors, label=_RATIO, reference=1),
            (7.5, rows_high(table["intervention"].nunique(), table["cohort"].nunique()) + 0.3),
        ),
        "Dots with intervals: perplexity ratio of a ReLU model under each intervention.",
        sentence(said + (f"; for comparison {listed(rest)}" if rest else "")),
        note,
        _source(run),
    )  # fmt: skip


def main_run(results: Results) -> Run | None:
    """The ablation with most cohorts beside the top under one intervention on all layers."""
    return max(results.of_main(), key=lambda run: len(comparable(run.tables["perplexity"])), default=None)


def _last(run: Run) -> pd.DataFrame:
    rows = ablated(run.last("perplexity"))
    return rows[rows["cohort_layers"] == "all"]


def _tops(run: Run) -> pd.DataFrame:
    rows = _last(run)
    return rows[rows["rule"] == "top"]


def _cohort_kind(row: pd.Series) -> str:
    """A cohort's name without its share, so that shares of one kind make a line."""
    parts = str(row["cohort"]).split("-")
    share = f"{row['fraction']:g}"
    return "-".join(part for part in parts if part != share)


def _source(run: Run) -> str:
    return f"ablations/{run.name}/analysis/perplexity.csv"
