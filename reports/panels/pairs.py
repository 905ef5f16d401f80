"""Panels of similar inputs: what one neuron separates, signs of the furthest pairs, smooth against ReLU, features."""

from __future__ import annotations

from typing import Any

import pandas as pd

from reports.basis import basis
from reports.figures import neurons as figures
from reports.figures.intervals import interval_plot
from reports.panel import Panel, drawn, rows_high
from reports.results import Results, Run
from reports.sentences import has_intervals, interval, listed, number, sentence
from reports.style import COLORS, layer_color

_SMOOTH = {"gelu", "silu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "swish", "quick_gelu"}


def separated(results: Results) -> Panel | None:
    """The similar inputs that one neuron drives furthest apart."""
    if not results.main.has("neuron_pairs", "neurons"):
        return None
    pairs = results.main.tables["neuron_pairs"].fillna("")
    distance = results.main.tables["neurons"].set_index(["layer", "neuron"])["wasserstein_distance"]
    candidates = pairs[["layer", "neuron"]].drop_duplicates()
    order = candidates.assign(d=[distance[tuple(key)] for key in candidates.to_numpy()]).sort_values("d", ascending=False)
    layer, neuron = (int(order.iloc[0][name]) for name in ("layer", "neuron"))
    rows = pairs[(pairs["layer"] == layer) & (pairs["neuron"] == neuron)]
    gap = (rows["preactivation_a"] - rows["preactivation_b"]).abs()
    first = rows.iloc[int(gap.to_numpy().argmax())]
    return Panel(
        "separated-pairs",
        f"One neuron separating similar inputs: layer {layer}, neuron {neuron}",
        drawn(lambda ax: figures.separated_pairs(rows, ax), (8.5, 0.5 * len(rows) + 1.0)),
        "Lines: pairs of similar inputs, each end at its pre-activation with its word in context.",
        sentence(
            f"both ends of each pair are negative and nearest neighbours as inputs, and the neuron holds them up to {gap.max():.2f} apart: "
            f"“{str(first['text_a']).strip()}” at {number(first['preactivation_a'], 2)} and “{str(first['text_b']).strip()}” at "
            f"{number(first['preactivation_b'], 2)}"
        ),
        "The negative–negative pairs of this neuron that lie furthest apart, no token twice. The red line is zero. Chosen for being extreme: "
        "an illustration, not a test.",
        f"models/{results.main.name}/analysis/neuron_pairs.csv",
    )


def signs(results: Results) -> Panel | None:
    """Signs of the furthest pairs against both baselines."""
    if not results.main.has("pair_signs"):
        return None
    table = results.main.tables["pair_signs"]
    top = table[table["cohort"] == "top"]

    def draw(axes: Any) -> None:
        for ax, kind in zip(axes, ("NN", "PN", "PP"), strict=True):
            figures.pair_signs(top, kind, ax)
        axes[0].set_ylabel(f"share of the {results.study.pairs.top} furthest pairs")
        axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)

    return Panel(
        "pair-signs",
        "Signs of the pairs driven furthest apart",
        drawn(draw, (8.5, 3.6), ncols=3, sharey=True),
        "Three panels: share of negative–negative, mixed and positive–positive pairs among those that selected neurons drive furthest "
        "apart, by layer, for similar inputs and two baselines.",
        sentence(_excess(results.main)),
        "Wasserstein neurons only. Baselines: furthest pairs of dissimilar inputs matched on token frequency, position and spelling, and what "
        "the neurons' sign frequencies alone predict (no fair null: a Gaussian neuron's furthest pairs are mostly mixed). "
        f"{_basis(top)}",
        f"models/{results.main.name}/analysis/pair_signs.csv",
    )


def _basis(table: pd.DataFrame) -> str:
    """What the intervals of pair signs rest on: documents and neurons."""
    return basis(table, table.assign(n_clusters=table["n_neurons"], cluster="neuron"))


def _excess(run: Run) -> str:
    """The negative–negative share of one model, in words."""
    table = run.tables["pair_signs"]
    nn = table[(table["signs"] == "NN") & (table["pool"] == "matched")].dropna(subset=["excess"])
    top, rest = (nn[nn["cohort"] == cohort].set_index("layer") for cohort in ("top", "rest"))
    if not has_intervals(nn, "excess"):
        return "without intervals there is no telling whether similar pairs are negative–negative more often than matched ones"
    above = [layer for layer, row in top.iterrows() if row["excess_lower"] > 0]
    beyond = [
        layer for layer in top.index if layer in rest.index and top.loc[layer, "excess_lower"] > rest.loc[layer, "excess_upper"]
    ]
    below = [
        layer for layer in top.index if layer in rest.index and top.loc[layer, "excess_upper"] < rest.loc[layer, "excess_lower"]
    ]
    said = f"in {len(above)} of {len(top)} layers similar pairs are negative–negative more often than matched ones"
    if not beyond and not below:
        return (
            said
            + ", for Wasserstein neurons as for the rest: no layer's intervals are apart, so there is no evidence that it is special to them"
        )
    parts = [f"in {len(layers)} {how} so" for layers, how in ((beyond, "more"), (below, "less")) if layers]
    return f"{said}; {listed(parts)} for Wasserstein neurons than for the rest"


