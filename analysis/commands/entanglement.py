"""Statistics of every neuron, and the selections made from them."""

from __future__ import annotations

import argparse

import numpy as np

from actstore.selection.choosing import select
from actstore.selection.share import share_of_layer
from actstore.store.schema import CHECKPOINT, LAYER, NEURON
from analysis.commands.shared import check_folder, opened, provenance, save_tables
from analysis.labels import at_checkpoint
from analysis.neurons.distance_contrasts import distance_contrasts
from analysis.neurons.statistics import histogram, neuron_statistics, neuron_table
from analysis.pairs.explanation import explained_by_shape, rank_correlations
from analysis.results import ENTANGLEMENT, save_dataset, save_selection
from analysis.training.cohorts import cohort_trajectory


def run(options: argparse.Namespace) -> None:
    """Statistics, selections and their tables, into `--out`."""
    store = opened(options.store, "extract", "preactivation", "mlp_input")
    check_folder(options, store, replaces=True)
    statistics = neuron_statistics(store)
    save_dataset(statistics, options.out, ENTANGLEMENT)
    last = at_checkpoint(statistics)
    distance = last["wasserstein_distance"]
    fraction = share_of_layer(options.fraction, statistics.sizes[NEURON])
    top = select(distance, fraction, provenance=provenance(statistics))
    save_selection(top, options.out, "top")
    for seed in range(options.random_seeds):
        control = select(distance, fraction, "random", seed=seed, provenance=provenance(statistics))
        save_selection(control, options.out, f"random-{seed}")
    neurons = neuron_table(last, top)
    furthest = neurons.iloc[int(np.nanargmax(neurons["wasserstein_distance"].to_numpy()))]
    tables = {
        "neurons": neurons,
        "rank_correlations": rank_correlations(statistics),
        "explained_by_shape": explained_by_shape(last),
        "distance_contrasts": distance_contrasts(store, fraction),
        "trajectory": cohort_trajectory(statistics["wasserstein_distance"], top),
        "negative_trajectory": cohort_trajectory(statistics["negative_wasserstein_frac"], top),
        "histogram": histogram(store, int(last[CHECKPOINT]), int(furthest["layer"]), int(furthest["neuron"])),
    }
    save_tables(options.out, tables)
    n_undefined = int(distance.isnull().sum())
    print(f"{options.out}: {statistics.sizes[LAYER]} layers, {top.n_neurons} neurons selected, {n_undefined} of zero variance")
