"""Panels of the mixed models of surprisal: parts of speech, contrasts, training, residuals."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.rows import largest_categories_first, of_main_intervention, rules_of, tops
from reports.basis import basis
from reports.figures.curves import lines, training_axis
from reports.figures.intervals import interval_plot, quantile_plot, spread_plot
from reports.matching import caveat, is_evidence, marked
from reports.panel import Panel, cohort_colors, drawn, plot_height
from reports.registry import panel
from reports.results import Results, Run
from reports.sentences import counted, excluding, interval, largest_first, listed, number, p_value, sentence, sentences
from reports.style import only_left_labels, shared_legend

_SECTION = "Where in the sentence"
_BOUNDS = ("robust_lower", "robust_upper")
_CHANGE = "change in surprisal (nats a word)"
_CLASS_COLORS = {"scaffolding": "#d55e00", "content": "#0072b2"}
_HEAVY_TAILS = 3.0
"""Excess kurtosis from which residuals are called far from normal."""


@panel(_SECTION, needs="surprisal by part of speech (needs surprisal = true and tagged text)")
def surprisal_upos(results: Results) -> Panel | None:
    """Marginal means by part of speech."""
    run = _run(results)
    if run is None:
        return None
    table = _of_main(run, "surprisal_means", "upos")
    unmatched = caveat(table, "condition")
    table = marked(table, "condition")
    return Panel(
        title="Change in surprisal by part of speech",
        figure=_upos_figure(largest_categories_first(table, tops(table), "level", "estimate")),
        alt=(
            "Dots with intervals: expected change of a word's surprisal by universal part of speech and cohort, at the mean "
            "word."
        ),
        finding=sentence(_largest_changes(table)),
        note=(
            f"{_fit(run, 'upos')} Marginal means of a mixed model with log frequency, position, number of pieces and crossed "
            f"random effects of word type and document. {_basis(table)}{unmatched}"
        ),
        source=f"ablations/{run.name}/analysis/surprisal_means.csv",
    )


def _upos_figure(table: pd.DataFrame) -> Figure:
    colors = _colors(table)

    def draw(ax: Any) -> None:
        interval_plot(table, "level", "condition", "estimate", ax, colors=colors, label=_CHANGE, reference=0, bounds=_BOUNDS)

    return drawn(draw, (8.0, plot_height(table["level"].nunique(), len(colors))))


def _largest_changes(table: pd.DataFrame) -> str:
    """How many parts of speech change under the first top cohort, and the four that change most."""
    rows = tops(table)
    rows = rows[rows["condition"].isin(rows["condition"].head(1))]
    changed = excluding(rows, "estimate", 0, _BOUNDS)
    text = f"under the top cohort {len(changed)} of {len(rows)} parts of speech have an interval without 0"
    largest = [
        f"{row['level']} {interval(row, 'estimate', 3, _BOUNDS)}"
        for _, row in largest_first(changed, "estimate").head(4).iterrows()
    ]
    return text + (f"; largest {listed(largest)}" if largest else "")


@panel(_SECTION)
def surprisal_contrasts(results: Results) -> Panel | None:
    """Scaffolding and content words: top less every control."""
    run = _run(results)
    if run is None or not run.has("surprisal_contrasts"):
        return None
    table = _of_main(run, "surprisal_contrasts", "word_class")
    table = table[table["level"].isin(list(_CLASS_COLORS))]
    if table.empty:
        return None
    unmatched = caveat(table, "condition")
    table = marked(table, "condition")
    return Panel(
        title="Scaffolding and content words: the top cohort less its controls",
        figure=_contrasts_figure(table),
        alt=(
            "Dots with intervals: change of surprisal under the top cohort less that under each control, for scaffolding and "
            "content words."
        ),
        finding=sentence(_scaffolding(table)),
        note=(
            f"{_fit(run, 'word_class')} Scaffolding: DET, ADP, AUX, PART, PRON, CCONJ, SCONJ, PUNCT. {_basis(table)} p-values "
            f"by the same, Holm over all rows.{unmatched}"
        ),
        source=f"ablations/{run.name}/analysis/surprisal_contrasts.csv",
        is_headline=True,
        brief=_brief_scaffolding(table),
    )


def _contrasts_figure(table: pd.DataFrame) -> Figure:
    label = "difference of the change in surprisal (nats a word)"

    def draw(ax: Any) -> None:
        interval_plot(table, "against", "level", "estimate", ax, colors=_CLASS_COLORS, label=label, reference=0, bounds=_BOUNDS)

    return drawn(draw, (7.5, plot_height(table["against"].nunique(), 2) + 0.2))


def _scaffolding(table: pd.DataFrame) -> str:
    """Under how many controls scaffolding words suffer less. Controls that are not matched are named and not counted."""
    mask = is_evidence(table)
    evidence, rest = table[mask], table[~mask]
    text = "; ".join([_verdict(evidence), *_differences(evidence)])
    return text + (f"; not counted, as perplexity is not matched: {'; '.join(_differences(rest))}" if len(rest) else "")


def _brief_scaffolding(table: pd.DataFrame) -> str:
    """The verdict, and how many controls do not count."""
    n_unmatched = table.loc[~is_evidence(table), "against"].nunique()
    unmatched = f"not counted, as perplexity is not matched: {counted(n_unmatched, 'control')}" if n_unmatched else ""
    return sentences([_verdict(table[is_evidence(table)]), unmatched])


def _verdict(evidence: pd.DataFrame) -> str:
    """Whether scaffolding words suffer more than under the controls that count."""
    n_controls = evidence["against"].nunique()
    is_worse = (evidence["level"] == "scaffolding") & (evidence["robust_lower"] > 0) & (evidence["robust_p_adjusted"] < 0.05)
    if n_controls == 0:
        verdict = "no control is matched, so nothing is said of scaffolding words"
    elif is_worse.any():
        verdict = f"scaffolding words suffer more than under {int(is_worse.sum())} of {n_controls} controls"
    else:
        verdict = "there is no evidence that scaffolding words suffer more than under any control"
    return verdict


def _differences(table: pd.DataFrame) -> list[str]:
    """The differences against every control."""
    differences = []
    for against, rows in table.groupby("against", sort=False):
        estimates = [
            f"{row['level']} {interval(row, 'estimate', 3, _BOUNDS)} ({p_value(row['robust_p_adjusted'])})"
            for _, row in rows.iterrows()
        ]
        differences.append(f"against {against}: {listed(estimates)}")
    return differences


@panel(_SECTION, needs="surprisal over training (needs surprisal = true at several checkpoints)")
def surprisal_over_training(results: Results) -> Panel | None:
    """Surprisal of scaffolding and content words over training."""
    run = results.ablation(lambda run: run.has("surprisal_over_checkpoint"))
    if run is None:
        return None
    table = of_main_intervention(run.tables["surprisal_over_checkpoint"])
    table = _with_short_names(table[table["level"].isin(list(_CLASS_COLORS))])
    unmatched = caveat(table, "condition")
    table = marked(table, "condition")
    last = tops(table[table["checkpoint"] == table["checkpoint"].max()])
    estimates = [f"{row['level']}, {row['condition']}: {interval(row, 'estimate', 3, _BOUNDS)}" for _, row in last.iterrows()]
    return Panel(
        title="Surprisal over training",
        figure=_training_figure(table),
        alt=(
            "Lines with bands: expected change of surprisal over training steps by cohort, one panel for scaffolding and one "
            "for content words."
        ),
        finding=sentence(f"at the last step {'; '.join(estimates)}"),
        note=(f"One mixed model with a mean for every cell. {_basis(table, 'Bands')}{unmatched}"),
        source=f"ablations/{run.name}/analysis/surprisal_over_checkpoint.csv",
    )


def _training_figure(table: pd.DataFrame) -> Figure:
    colors = _colors(table)
    levels = list(dict.fromkeys(table["level"]))

    def draw(axes: Any) -> None:
        for ax, level in zip(axes, levels, strict=True):
            rows = table[table["level"] == level]
            lines(rows, "checkpoint", "estimate", "condition", ax, colors=colors, reference=0, bounds=_BOUNDS)
            training_axis(ax)
            ax.set(title=level, ylabel=_CHANGE)
        shared_legend(axes, most=2)
        only_left_labels(axes)

    return drawn(draw, (9.5, 3.9), ncols=len(levels), sharey=True)


@panel(_SECTION)
def surprisal_residuals(results: Results) -> Panel | None:
    """Whether the model's assumptions hold."""
    run = _run(results)
    if run is None or not run.has("surprisal_residuals", "surprisal_spread"):
        return None
    quantiles, spread = (_of_main(run, name, "upos") for name in ("surprisal_residuals", "surprisal_spread"))
    fit = _of_main(run, "surprisal_fits", "upos").iloc[0]

    def draw(axes: Any) -> None:
        quantile_plot(quantiles, axes[0])
        spread_plot(spread, axes[1])

    return Panel(
        title="Residuals of the surprisal model",
        figure=drawn(draw, (8.5, 3.4), ncols=2),
        alt=(
            "Left: quantiles of the standardised residuals against the normal. Right: residual mean and standard deviation "
            "along the fitted values."
        ),
        finding=sentence(_normality(fit)),
        note=_fit(run, "upos"),
        source=listed([f"ablations/{run.name}/analysis/surprisal_{name}.csv" for name in ("residuals", "spread")]),
    )