def smooth_and_relu(results: Results) -> Panel | None:
    """The negative–negative share in every model, by its non-linearity."""
    runs = [run for run in results.models.values() if run.has("pair_signs")]
    if len(runs) < 2:
        return None
    frames = []
    for run in runs:
        table = run.tables["pair_signs"]
        rows = table[(table["signs"] == "NN") & (table["pool"] == "matched")].dropna(subset=["excess"])
        name = f"{run.name} ({run.attributes['nonlinearity']})"
        frames.append(rows.assign(category=[f"{name}, layer {layer}" for layer in rows["layer"]], run=run.name))
    table = pd.concat(frames, ignore_index=True).assign(
        cohort=lambda t: t["cohort"].map({"top": "Wasserstein neurons", "rest": "other neurons"})
    )
    colors = {"Wasserstein neurons": COLORS["top"], "other neurons": COLORS["rest"]}
    parts = []
    for run in runs:
        rows = table[(table["run"] == run.name) & (table["cohort"] == "Wasserstein neurons")]
        kind = "smooth" if run.attributes["nonlinearity"] in _SMOOTH else run.attributes["nonlinearity"]
        parts.append(f"{run.name} ({kind}) {number(rows['excess'].min(), 2, True)} to {number(rows['excess'].max(), 2, True)}")
    return Panel(
        "smooth-and-relu",
        "Smooth against ReLU",
        drawn(
            lambda ax: interval_plot(
                table, "category", "cohort", "excess", ax, colors=colors, reference=0,
                label="negative–negative share of similar pairs beyond matched ones",
            ),
            (7.5, rows_high(table["category"].nunique(), 2)),
        ),
        "Dots with intervals: excess of negative–negative pairs over matched pairs by model and layer, for Wasserstein neurons and others.",
        sentence(f"the excess of negative–negative pairs among Wasserstein neurons, range over layers: {listed(parts)}{_contrast(table, runs)}"),
        "Of the pairs that each neuron drives furthest apart. The paper finds the excess in smooth models and not under a ReLU. "
        f"{_basis(table)}",
        listed([f"models/{run.name}/analysis/pair_signs.csv" for run in runs]),
    )  # fmt: skip


def _contrast(table: pd.DataFrame, runs: list[Run]) -> str:
    """Whether a ReLU model shows less of it, as in the paper."""
    top = table[table["cohort"] == "Wasserstein neurons"].groupby("run")["excess"].max()
    smooth = [run.name for run in runs if run.attributes["nonlinearity"] in _SMOOTH]
    relu = [run.name for run in runs if run.attributes["nonlinearity"] == "relu"]
    if not smooth or not relu:
        return ""
    if top[relu].max() >= top[smooth].max():
        return "; under the ReLU it is not smaller, so the contrast that the paper reports is not seen here"
    return "; under the ReLU its largest value is smaller"


def features(results: Results) -> Panel | None:
    """Words that are over-represented in the furthest pairs."""
    if not results.main.has("pair_labels"):
        return None
    table = results.main.tables["pair_labels"]
    rows = table[(table["feature"] == "upos") & (table["value"].fillna("") != "")]
    if rows.empty:
        return None
    rows = rows.assign(layer=[f"layer {layer}" for layer in rows["layer"]]).sort_values("value", kind="stable")
    layers = list(dict.fromkeys(rows["layer"]))
    shown = layers if len(layers) <= 6 else [layers[round(k * (len(layers) - 1) / 5)] for k in range(6)]
    colors = {layer: layer_color(layers.index(layer), len(layers)) for layer in shown}
    found = rows[rows["q_value"] < 0.05]
    best = found.reindex(found["beyond"].abs().sort_values(ascending=False).index).head(4)
    said = [f"{row['value']} in {row['layer']} ({interval(row, 'beyond', 2, signed=True)})" for _, row in best.iterrows()]
    return Panel(
        "pair-features",
        "Which parts of speech the furthest pairs hold",
        drawn(
            lambda ax: interval_plot(
                rows[rows["layer"].isin(shown)], "value", "layer", "beyond", ax, colors=colors, reference=0,
                label="log-odds against similar pairs at large, beyond permutation",
            ),
            (7.5, rows_high(rows["value"].nunique(), len(shown))),
        ),
        "Dots with intervals: log-odds of each part of speech in the furthest pairs against all similar pairs, by layer.",
        sentence(
            f"{len(found)} of {len(rows)} (layer, part of speech) differ from chance at a false discovery rate of 5%; strongest: {listed(said)}"
            if len(found) else "no part of speech is over- or under-represented beyond chance at a false discovery rate of 5%"
        ),
        f"{basis(rows, method='as far as they spread when the neurons’ values are permuted')} Tests by the same, Benjamini–Hochberg over features, values and "
        "layers; relations and words are in pair_labels.csv.",
        f"models/{results.main.name}/analysis/pair_labels.csv",
    )  # fmt: skip
