"""Panels over training: distance of the cohort, change of weights, and grammar beside them."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import pandas as pd

from analysis.training.dynamics import ALL_LAYERS
from reports.basis import basis
from reports.figures.curves import by_layer, lines, training_axis
from reports.panel import Panel, drawn
from reports.results import Results, Run
from reports.sentences import interval, listed, sentence
from reports.style import COLORS, CYCLE


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

    late, early = (_over_layers(table, step) for step in (chosen[-1], chosen[0]))
    said = (
        f"from step {table['checkpoint'].min()} to {table['checkpoint'].max()} the mean distance of the cohort chosen at the end "
        f"goes {_from_to(late, 'mean')} SD"
    )
    if len(chosen) > 1:
        said += f", that of the cohort frozen at step {chosen[0]} {_from_to(early, 'mean')} SD"
    return Panel(
        "distance-over-training",
        "Wasserstein distance over training",
        drawn(draw, (10, 3.9), ncols=min(2, len(chosen)), sharey=True, squeeze=True) if len(chosen) > 1 else
        drawn(lambda ax: by_layer(table, "mean Wasserstein distance (SD)", ax), (8.5, 4.0)),
        "Lines: mean Wasserstein distance of a cohort (solid) and of all other neurons (dashed) by layer and training step.",
        sentence(said),
        "A cohort is chosen for being far out at its own checkpoint, so its rise towards it is partly selection; the cohort frozen early shows what "
        f"stays. {basis(table, what='Bands and intervals')} In the sentence those of all layers. Checkpoints whose weights repeat an earlier one are left out.",
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
        "One less the cosine between a neuron's weights then and at the last checkpoint. " + basis(table, what="Bands"),
        f"models/{results.main.name}/analysis/weights.csv",
    )


def grammar(results: Results) -> Panel | None:
    """The cohort's distance and the intact model's grammar, side by side."""
    run = results.ablation(
        lambda run: run.has("accuracy_by_phenomenon") and run.tables["accuracy_by_phenomenon"]["checkpoint"].nunique() > 1
    )
    if run is None or not results.main.has("cohorts", "emergence"):
        return None
    accuracy = run.tables["accuracy_by_phenomenon"]
    accuracy = accuracy[(accuracy["rule"] == "none") & (accuracy["phenomenon"] == "all")].sort_values("checkpoint")
    cohorts = results.main.tables["cohorts"]
    last = int(cohorts["chosen_at"].max())
    distance = _over_layers(cohorts, last)
    score = {str(name): rows for name, rows in accuracy.groupby("benchmark", sort=False)}

    def draw(axes: Any) -> None:
        lines(distance.assign(cohort="top"), "checkpoint", "mean", "cohort", axes[0], colors={"top": COLORS["top"]},
              bounds=("mean_lower", "mean_upper"))  # fmt: skip
        lines(accuracy, "checkpoint", "accuracy", "benchmark", axes[1], colors=dict(zip(score, cycle(CYCLE), strict=False)), reference=0.5,
              bounds=("accuracy_lower", "accuracy_upper"))  # fmt: skip
        for ax, label in zip(axes, ("Wasserstein distance (SD)", "accuracy on minimal pairs"), strict=True):
            training_axis(ax)
            ax.set_ylabel(label)
            ax.get_legend().set_visible(ax is axes[1] and len(score) > 1)
        axes[0].set_xlabel("")

    said = [f"accuracy on {name} goes {_from_to(rows, 'accuracy')}" for name, rows in score.items()]
    return Panel(
        "grammar-over-training",
        "Distance and grammar over training",
        drawn(draw, (7.5, 5.0), nrows=2, sharex=True),
        "Curves over training steps: mean Wasserstein distance of the final cohort, and accuracy of the intact model on minimal pairs.",
        sentence(
            f"the cohort's mean distance goes {_from_to(distance, 'mean')} SD{_steepest(results.main, last)}; {listed(said)}"
        ),
        f"{accuracy['checkpoint'].nunique()} checkpoints of one training run: that curves rise together is no evidence that one needs the other. "
        f"{basis(distance, accuracy, what='Bands and intervals')} The distance is of the cohort in all layers, the accuracy macro-averaged over paradigms; the line is chance.",
        listed(
            [f"models/{results.main.name}/analysis/cohorts.csv", f"ablations/{run.name}/analysis/accuracy_by_phenomenon.csv"]
        ),
    )


def _over_layers(cohorts: pd.DataFrame, chosen_at: int) -> pd.DataFrame:
    """The means of a cohort over the neurons of all layers, in the order of training."""
    rows = cohorts[(cohorts["chosen_at"] == chosen_at) & (cohorts["cohort"] == "top") & (cohorts["layer"] == ALL_LAYERS)]
    return rows.sort_values("checkpoint")


def _from_to(table: pd.DataFrame, name: str) -> str:
    """An estimate at the first and at the last checkpoint, with intervals."""
    return f"from {interval(table.iloc[0], name)} to {interval(table.iloc[-1], name)}"


def _steepest(run: Run, chosen_at: int) -> str:
    """Where the distance of a cohort over all layers rises most steeply, if it rises at all."""
    table = run.tables["emergence"]
    row = table[(table["chosen_at"] == chosen_at) & (table["layer"] == ALL_LAYERS)].iloc[0]
    if row["slope"] <= 0:
        return ""
    return f", rising most steeply, per doubling of the step, from step {row['step_from']:.0f} to {row['step_to']:.0f}"
