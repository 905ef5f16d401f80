"""Panels of the mixed models of surprisal: parts of speech, contrasts, training, residuals."""

from __future__ import annotations

from typing import Any

import pandas as pd

from reports.basis import basis
from reports.figures.curves import lines, training_axis
from reports.figures.intervals import interval_plot, quantile_plot, spread_plot
from reports.matching import caveat, marked
from reports.panel import Panel, cohort_colors, drawn, rows_high
from reports.results import Results, Run, main_intervention
from reports.sentences import interval, listed, number, p_value, sentence

_ROBUST = ("robust_lower", "robust_upper")
_CHANGE = "change in surprisal (nats a word)"


def upos(results: Results) -> Panel | None:
    """Marginal means by part of speech."""
    run = _run(results)
    if run is None:
        return None
    table = _of_main(run, "surprisal_means", "upos")
    unmatched = caveat(table, "condition")
    table = marked(table, "condition")
    colors = _colors(table)
    top = table[table["rule"] == "top"]
    top = top[top["condition"].isin(top["condition"].head(1))]
    hit = top[(top["robust_lower"] > 0) | (top["robust_upper"] < 0)]
    hit = hit.reindex(hit["estimate"].abs().sort_values(ascending=False).index)
    named = [f"{row['level']} {interval(row, 'estimate', 3, _ROBUST)}" for _, row in hit.head(4).iterrows()]
    said = f"under the top cohort {len(hit)} of {len(top)} parts of speech have an interval without 0" + (
        f"; largest {listed(named)}" if named else ""
    )
    return Panel(
        "surprisal-upos",
        "Change in surprisal by part of speech",
        drawn(
            lambda ax: interval_plot(table, "level", "condition", "estimate", ax, colors=colors, label=_CHANGE, reference=0, bounds=_ROBUST),
            (8.0, rows_high(table["level"].nunique(), len(colors))),
        ),
        "Dots with intervals: expected change of a word's surprisal by universal part of speech and cohort, at the mean word.",
        sentence(said),
        f"{_fit(run, 'upos')} Marginal means of a mixed model with log frequency, position, number of pieces and crossed random effects of word type and "
        f"document. {basis(table, method='cluster-robust', also=' and over word types')} Not corrected for the number of classes."
        + unmatched,
        f"ablations/{run.name}/analysis/surprisal_means.csv",
    )  # fmt: skip


def contrasts(results: Results) -> Panel | None:
    """Scaffolding and content words: top less every control."""
    run = _run(results)
    if run is None or not run.has("surprisal_contrasts"):
        return None
    table = _of_main(run, "surprisal_contrasts", "word_class")
    table = table[table["level"].isin(["scaffolding", "content"])]
    if table.empty:
        return None
    colors = {"scaffolding": "#d55e00", "content": "#0072b2"}
    unmatched = caveat(table, "condition")
    table = marked(table, "condition")
    return Panel(
        "surprisal-contrasts",
        "Scaffolding and content words: the top cohort less its controls",
        drawn(
            lambda ax: interval_plot(
                table, "against", "level", "estimate", ax, colors=colors,
                label="difference of the change in surprisal (nats a word)", reference=0, bounds=_ROBUST,
            ),
            (7.5, rows_high(table["against"].nunique(), 2) + 0.2),
        ),
        "Dots with intervals: change of surprisal under the top cohort less that under each control, for scaffolding and content words.",
        sentence(_scaffolding(table)),
        f"{_fit(run, 'word_class')} Scaffolding: DET, ADP, AUX, PART, PRON, CCONJ, SCONJ, PUNCT. {basis(table, method='cluster-robust', also=' and over word types')} p-values by the same, Holm over all rows."
        + unmatched,
        f"ablations/{run.name}/analysis/surprisal_contrasts.csv",
    )  # fmt: skip


def _scaffolding(table: pd.DataFrame) -> str:
    """Under how many controls scaffolding words suffer less; controls that are not matched are told and not counted."""
    is_evidence = table["is_matched"] != 0
    evidence, rest = table[is_evidence], table[~is_evidence]
    n_controls = evidence["against"].nunique()
    is_worse = (evidence["level"] == "scaffolding") & (evidence["robust_lower"] > 0) & (evidence["robust_p_adjusted"] < 0.05)
    if n_controls == 0:
        verdict = "no control is matched, so nothing is said of scaffolding words"
    elif is_worse.any():
        verdict = f"scaffolding words suffer more than under {int(is_worse.sum())} of {n_controls} controls"
    else:
        verdict = "there is no evidence that scaffolding words suffer more than under any control"
    counted = "; ".join([verdict, *_against(evidence)])
    return counted + (f"; not counted, as perplexity is not matched: {'; '.join(_against(rest))}" if len(rest) else "")


