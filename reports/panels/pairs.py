"""Panels of similar inputs: what one neuron separates, signs of the furthest pairs, smooth against ReLU, features."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.rows import largest_categories_first, wasserstein_neurons
from analysis.training.summaries import separate_layers
from reports.basis import basis
from reports.figures import neurons as figures
from reports.figures.intervals import interval_plot
from reports.panel import Panel, drawn, plot_height
from reports.registry import panel
from reports.results import Results, Run
from reports.sentences import has_intervals, interval, largest_first, listed, number, sentence, sentences
from reports.style import COLORS, layer_color, only_left_labels, shared_legend

_SECTION = "Similar inputs driven apart"
_SMOOTH = {"gelu", "silu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "swish", "quick_gelu"}
_COHORTS = {"top": "Wasserstein neurons", "rest": "other neurons"}
_MOST_LAYERS = 6
"""A figure of more layers than this shows so many of them, evenly spread."""


@panel(_SECTION)
def separated_pairs(results: Results) -> Panel | None:
    """The similar inputs that one neuron drives furthest apart."""
    if not results.main.has("neuron_pairs", "neurons"):
        return None
    pairs = _pairs_of_furthest(results.main)
    layer, neuron = pairs["layer"].iloc[0], pairs["neuron"].iloc[0]
    gap = (pairs["preactivation_a"] - pairs["preactivation_b"]).abs()
    widest = pairs.iloc[int(gap.to_numpy().argmax())]
    return Panel(
        title=f"One neuron separating similar inputs: layer {layer}, neuron {neuron}",
        figure=drawn(lambda ax: figures.separated_pairs(pairs, ax), (8.5, 0.5 * len(pairs) + 1.0)),
        alt="Lines: pairs of similar inputs, each end at its pre-activation with its word in context.",
        finding=sentence(
            "both ends of each pair are negative and nearest neighbours as inputs, and the neuron holds them up to "
            f"{gap.max():.2f} apart: “{str(widest['text_a']).strip()}” at {number(widest['preactivation_a'], 2)} and "
            f"“{str(widest['text_b']).strip()}” at {number(widest['preactivation_b'], 2)}"
        ),
        note=(
            "The negative–negative pairs of this neuron that lie furthest apart, no token twice. Chosen "
            "for being extreme: an illustration, not a test."
        ),
        source=f"models/{results.main.name}/analysis/neuron_pairs.csv",
    )


def _pairs_of_furthest(run: Run) -> pd.DataFrame:
    """Pairs of the neuron furthest from Gaussian among those whose pairs were listed."""
    pairs, neurons = run.tables["neuron_pairs"].fillna(""), run.tables["neurons"]
    distance = neurons.set_index(["layer", "neuron"])["wasserstein_distance"]
    names = pairs[["layer", "neuron"]].drop_duplicates()
    distances = pd.Series([distance[tuple(name)] for name in names.to_numpy()], index=names.index)
    furthest = names.loc[distances.sort_values(ascending=False).index[0]]
    of_neuron: pd.DataFrame = pairs[(pairs["layer"] == furthest["layer"]) & (pairs["neuron"] == furthest["neuron"])]
    return of_neuron


@panel(_SECTION, needs="signs of the furthest pairs")
def pair_signs(results: Results) -> Panel | None:
    """Signs of the furthest pairs against both baselines."""
    if not results.main.has("pair_signs"):
        return None
    table = wasserstein_neurons(results.main.tables["pair_signs"])
    label = f"share of the {results.study.pairs.top} furthest pairs"
    return Panel(
        title="Signs of the pairs driven furthest apart",
        figure=drawn(lambda axes: _draw_signs(table, label, axes), (8.5, 3.6), ncols=3, sharey=True),
        alt=(
            "Three panels: share of negative–negative, mixed and positive–positive pairs among those that selected neurons "
            "drive furthest apart, by layer, for similar inputs and two baselines."
        ),
        finding=sentence(_excess(results.main)),
        note=(
            "Wasserstein neurons only. Baselines: furthest pairs of dissimilar inputs matched on token frequency, position "
            "and spelling, and what the neurons' sign frequencies alone predict (no fair null: a Gaussian neuron's furthest "
            f"pairs are mostly mixed). {_basis(table)}"
        ),
        source=f"models/{results.main.name}/analysis/pair_signs.csv",
        is_headline=True,
    )


def _draw_signs(table: pd.DataFrame, label: str, axes: Any) -> None:
    for ax, signs in zip(axes, ("NN", "PN", "PP"), strict=True):
        figures.pair_signs(table, signs, ax)
        ax.set_ylabel(label)
    shared_legend(axes)
    only_left_labels(axes)


def _basis(table: pd.DataFrame) -> str:
    """What the intervals of pair signs rest on: documents and neurons."""
    return basis(table, table.assign(n_clusters=table["n_neurons"], cluster="neuron"))


def _negative_excess(run: Run) -> pd.DataFrame:
    """Rows on the share of negative–negative pairs of similar inputs beyond that of matched ones."""
    table = run.tables["pair_signs"]
    return table[(table["signs"] == "NN") & (table["pool"] == "matched")].dropna(subset=["excess"])


def _excess(run: Run) -> str:
    """The negative–negative share of one model, in words."""
    table = _negative_excess(run)
    if not has_intervals(table, "excess"):
        return "without intervals there is no telling whether similar pairs are negative–negative more often than matched ones"
    top, (more, less) = wasserstein_neurons(table), separate_layers(table, "excess", "top")
    n_above = int((top["excess_lower"] > 0).sum())
    text = f"in {n_above} of {len(top)} layers similar pairs are negative–negative more often than matched ones"
    if not more and not less:
        return (
            f"{text}, for Wasserstein neurons as for the rest: no layer's intervals are apart, so there is no evidence that "
            "it is special to them"
        )
    parts = [f"in {len(layers)} {comparison} so" for layers, comparison in ((more, "more"), (less, "less")) if layers]
    return f"{text}; {listed(parts)} for Wasserstein neurons than for the rest"


@panel(_SECTION, needs="smooth against ReLU models (needs a second model)")
def smooth_and_relu(results: Results) -> Panel | None:
    """The negative–negative share in every model, by its non-linearity."""
    runs = [run for run in results.models.values() if run.has("pair_signs")]
    if len(runs) < 2:
        return None
    excess = {run.name: _negative_excess(run) for run in runs}
    ranges = [_range_of_top(run, excess[run.name]) for run in runs]
    return Panel(
        title="Smooth against ReLU",
        figure=_excess_figure(runs, excess),
        alt=(
            "Dots with intervals: excess of negative–negative pairs over matched pairs by model and layer, for Wasserstein "
            "neurons and others."
        ),
        finding=sentence(
            "the excess of negative–negative pairs among Wasserstein neurons, range over layers: "
            f"{listed(ranges)}{_contrast(runs, excess)}"
        ),
        note=(
            "Of the pairs that each neuron drives furthest apart. The paper finds the excess in smooth models and not under a "
            f"ReLU. {_basis(pd.concat(excess.values()))}"
        ),
        source=listed([f"models/{run.name}/analysis/pair_signs.csv" for run in runs]),
        is_headline=True,
        brief=sentences(
            [
                *(f"the negative–negative excess of Wasserstein neurons, by layer: {words}" for words in ranges),
                _contrast(runs, excess).removeprefix("; "),
            ]
        ),
    )


def _excess_figure(runs: list[Run], excess: dict[str, pd.DataFrame]) -> Figure:
    frames = []
    for run in runs:
        rows = excess[run.name]
        name = f"{run.name} ({run.attributes['nonlinearity']})"
        frames.append(
            rows.assign(category=[f"{name}, layer {layer}" for layer in rows["layer"]], cohort=rows["cohort"].map(_COHORTS))
        )
    table = pd.concat(frames, ignore_index=True)
    colors = {label: COLORS[cohort] for cohort, label in _COHORTS.items()}
    label = "negative–negative share of similar pairs beyond matched ones"
    return drawn(
        lambda ax: interval_plot(table, "category", "cohort", "excess", ax, colors=colors, reference=0, label=label),
        (7.5, plot_height(table["category"].nunique(), 2)),
    )


def _range_of_top(run: Run, excess: pd.DataFrame) -> str:
    """Smallest and largest excess of a model's Wasserstein neurons over its layers."""
    kind = "smooth" if run.attributes["nonlinearity"] in _SMOOTH else run.attributes["nonlinearity"]
    values = wasserstein_neurons(excess)["excess"]
    return f"{run.name} ({kind}) {number(values.min(), 2, True)} to {number(values.max(), 2, True)}"


