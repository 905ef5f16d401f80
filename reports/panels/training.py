"""Panels over training: distance of the cohort, change of weights, and grammar beside them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from reports.figures.curves import by_layer, lines, training_axis
from reports.panel import Panel, drawn
from reports.results import Results
from reports.sentences import listed, number, sentence
from reports.style import COLORS


def distances(results: Results) -> Panel | None:
    """Wasserstein distance over training, of the final cohort and of one frozen early."""
    if not results.main.has("cohorts") or results.main.tables["cohorts"]["checkpoint"].nunique() < 2:
        return None
    table = results.main.tables["cohorts"]
    chosen = sorted(set(table["chosen_at"]))

    def draw(axes: Any) -> None:
        for ax, step in zip(axes, reversed(chosen), strict=False):
            by_layer(table[table["chosen_at"] == step], "mean Wasserstein distance (SD)", ax)
            ax.set_title(f"cohort chosen at step {step}")
        for ax in axes[:-1]:
            ax.get_legend().remove()
        axes[-1].set_ylabel("")

    late = table[(table["chosen_at"] == chosen[-1]) & (table["cohort"] == "top")]
    early = table[(table["chosen_at"] == chosen[0]) & (table["cohort"] == "top")]
    first, last = table["checkpoint"].min(), table["checkpoint"].max()
    means = {
        name: [rows.loc[rows["checkpoint"] == step, "mean"].mean() for step in (first, last)]
        for name, rows in (("late", late), ("early", early))
    }
    said = f"from step {first} to {last} the mean distance of the cohort chosen at the end goes from {means['late'][0]:.3f} to {means['late'][1]:.3f} SD"
    if len(chosen) > 1:
        said += f", that of the cohort frozen at step {chosen[0]} from {means['early'][0]:.3f} to {means['early'][1]:.3f} SD"
    return Panel(
        "distance-over-training",
        "Wasserstein distance over training",
        drawn(draw, (10, 3.9), ncols=min(2, len(chosen)), sharey=True, squeeze=True) if len(chosen) > 1 else
        drawn(lambda ax: by_layer(table, "mean Wasserstein distance (SD)", ax), (8.5, 4.0)),
        "Lines: mean Wasserstein distance of a cohort (solid) and of all other neurons (dashed) by layer and training step.",
        sentence(said),
        "A cohort is chosen for being far out at its own checkpoint, so its rise towards it is partly selection; the cohort frozen early shows what "
        "stays. Bands: 95% normal interval over neurons. Checkpoints whose weights repeat an earlier one are left out.",
        f"models/{results.main.name}/analysis/cohorts.csv",
    )  # fmt: skip


def weights(results: Results) -> Panel | None:
    """How far the weights are from the final ones."""
    if not results.main.has("weights"):
        return None
    table = results.main.tables["weights"]
    table = table[table["chosen_at"] == table["chosen_at"].max()]
    if table["checkpoint"].nunique() < 2:
        return None
    half = [
        int(rows.loc[rows["mean"] <= rows["mean"].iloc[0] / 2, "checkpoint"].min())
        for _, rows in table[table["cohort"] == "top"].sort_values("checkpoint").groupby("layer")
    ]
    return Panel(
        "weights-over-training",
        "Change of the neurons' weights over training",
        drawn(lambda ax: by_layer(table, "cosine dissimilarity\nto the final weights", ax), (8.5, 4.0)),
        "Lines: mean cosine dissimilarity of neurons' input weights to their final ones, by layer and training step, cohort and rest.",
        sentence(f"half of the cohort's change of direction is done by step {min(half)} to {max(half)} (range over layers)"),
        "One less the cosine between a neuron's weights then and at the last checkpoint. Bands: 95% normal interval over neurons.",
        f"models/{results.main.name}/analysis/weights.csv",
    )


def grammar(results: Results) -> Panel | None:
    """The cohort's distance and the intact model's grammar, side by side."""
    run = results.ablation(
        lambda run: run.has("accuracy_by_phenomenon") and run.tables["accuracy_by_phenomenon"]["checkpoint"].nunique() > 1
    )
    if run is None or not results.main.has("cohorts"):
        return None
    accuracy = run.tables["accuracy_by_phenomenon"]
    accuracy = accuracy[(accuracy["rule"] == "none") & (accuracy["phenomenon"] == "all")]
    cohorts = results.main.tables["cohorts"]
    cohorts = cohorts[(cohorts["chosen_at"] == cohorts["chosen_at"].max()) & (cohorts["cohort"] == "top")]
    distance = cohorts.groupby("checkpoint", as_index=False)[["mean", "mean_lower", "mean_upper"]].mean()
    distance = distance.assign(what="cohort's mean distance").rename(columns={"mean_lower": "lower", "mean_upper": "upper"})
    score = accuracy.assign(what="accuracy, intact").rename(
        columns={"accuracy_lower": "lower", "accuracy_upper": "upper", "accuracy": "mean"}
    )

    def draw(axes: Any) -> None:
        lines(distance, "checkpoint", "mean", "what", axes[0], colors={"cohort's mean distance": COLORS["top"]})
        lines(score, "checkpoint", "mean", "what", axes[1], colors={"accuracy, intact": COLORS["random"]}, reference=0.5)
        for ax, label in zip(axes, ("Wasserstein distance (SD)", "accuracy on minimal pairs"), strict=True):
            training_axis(ax)
            ax.set_ylabel(label)
            ax.get_legend().remove()
        axes[0].set_xlabel("")

    both = distance.merge(score, on="checkpoint")
    rise = pd.Series(
        {name: float(both[f"mean_{side}"].iloc[-1] - both[f"mean_{side}"].iloc[0]) for name, side in (("d", "x"), ("a", "y"))}
    )
    pairs = {name: _steepest(both, f"mean_{side}") for name, side in (("distance", "x"), ("accuracy", "y"))}
    return Panel(
        "grammar-over-training",
        "Distance and grammar over training",
        drawn(draw, (7.5, 5.0), nrows=2, sharex=True),
        "Two curves over training steps: mean Wasserstein distance of the final cohort, and accuracy of the intact model on minimal pairs.",
        sentence(
            f"both change over training (distance by {number(rise['d'], 3, True)} SD, accuracy by {number(rise['a'], 3, True)}); the distance rises "
            f"most from step {pairs['distance'][0]} to {pairs['distance'][1]}, accuracy from {pairs['accuracy'][0]} to {pairs['accuracy'][1]}"
        ),
        f"{len(both)} checkpoints of one training run: that two curves rise together is no evidence that one needs the other. "
        "Mean over layers; macro-average over paradigms; the line is chance.",
        listed(
            [f"models/{results.main.name}/analysis/cohorts.csv", f"ablations/{run.name}/analysis/accuracy_by_phenomenon.csv"]
        ),
    )


def _steepest(table: pd.DataFrame, column: str) -> tuple[int, int]:
    """The two neighbouring checkpoints between which a column rises most."""
    table = table.sort_values("checkpoint")
    at = int(table[column].diff().to_numpy()[1:].argmax())
    return int(table["checkpoint"].iloc[at]), int(table["checkpoint"].iloc[at + 1])
