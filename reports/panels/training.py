"""Panels over training: distance of the cohort, change of weights, and grammar beside them."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.rows import of_intact, over_all_paradigms
from analysis.training.summaries import half_settled_steps, of_all_layers, steepest_rise
from reports.basis import basis
from reports.figures.curves import by_layer, lines, training_axis
from reports.panel import Panel, drawn
from reports.registry import panel
from reports.results import Results, Run
from reports.sentences import interval, listed, sentence
from reports.style import COLORS, CYCLE, only_left_labels, shared_legend

_SECTION = "Over training"


@panel(_SECTION, needs="Wasserstein distance over training (needs several checkpoints)")
def distance_over_training(results: Results) -> Panel | None:
    """Wasserstein distance over training, of the final cohort and of one frozen early."""
    if not results.main.has("cohorts") or results.main.tables["cohorts"]["checkpoint"].nunique() < 2:
        return None
    table = results.main.tables["cohorts"]
    first, last = table["chosen_at"].min(), table["chosen_at"].max()
    finding = (
        f"from step {table['checkpoint'].min()} to {table['checkpoint'].max()} the mean distance of the cohort chosen at the "
        f"end goes {_from_to(_mean_distance(table, last), 'mean')} SD"
    )
    if first < last:
        finding += f", that of the cohort frozen at step {first} {_from_to(_mean_distance(table, first), 'mean')} SD"
    return Panel(
        title="Wasserstein distance over training",
        figure=_distance_figure(table),
        alt=(
            "Lines: mean Wasserstein distance of a cohort (solid) and of all other neurons (dashed) by layer and training step."
        ),
        finding=sentence(finding),
        note=(
            "A cohort is chosen for being far out at its own checkpoint, so its rise towards it is partly selection; the "
            f"cohort frozen early shows what stays. {basis(table, label='Bands and intervals')} In the sentence those of all "
            "layers. Checkpoints whose weights repeat an earlier one are left out."
        ),
        source=f"models/{results.main.name}/analysis/cohorts.csv",
    )


def _distance_figure(table: pd.DataFrame) -> Figure:
    """Axes for each of the two cohorts that were chosen last, the last one first."""
    label = "mean Wasserstein distance (SD)"
    steps = sorted(set(table["chosen_at"]), reverse=True)[:2]
    if len(steps) == 1:
        return drawn(lambda ax: by_layer(table, label, ax), (8.5, 4.0))

    def draw(axes: Any) -> None:
        for ax, step in zip(axes, steps, strict=True):
            by_layer(table[table["chosen_at"] == step], label, ax)
            ax.set_title(f"cohort chosen at step {step}")
        shared_legend(axes, most=4)
        only_left_labels(axes)

    return drawn(draw, (10, 3.9), ncols=2, sharey=True)


@panel(_SECTION, needs="change of weights over training (needs several checkpoints)")
def weights_over_training(results: Results) -> Panel | None:
    """How far the weights are from the final ones."""
    if not results.main.has("weights"):
        return None
    table = results.main.tables["weights"]
    table = table[table["chosen_at"] == table["chosen_at"].max()]
    if table["checkpoint"].nunique() < 2:
        return None
    half = half_settled_steps(table, "top")
    return Panel(
        title="Change of the neurons' weights over training",
        figure=drawn(lambda ax: by_layer(table, "cosine dissimilarity\nto the final weights", ax), (8.5, 4.0)),
        alt=(
            "Lines: mean cosine dissimilarity of neurons' input weights to their final ones, by layer and training step, "
            "cohort and rest."
        ),
        finding=sentence(
            f"half of the cohort's change of direction is done by step {half.min():.0f} to {half.max():.0f} (range over layers)"
        ),
        note=("One less the cosine between a neuron's weights then and at the last checkpoint. " + basis(table, label="Bands")),
        source=f"models/{results.main.name}/analysis/weights.csv",
    )


@panel(_SECTION, needs="grammar and distance over training (needs an ablation at several checkpoints)")
def grammar_over_training(results: Results) -> Panel | None:
    """The cohort's distance and the intact model's grammar, side by side."""
    run = results.ablation(_has_accuracy_over_training)
    if run is None or not results.main.has("cohorts", "emergence"):
        return None
    accuracy = of_intact(over_all_paradigms(run.tables["accuracy_by_phenomenon"])).sort_values("checkpoint")
    cohorts = results.main.tables["cohorts"]
    last = int(cohorts["chosen_at"].max())
    distance = _mean_distance(cohorts, last)
    accuracies = [
        f"accuracy on {name} goes {_from_to(rows, 'accuracy')}" for name, rows in accuracy.groupby("benchmark", sort=False)
    ]
    return Panel(
        title="Distance and grammar over training",
        figure=drawn(lambda axes: _draw_distance_and_accuracy(distance, accuracy, axes), (7.5, 5.0), nrows=2, sharex=True),
        alt=(
            "Curves over training steps: mean Wasserstein distance of the final cohort, and accuracy of the intact model on "
            "minimal pairs."
        ),
        finding=sentence(
            f"the cohort's mean distance goes {_from_to(distance, 'mean')} SD{_steepest(results.main, last)}; "
            f"{listed(accuracies)}"
        ),
        note=(
            f"{accuracy['checkpoint'].nunique()} checkpoints of one training run: that curves rise together is no evidence "
            f"that one needs the other. {basis(distance, accuracy, label='Bands and intervals')} The distance is of the "
            "cohort in all layers, the accuracy macro-averaged over paradigms; the line is chance."
        ),
        source=(
            f"models/{results.main.name}/analysis/cohorts.csv and ablations/{run.name}/analysis/accuracy_by_phenomenon.csv"
        ),
    )


def _has_accuracy_over_training(run: Run) -> bool:
    return run.has("accuracy_by_phenomenon") and run.tables["accuracy_by_phenomenon"]["checkpoint"].nunique() > 1


def _draw_distance_and_accuracy(distance: pd.DataFrame, accuracy: pd.DataFrame, axes: Any) -> None:
    """The mean distance above, the accuracy on each benchmark below."""
    name = "the cohort chosen at the last checkpoint"
    distance = distance.assign(cohort=name)
    lines(distance, "checkpoint", "mean", "cohort", axes[0], colors={name: COLORS["top"]}, bounds=("mean_lower", "mean_upper"))
    colors = dict(zip(dict.fromkeys(accuracy["benchmark"]), cycle(CYCLE), strict=False))
    bounds = ("accuracy_lower", "accuracy_upper")
    lines(accuracy, "checkpoint", "accuracy", "benchmark", axes[1], colors=colors, reference=0.5, bounds=bounds)
    for ax, label in zip(axes, ("Wasserstein distance (SD)", "accuracy on minimal pairs"), strict=True):
        training_axis(ax)
        ax.set_ylabel(label)
    axes[0].set_xlabel("")


def _mean_distance(cohorts: pd.DataFrame, chosen_at: int) -> pd.DataFrame:
    """The mean distance of a cohort over the neurons of all layers, in the order of training."""
    return of_all_layers(cohorts[cohorts["chosen_at"] == chosen_at], "top")


def _from_to(table: pd.DataFrame, name: str) -> str:
    """An estimate at the first and at the last checkpoint, with intervals."""
    return f"from {interval(table.iloc[0], name)} to {interval(table.iloc[-1], name)}"


def _steepest(run: Run, chosen_at: int) -> str:
    """Where the mean distance of a cohort rises most steeply; empty if it does not rise."""
    table = run.tables["emergence"]
    steps = steepest_rise(table[table["chosen_at"] == chosen_at])
    return f", rising most steeply, per doubling of the step, from step {steps[0]} to {steps[1]}" if steps else ""