def _contrast(runs: list[Run], excess: dict[str, pd.DataFrame]) -> str:
    """Whether the excess of ReLU models is smaller, as in the paper; empty without both kinds of model."""
    largest = {run.name: wasserstein_neurons(excess[run.name])["excess"].max() for run in runs}
    smooth = [largest[run.name] for run in runs if run.attributes["nonlinearity"] in _SMOOTH]
    relu = [largest[run.name] for run in runs if run.attributes["nonlinearity"] == "relu"]
    if not smooth or not relu:
        return ""
    if max(relu) >= max(smooth):
        return "; under the ReLU it is not smaller, so the contrast that the paper reports is not seen here"
    return "; under the ReLU its largest value is smaller"


@panel(_SECTION)
def pair_features(results: Results) -> Panel | None:
    """Words that are over-represented in the furthest pairs."""
    if not results.main.has("pair_labels"):
        return None
    table = results.main.tables["pair_labels"]
    rows = table[(table["feature"] == "upos") & (table["value"].fillna("") != "")]
    if rows.empty:
        return None
    rows = rows.assign(layer=[f"layer {layer}" for layer in rows["layer"]]).sort_values("value", kind="stable")
    return Panel(
        title="Which parts of speech the furthest pairs hold",
        figure=_features_figure(largest_categories_first(rows, rows, "value", "beyond")),
        alt=("Dots with intervals: log-odds of each part of speech in the furthest pairs against all similar pairs, by layer."),
        finding=sentence(_strongest_features(rows)),
        note=(
            f"{basis(rows, method='as far as they spread when the neurons’ values are permuted')} Tests by the same, "
            "Benjamini–Hochberg over features, values and layers; relations and words are in pair_labels.csv."
        ),
        source=f"models/{results.main.name}/analysis/pair_labels.csv",
    )


