"""Panels of the neurons themselves: distances, one neuron, mapping difficulty, negative share, shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.rows import of_single_layers, over_all_layers, rest_of_neurons, wasserstein_neurons
from analysis.training.summaries import separate_layers
from reports.basis import basis
from reports.figures import neurons as figures
from reports.panel import Panel, drawn
from reports.registry import panel
from reports.results import Results
from reports.sentences import interval, listed, number, sentence
from reports.style import legend_above, only_left_labels, shared_legend

_SECTION = "Neurons far from Gaussian"
_DISTANCE = "Wasserstein distance (SD)"
_SCOPES = {"layer": "each layer", "all": "all layers together"}


@panel(_SECTION)
def wasserstein_distance(results: Results) -> Panel:
    """Wasserstein distance of every neuron, by layer."""
    neurons = results.main.tables["neurons"]
    is_selected = neurons["selected"].astype(bool)
    selected, others = (neurons.loc[mask, "wasserstein_distance"] for mask in (is_selected, ~is_selected))
    mean = rest_of_neurons(over_all_layers(results.main.last("trajectory")))
    n_undefined = int(neurons["wasserstein_distance"].isna().sum())
    undefined = f" {n_undefined} neurons of zero variance have none." if n_undefined else ""
    selection = results.selection
    return Panel(
        title="Wasserstein distance by layer",
        figure=drawn(lambda ax: figures.wasserstein_by_layer(neurons, ax), (7.5, 4.2)),
        alt=(
            f"Dots: the Wasserstein distance of each of {len(neurons)} neurons by layer; {len(selected)} selected ones are "
            "diamonds."
        ),
        finding=(
            f"The {len(selected)} selected neurons lie at {selected.min():.3f} to {selected.max():.3f} SD. The mean of the "
            f"others is {interval(mean.iloc[0], 'mean')} SD. Their furthest lies at {others.max():.3f} SD."
        ),
        note=(
            f"Checkpoint {selection.checkpoint}; top {selection.fraction:.1%} of {_SCOPES[selection.scope]}. Distance 0 is "
            f"exactly Gaussian.{undefined} {basis(mean.head(1), label='Interval')}"
        ),
        source=_source(results, "neurons", "trajectory"),
        is_headline=True,
    )


@panel(_SECTION)
def one_neuron(results: Results) -> Panel:
    """The distribution of the neuron furthest from Gaussian."""
    histogram = results.main.tables["histogram"]
    row = histogram.iloc[0]
    neurons = results.main.tables["neurons"]
    neuron = neurons[(neurons["layer"] == row["layer"]) & (neurons["neuron"] == row["neuron"])].iloc[0]
    return Panel(
        title=f"The neuron furthest from Gaussian: layer {row['layer']:.0f}, neuron {row['neuron']:.0f}",
        figure=drawn(lambda ax: figures.neuron_histogram(histogram, ax), (7.5, 3.6)),
        alt=(
            "Histogram of one neuron's standardised pre-activations with the standard normal density; the negative region is "
            "shaded."
        ),
        finding=(
            f"Its distance is {neuron['wasserstein_distance']:.3f} SD, {neuron['negative_wasserstein_frac']:.0%} of it on the "
            f"negative side; {neuron['negative_frac']:.0%} of its pre-activations are negative, and skewness is "
            f"{number(neuron['skewness'], 2)}."
        ),
        note=(
            f"Checkpoint {row['checkpoint']:.0f}, {row['n_tokens']:,.0f} tokens. Raw zero falls at "
            f"{number(row['zero'], 2, signed=True)} SD."
        ),
        source=_source(results, "histogram", "neurons"),
    )


@panel(_SECTION)
def mapping_difficulty(results: Results) -> Panel:
    """Wasserstein distance against mapping difficulty."""
    neurons = results.main.tables["neurons"]
    ranks = _ranks(results, "mapping_difficulty")
    correlation = ranks["rank_correlation"]
    n_unclear = int(((ranks["rank_correlation_lower"] <= 0) & (ranks["rank_correlation_upper"] >= 0)).sum())
    zero = f"; in {n_unclear} of {len(ranks)} layers the interval holds 0" if n_unclear else ", and no layer's interval holds 0"
    return Panel(
        title="Wasserstein distance and mapping difficulty",
        figure=drawn(lambda ax: _difficulty_scatter(neurons, ax), (7.5, 4.2)),
        alt=("Scatter of mapping difficulty against Wasserstein distance, one dot a neuron, selected neurons as diamonds."),
        finding=sentence(
            f"within layers the two rank neurons alike with a correlation of {number(correlation.min(), 2)} to "
            f"{number(correlation.max(), 2)}{zero}"
        ),
        note=(
            f"{len(neurons):,} neurons; rank correlations by layer are in rank_correlations.csv. "
            f"{basis(ranks, method='Fisher’s z')}"
        ),
        source=_source(results, "neurons", "rank_correlations"),
    )


def _difficulty_scatter(neurons: pd.DataFrame, ax: Any) -> None:
    labels = (_DISTANCE, "mapping difficulty")
    legend_above(figures.statistic_scatter(neurons, "wasserstein_distance", "mapping_difficulty", labels, ax))


@panel(_SECTION, needs="negative share by layer")
def negative_share(results: Results) -> Panel | None:
    """How much of the distance falls on the negative side."""
    if not results.main.has("negative_trajectory"):
        return None
    table = of_single_layers(results.main.last("negative_trajectory"))
    top, (higher, lower) = wasserstein_neurons(table), separate_layers(table, "mean", "top")
    return Panel(
        title="Where the distance lies: the negative side",
        figure=drawn(lambda ax: _share_plot(table, ax), (7.5, 3.4)),
        alt=("Dots with intervals: mean share of the Wasserstein distance that falls on negative pre-activations, by layer."),
        finding=sentence(
            f"of the selected neurons' distance {number(top['mean'].min(), 2)} to {number(top['mean'].max(), 2)} (range over "
            f"layers) falls on negative pre-activations; it is more than the others' in {len(higher)} of {len(top)} layers and "
            f"less in {len(lower)}, by intervals that do not overlap"
        ),
        note=basis(table),
        source=_source(results, "negative_trajectory"),
    )


def _share_plot(table: pd.DataFrame, ax: Any) -> None:
    figures.share_by_layer(table, ax)
    ax.set_ylabel("share of the distance\non negative pre-activations")
    legend_above(ax)


@panel(_SECTION)
def shape(results: Results) -> Panel:
    """Is the distance more than a detector of heavy tails? (A question of the paper's reviewers.)"""
    neurons = results.main.tables["neurons"]
    explained = results.main.last("explained_by_shape")
    skewness = _ranks(results, "abs_skewness")["rank_correlation"]
    highest = explained.iloc[int(explained["r2"].to_numpy().argmax())]
    return Panel(
        title="Distance against skewness and kurtosis",
        figure=drawn(lambda axes: _shape_scatters(neurons, axes), (8.5, 3.8), ncols=2, sharey=True),
        alt="Two scatters: Wasserstein distance against skewness and against excess kurtosis, one dot a neuron.",
        finding=sentence(
            f"shape explains {_how_much(float(highest['r2']))} of the ranking: |skewness|, kurtosis and bimodality together "
            f"account for {number(explained['r2'].min(), 2)} to {interval(highest, 'r2', 2)} of the rank variance, by layer, "
            f"and |skewness| alone correlates at {number(skewness.min(), 2)} to {number(skewness.max(), 2)}"
        ),
        note=(
            f"Adjusted R² of ranks (explained_by_shape.csv). {basis(explained, method='a jackknife')} A heavy tail alone "
            "makes a large distance."
        ),
        source=_source(results, "neurons", "explained_by_shape", "rank_correlations"),
    )


def _shape_scatters(neurons: pd.DataFrame, axes: Any) -> None:
    for ax, name, label in zip(axes, ("skewness", "excess_kurtosis"), ("skewness", "excess kurtosis"), strict=True):
        figures.statistic_scatter(neurons, name, "wasserstein_distance", (label, _DISTANCE), ax)
    shared_legend(axes)
    only_left_labels(axes)
    axes[1].set_xscale("symlog", linthresh=1)
    axes[1].xaxis.set_major_formatter("{x:g}")


def _how_much(share: float) -> str:
    """A share in a word."""
    if share > 0.5:
        return "much"
    return "some" if share > 0.2 else "little"


def _ranks(results: Results, statistic: str) -> pd.DataFrame:
    """Rank correlations of the distance with a statistic, where there is one."""
    table = results.main.last("rank_correlations")
    ranks: pd.DataFrame = table[(table["statistic"] == statistic) & np.isfinite(table["rank_correlation"])]
    return ranks


def _source(results: Results, *tables: str) -> str:
    return listed([f"models/{results.main.name}/analysis/{name}.csv" for name in tables])
