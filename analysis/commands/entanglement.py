"""Statistics of every neuron, and the selections made from them."""

from __future__ import annotations

import argparse

import numpy as np

from actstore.selection.choosing import select
from actstore.store.schema import CHECKPOINT, LAYER
from analysis.commands.shared import check_folder, opened, provenance, save_tables
from analysis.labels import at_checkpoint
from analysis.neurons.statistics import histogram, neuron_statistics, neuron_table
from analysis.pairs.explanation import explained_by_shape, rank_correlations
from analysis.results import ENTANGLEMENT, save_dataset, save_selection
from analysis.training.cohorts import cohort_trajectory


def run(options: argparse.Namespace) -> None:
    """Statistics, selections and their tables, into `--out`."""
    store = opened(options.store, "extract", "preactivation", "mlp_input")
    check_folder(options, store, replaces=True)
    found = neuron_statistics(store)
    save_dataset(found, options.out, ENTANGLEMENT)
    last = at_checkpoint(found)
    chosen = select(last["wasserstein_distance"], options.fraction, provenance=provenance(found))
    save_selection(chosen, options.out, "top")
    for seed in range(options.random_seeds):
        control = select(last["wasserstein_distance"], options.fraction, "random", seed=seed, provenance=provenance(found))
        save_selection(control, options.out, f"random-{seed}")
    neurons = neuron_table(last, chosen)
    best = neurons.iloc[int(np.nanargmax(neurons["wasserstein_distance"].to_numpy()))]
    save_tables(options.out, {
        "neurons": neurons,
        "rank_correlations": rank_correlations(found),
        "explained_by_shape": explained_by_shape(last),
        "trajectory": cohort_trajectory(found["wasserstein_distance"], chosen),
        "negative_trajectory": cohort_trajectory(found["negative_wasserstein_frac"], chosen),
        "histogram": histogram(store, int(last[CHECKPOINT]), int(best["layer"]), int(best["neuron"])),
    })  # fmt: skip
    undefined = int(last["wasserstein_distance"].isnull().sum())
    print(f"{options.out}: {found.sizes[LAYER]} layers, {chosen.n_neurons} neurons selected, {undefined} of zero variance")
