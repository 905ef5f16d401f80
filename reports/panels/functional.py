"""The panel of the functional share: how much of the separation of similar inputs negative-zero removes, beyond matched pairs."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.contrasts import BOUNDS
from analysis.pairs.contrasts import FUNCTIONAL, MEAN, NEGATIVE, NOTHING
from reports.basis import basis
from reports.figures.intervals import interval_plot
from reports.panel import Panel, drawn, plot_height
from reports.registry import panel
from reports.results import Results
from reports.sentences import interval, sentence

_COLORS = {FUNCTIONAL: "#d55e00", NEGATIVE: "#0072b2"}
_LABELS = {FUNCTIONAL: "functional share", NEGATIVE: "share of negative–negative pairs"}


@panel("Similar inputs driven apart", needs="the functional share of negative differentiation")
def functional_share(results: Results) -> Panel | None:
    """The functional share beside the counts of signs: excess over matched pairs, top less rest, by layer and model."""
    runs = [run for run in results.models.values() if run.has("pair_contrasts")]
    if not runs:
        return None
    frames = [_by_layer(run.tables["pair_contrasts"], results.model_name(run), len(runs) > 1) for run in runs]
    table = pd.concat(frames, ignore_index=True)
    return Panel(
        title="What negative-zero takes from the separation of similar inputs",
        figure=drawn(lambda ax: _draw(table, ax), (7.5, plot_height(table["category"].nunique(), 2))),
        alt=(
            "Dots with intervals: excess of the functional share and of the share of negative–negative pairs, Wasserstein "
            "neurons less the rest, by model and layer."
        ),
        finding=sentence(_finding(runs[0].tables["pair_contrasts"], results.model_name(runs[0]))),
        note=(
            "Functional share: the part of the summed separation |σ(a) − σ(b)| of all similar pairs that is gone where negative "
            "pre-activations are zero; less the same of matched pairs of dissimilar inputs. Under a ReLU it is 0 by definition, "
            "so its interval has no width. Negative–negative share: of the furthest pairs alone. In a gated MLP σ is the gate’s. "
            f"{basis(table, method='over documents and neurons')} p-values are in pair_contrasts.csv, adjusted by Holm."
        ),
        source=", ".join(f"models/{run.name}/analysis/pair_contrasts.csv" for run in runs),
        is_headline=True,
    )


def _draw(table: pd.DataFrame, ax: Any) -> None:
    colors = {label: _COLORS[measure] for measure, label in _LABELS.items()}
    label = "excess over matched pairs, Wasserstein neurons less the rest"
    interval_plot(table, "category", "label", "estimate", ax, colors=colors, reference=0, label=label, bounds=BOUNDS)


def _by_layer(table: pd.DataFrame, model: str, names_model: bool) -> pd.DataFrame:
    rows = table[(table["over"] == "layer") & (table["given"] == NOTHING)]
    prefix = f"{model}, " if names_model else ""
    return rows.assign(category=[f"{prefix}layer {layer}" for layer in rows["layer"]], label=rows["measure"].map(_LABELS))


def _finding(table: pd.DataFrame, model: str) -> str:
    """The mean over layers, and whether it is more than the neurons' shape explains."""
    rows = table[(table["measure"] == FUNCTIONAL) & (table["over"] == MEAN)]
    if rows.empty:
        return f"the non-linearity of {model} is not known, so the functional share is not defined"
    whole, shaped = rows[rows["given"] == NOTHING].iloc[0], rows[rows["given"] != NOTHING]
    if whole["lower"] > 0:
        verdict = (
            "more of the Wasserstein neurons’ separation of similar inputs lies on the negative side than of other neurons’"
        )
    elif whole["upper"] < 0:
        verdict = (
            "less of the Wasserstein neurons’ separation of similar inputs lies on the negative side than of other neurons’"
        )
    else:
        verdict = "there is no evidence that more of the Wasserstein neurons’ separation lies on the negative side"
    text = f"in {model} {verdict}: {interval(whole, 'estimate', bounds=BOUNDS)} of it beyond matched pairs, mean over layers"
    if shaped.empty:
        return text
    more = "which is more than their shape explains" if shaped.iloc[0]["lower"] > 0 else "so their shape may explain it"
    return f"{text}. At equal skewness, kurtosis and share of negatives {interval(shaped.iloc[0], 'estimate', bounds=BOUNDS)}, {more}"
