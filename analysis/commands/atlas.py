"""The atlas: which distinctions the negative region of each selected neuron makes."""

from __future__ import annotations

import argparse

from analysis.commands.shared import load_statistics, save_tables, selected
from analysis.neurons.atlas import neuron_atlas
from analysis.neurons.every_neuron import neuron_profiles
from analysis.neurons.profiles import neuron_histograms, neuron_story, pairs_in_context
from analysis.pairs.differentiation import most_differentiated
from analysis.results import PAIRS, PROFILES, load_dataset, save_dataset


def run(options: argparse.Namespace) -> None:
    """The atlas of the selected neurons and the profile of every neuron, into `--results`."""
    store, selection = selected(options, PAIRS)
    pairs = load_dataset(options.results, PAIRS)
    atlas = neuron_atlas(store, selection, pairs, n_clusters=options.clusters, seed=options.seed)
    statistics = load_statistics(options.results)
    profiles = neuron_profiles(store, pairs, statistics, selection, n_clusters=options.clusters)
    save_dataset(profiles, options.results, PROFILES)
    furthest = most_differentiated(store, pairs, selection, n_top=options.shown)
    tables = {
        "atlas": atlas,
        "neuron_histograms": neuron_histograms(store, selection),
        "neuron_pairs": pairs_in_context(store, furthest),
        "neuron_story": neuron_story(statistics, selection),
    }
    save_tables(options.results, tables)
    counts = ", ".join(f"{feature or 'none'} {n}" for feature, n in atlas["feature"].value_counts().items())
    print(f"{options.results}: {len(atlas)} neurons by the feature that their negative region follows: {counts}")