def _features_figure(rows: pd.DataFrame) -> Figure:
    layers = list(dict.fromkeys(rows["layer"]))
    n, n_drawn = len(layers), min(len(layers), _MOST_LAYERS)
    indices = range(n) if n == n_drawn else [round(k * (n - 1) / (n_drawn - 1)) for k in range(n_drawn)]
    colors = {layers[index]: layer_color(index, n) for index in indices}
    table = rows[rows["layer"].isin(list(colors))]
    label = "log-odds against similar pairs at large, beyond permutation"
    return drawn(
        lambda ax: interval_plot(table, "value", "layer", "beyond", ax, colors=colors, reference=0, label=label),
        (7.5, plot_height(rows["value"].nunique(), n_drawn)),
    )


def _strongest_features(rows: pd.DataFrame) -> str:
    """How many parts of speech differ from chance, and the four that do most."""
    significant = rows[rows["q_value"] < 0.05]
    if significant.empty:
        return "no part of speech is over- or under-represented beyond chance at a false discovery rate of 5%"
    strongest = [
        f"{row['value']} in {row['layer']} ({interval(row, 'beyond', 2, signed=True)})"
        for _, row in largest_first(significant, "beyond").head(4).iterrows()
    ]
    return (
        f"{len(significant)} of {len(rows)} (layer, part of speech) differ from chance at a false discovery rate of 5%; "
        f"strongest: {listed(strongest)}"
    )
