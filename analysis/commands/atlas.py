"""What the negative region of every selected neuron tells apart."""

from __future__ import annotations

import argparse

from analysis.commands.shared import load_statistics, save_tables, selected
from analysis.neurons.atlas import neuron_atlas
from analysis.neurons.profiles import neuron_histograms, neuron_story, pairs_in_context
from analysis.pairs.differentiation import most_differentiated
from analysis.results import PAIRS, load_dataset


def run(options: argparse.Namespace) -> None:
    """The atlas and the profiles of the selected neurons, into `--results`."""
    store, chosen = selected(options, PAIRS)
    pairs = load_dataset(options.results, PAIRS)
    table = neuron_atlas(store, chosen, pairs, n_clusters=options.clusters, seed=options.seed)
    furthest = most_differentiated(store, pairs, chosen, n_top=options.shown)
    save_tables(options.results, {
        "atlas": table,
        "neuron_histograms": neuron_histograms(store, chosen),
        "neuron_pairs": pairs_in_context(store, furthest),
        "neuron_story": neuron_story(load_statistics(options.results), chosen),
    })  # fmt: skip
    counts = ", ".join(f"{name or 'none'} {n}" for name, n in table["feature"].value_counts().items())
    print(f"{options.results}: {len(table)} neurons by the feature that their negative region follows: {counts}")