def _normality(fit: pd.Series) -> str:
    """Whether residuals are close to normal, and which intervals to read if not."""
    kurtosis = float(fit["residual_excess_kurtosis"])
    is_heavy = kurtosis > _HEAVY_TAILS
    text = (
        f"residuals are {'far from' if is_heavy else 'close to'} normal (excess kurtosis {number(kurtosis, 1)}), and "
        f"{fit['n_disagreeing']:.0f} of {fit['n_effects']:.0f} effects have intervals that disagree"
    )
    return text + (": read the cluster-robust intervals, not the model's own" if is_heavy else "")


def _run(results: Results) -> Run | None:
    return results.ablation(lambda run: run.has("surprisal_means", "surprisal_fits"))


def _of_main(run: Run, name: str, by: str) -> pd.DataFrame:
    """Rows of the main intervention in a table of the model by `by`."""
    table = of_main_intervention(run.tables[name])
    return _with_short_names(table[table["by"] == by])


def _with_short_names(table: pd.DataFrame) -> pd.DataFrame:
    """Conditions without the intervention, which all of them share."""
    shared = tuple(f"{name} of " for name in set(table["intervention"]))
    names = [name for name in ("condition", "against") if name in table]
    return table.assign(**{name: [_without(str(label), shared) for label in table[name]] for name in names})


def _without(label: str, prefixes: tuple[str, ...]) -> str:
    return next((label.removeprefix(prefix) for prefix in prefixes if label.startswith(prefix)), label)


def _colors(table: pd.DataFrame) -> dict[str, str]:
    """Colours of the conditions, those of the top first."""
    rules = rules_of(table, "condition")
    return cohort_colors(dict(sorted(rules.items(), key=lambda item: item[1] != "top")))


def _basis(table: pd.DataFrame, label: str = "Intervals") -> str:
    return basis(table, label=label, method="cluster-robust", also=" and over word types")


def _fit(run: Run, by: str) -> str:
    """Rows, slopes and flags of the model by `by`."""
    row = _of_main(run, "surprisal_fits", by).iloc[0]
    flags = f" Care: {row['flags']}." if isinstance(row["flags"], str) and row["flags"] else ""
    return f"{int(row['n_rows']):,} rows; slopes of condition by document {row['slopes']}.{flags}"