def _against(table: pd.DataFrame) -> list[str]:
    """The differences against every control."""
    parts = []
    for against, rows in table.groupby("against", sort=False):
        shown = [
            f"{row['level']} {interval(row, 'estimate', 3, _ROBUST)} ({p_value(row['robust_p_adjusted'])})"
            for _, row in rows.iterrows()
        ]
        parts.append(f"against {against}: {listed(shown)}")
    return parts


def curves(results: Results) -> Panel | None:
    """Surprisal of scaffolding and content words over training."""
    run = results.ablation(lambda run: run.has("surprisal_over_checkpoint"))
    if run is None:
        return None
    table = run.tables["surprisal_over_checkpoint"]
    table = _short(table[(table["intervention"] == main_intervention(table)) & table["level"].isin(["scaffolding", "content"])])
    unmatched = caveat(table, "condition")
    table = marked(table, "condition")
    colors = _colors(table)
    levels = list(dict.fromkeys(table["level"]))

    def draw(axes: Any) -> None:
        for ax, level in zip(axes, levels, strict=True):
            lines(
                table[table["level"] == level],
                "checkpoint",
                "estimate",
                "condition",
                ax,
                colors=colors,
                reference=0,
                bounds=_ROBUST,
            )
            training_axis(ax)
            ax.set_title(level)
        axes[0].set_ylabel(_CHANGE)
        axes[0].get_legend().remove()

    last = table[table["checkpoint"] == table["checkpoint"].max()]
    tops = last[last["rule"] == "top"]
    shown = [f"{row['level']}, {row['condition']}: {interval(row, 'estimate', 3, _ROBUST)}" for _, row in tops.iterrows()]
    return Panel(
        "surprisal-over-training",
        "Surprisal over training",
        drawn(draw, (9.5, 3.9), ncols=len(levels), sharey=True),
        "Lines with bands: expected change of surprisal over training steps by cohort, one panel for scaffolding and one for content words.",
        sentence(f"at the last step {'; '.join(shown)}"),
        f"One mixed model with a mean for every cell. {basis(table, what='Bands', method='cluster-robust', also=' and over word types')} Not corrected for "
        "the number of steps." + unmatched,
        f"ablations/{run.name}/analysis/surprisal_over_checkpoint.csv",
    )


def residuals(results: Results) -> Panel | None:
    """Whether the model's assumptions hold."""
    run = _run(results)
    if run is None or not run.has("surprisal_residuals", "surprisal_spread"):
        return None
    quantiles, spread = (_of_main(run, name, "upos") for name in ("surprisal_residuals", "surprisal_spread"))
    fit = _of_main(run, "surprisal_fits", "upos").iloc[0]

    def draw(axes: Any) -> None:
        quantile_plot(quantiles, axes[0])
        spread_plot(spread, axes[1])

    heavy = float(fit["residual_excess_kurtosis"])
    said = f"residuals are {'far from' if heavy > 3 else 'close to'} normal (excess kurtosis {number(heavy, 1)}), and {fit['n_disagreeing']:.0f} of " \
           f"{fit['n_effects']:.0f} effects have intervals that disagree"  # fmt: skip
    return Panel(
        "surprisal-residuals",
        "Residuals of the surprisal model",
        drawn(draw, (8.5, 3.4), ncols=2),
        "Left: quantiles of the standardised residuals against the normal. Right: residual mean and standard deviation along the fitted values.",
        sentence(said + (": read the cluster-robust intervals, not the model's own" if heavy > 3 else "")),
        f"{_fit(run, 'upos')}",
        f"ablations/{run.name}/analysis/surprisal_residuals.csv and surprisal_spread.csv",
    )


def _run(results: Results) -> Run | None:
    return results.ablation(lambda run: run.has("surprisal_means", "surprisal_fits"))


def _of_main(run: Run, name: str, by: str) -> pd.DataFrame:
    table = run.tables[name]
    found: pd.DataFrame = table[(table["intervention"] == main_intervention(table)) & (table["by"] == by)]
    return _short(found)


def _short(table: pd.DataFrame) -> pd.DataFrame:
    """Conditions without the intervention, which all of them share, and in fewer words."""
    names = [name for name in ("condition", "against") if name in table]
    return table.assign(**{name: [_name(value) for value in table[name]] for name in names})


def _name(condition: str) -> str:
    cohort, _, chosen = str(condition).rpartition("/")[2].partition("-at")
    return f"{cohort}, chosen at {'the end' if chosen == 'last' else f'step {chosen}'}" if chosen else cohort


def _colors(table: pd.DataFrame) -> dict[str, str]:
    rules = dict(zip(table["condition"], table["rule"], strict=True))
    order = sorted(rules, key=lambda name: rules[name] != "top")
    return cohort_colors({name: rules[name] for name in order})


def _fit(run: Run, by: str) -> str:
    row = _of_main(run, "surprisal_fits", by).iloc[0]
    flags = f" Care: {row['flags']}." if isinstance(row["flags"], str) and row["flags"] else ""
    return f"{int(row['n_rows']):,} rows; slopes of condition by document {row['slopes']}.{flags}"
