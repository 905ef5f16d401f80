"""Panels of the neurons themselves: distances, one neuron, difficulty, negative share, shape."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.training.dynamics import ALL_LAYERS
from reports.basis import basis
from reports.figures import neurons as figures
from reports.panel import Panel, drawn
from reports.results import Results
from reports.sentences import interval, listed, number, sentence

_WHERE = {"layer": "each layer", "all": "all layers together"}


def distances(results: Results) -> Panel:
    """Wasserstein distance of every neuron, by layer."""
    neurons = results.main.tables["neurons"]
    chosen = neurons["selected"].astype(bool)
    inside, outside = (neurons.loc[mask, "wasserstein_distance"] for mask in (chosen, ~chosen))
    means = results.main.last("trajectory")
    rest = means[(means["layer"] == ALL_LAYERS) & (means["cohort"] == "rest")].iloc[0]
    undefined = int(neurons["wasserstein_distance"].isna().sum())
    selection = results.selection
    note = f"Checkpoint {selection.checkpoint}; top {selection.fraction:.1%} of {_WHERE[selection.scope]}. Distance 0 is exactly Gaussian."
    return Panel(
        "wasserstein-distance",
        "Wasserstein distance by layer",
        drawn(lambda ax: figures.wasserstein_by_layer(neurons, ax), (7.5, 4.2)),
        f"Dots: the Wasserstein distance of each of {len(neurons)} neurons by layer; {chosen.sum()} selected ones are diamonds.",
        f"The {chosen.sum()} selected neurons lie at {inside.min():.3f} to {inside.max():.3f} SD; the mean of the others is "
        f"{interval(rest, 'mean')} SD and their furthest lies at {outside.max():.3f} SD.",
        note
        + (f" {undefined} neurons of zero variance have none." if undefined else "")
        + f" {basis(rest.to_frame().T, what='Interval')}",
        _source(results, "neurons", "trajectory"),
    )


def one_neuron(results: Results) -> Panel:
    """The distribution of the neuron furthest from Gaussian."""
    histogram = results.main.tables["histogram"]
    row = histogram.iloc[0]
    neurons = results.main.tables["neurons"]
    found = neurons[(neurons["layer"] == row["layer"]) & (neurons["neuron"] == row["neuron"])].iloc[0]
    return Panel(
        "one-neuron",
        f"The neuron furthest from Gaussian: layer {row['layer']:.0f}, neuron {row['neuron']:.0f}",
        drawn(lambda ax: figures.neuron_histogram(histogram, ax), (7.5, 3.6)),
        "Histogram of one neuron's standardised pre-activations with the standard normal density; the negative region is shaded.",
        f"Its distance is {found['wasserstein_distance']:.3f} SD, {found['negative_wasserstein_frac']:.0%} of it on the negative side; "
        f"{found['negative_frac']:.0%} of its pre-activations are negative, and skewness is {number(found['skewness'], 2)}.",
        f"Checkpoint {row['checkpoint']:.0f}, {row['n_tokens']:,.0f} tokens. Raw zero falls at {number(row['zero'], 2, signed=True)} SD.",
        _source(results, "histogram", "neurons"),
    )


def difficulty(results: Results) -> Panel:
    """Wasserstein distance against mapping difficulty."""
    neurons = results.main.tables["neurons"]
    ranks = _ranks(results, "mapping_difficulty")
    labels = ("Wasserstein distance (SD)", "mapping difficulty")
    low, high = ranks["rank_correlation"].min(), ranks["rank_correlation"].max()
    unclear = int(((ranks["rank_correlation_lower"] <= 0) & (ranks["rank_correlation_upper"] >= 0)).sum())
    return Panel(
        "mapping-difficulty",
        "Wasserstein distance and mapping difficulty",
        drawn(
            lambda ax: (
                figures.statistic_scatter(neurons, "wasserstein_distance", "mapping_difficulty", labels, ax),
                ax.legend(),
            ),
            (7.5, 4.2),
        ),
        "Scatter of mapping difficulty against Wasserstein distance, one dot a neuron, selected neurons as diamonds.",
        sentence(
            f"within layers the two rank neurons alike with a correlation of {number(low, 2)} to {number(high, 2)}"
            + (
                f"; in {unclear} of {len(ranks)} layers the interval holds 0"
                if unclear
                else ", and no layer's interval holds 0"
            )
        ),
        f"{len(neurons):,} neurons; rank correlations by layer are in rank_correlations.csv. {basis(ranks, method='Fisher’s z')}",
        _source(results, "neurons", "rank_correlations"),
    )


def negative_share(results: Results) -> Panel | None:
    """How much of the distance falls on the negative side."""
    if not results.main.has("negative_trajectory"):
        return None
    table = results.main.last("negative_trajectory")
    table = table[table["layer"] != ALL_LAYERS]
    top, rest = (table[table["cohort"] == cohort].set_index("layer") for cohort in ("top", "rest"))
    higher = (top["mean_lower"] > rest["mean_upper"]).sum()
    lower = (top["mean_upper"] < rest["mean_lower"]).sum()

    def draw(ax: object) -> None:
        made = figures.share_by_layer(table, ax)  # type: ignore[arg-type]
        made.set_ylabel("share of the distance\non negative pre-activations")
        made.legend()

    return Panel(
        "negative-share",
        "Where the distance lies: the negative side",
        drawn(draw, (7.5, 3.4)),
        "Dots with intervals: mean share of the Wasserstein distance that falls on negative pre-activations, by layer.",
        sentence(
            f"of the selected neurons' distance {number(top['mean'].min(), 2)} to {number(top['mean'].max(), 2)} (range over layers) falls on "
            f"negative pre-activations; it is more than the others' in {higher} of {len(top)} layers and less in {lower}, by intervals that do not overlap"
        ),
        basis(table),
        _source(results, "negative_trajectory"),
    )


def shape(results: Results) -> Panel:
    """Is the distance more than a detector of heavy tails? (A question of the paper's reviewers.)"""
    neurons = results.main.tables["neurons"]
    explained = results.main.last("explained_by_shape")

    def draw(axes: object) -> None:
        for ax, (name, label) in zip(axes, (("skewness", "skewness"), ("excess_kurtosis", "excess kurtosis")), strict=True):  # type: ignore[call-overload]
            figures.statistic_scatter(neurons, name, "wasserstein_distance", (label, "Wasserstein distance (SD)"), ax)
            if name == "excess_kurtosis":
                ax.set_xscale("symlog", linthresh=1)
                ax.xaxis.set_major_formatter("{x:g}")
            ax.set_ylabel("Wasserstein distance (SD)" if name == "skewness" else "")

    skew = _ranks(results, "abs_skewness")["rank_correlation"]
    worst = explained.iloc[int(explained["r2"].to_numpy().argmax())]
    return Panel(
        "shape",
        "Distance against skewness and kurtosis",
        drawn(draw, (8.5, 3.8), ncols=2, sharey=True),
        "Two scatters: Wasserstein distance against skewness and against excess kurtosis, one dot a neuron.",
        sentence(
            f"shape explains {_how_much(float(worst['r2']))} of the ranking: |skewness|, kurtosis and bimodality together account for {number(explained['r2'].min(), 2)} to "
            f"{interval(worst, 'r2', 2)} of the rank variance, by layer, and |skewness| alone correlates at {number(skew.min(), 2)} to {number(skew.max(), 2)}"
        ),
        f"Adjusted R² of ranks (explained_by_shape.csv). {basis(explained, method='a jackknife')} A heavy tail alone makes a large distance.",
        _source(results, "neurons", "explained_by_shape", "rank_correlations"),
    )


def _how_much(share: float) -> str:
    """A share in a word."""
    return "much" if share > 0.5 else "some" if share > 0.2 else "little"


def _ranks(results: Results, statistic: str) -> pd.DataFrame:
    table = results.main.last("rank_correlations")
    found: pd.DataFrame = table[(table["statistic"] == statistic) & np.isfinite(table["rank_correlation"])]
    return found


def _source(results: Results, *tables: str) -> str:
    return listed([f"models/{results.main.name}/analysis/{name}.csv" for name in tables])
