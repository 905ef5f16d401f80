"""Similar inputs, and what selected neurons make of them."""

from __future__ import annotations

import argparse

from actstore.store.schema import LAYER
from analysis.belonging import IDENTITY
from analysis.commands.shared import save_tables, selected
from analysis.pairs.differentiation import cohort_table, pair_differentiation
from analysis.pairs.labels import pair_labels
from analysis.pairs.similarity import find_pairs
from analysis.results import DIFFERENTIATION, PAIRS, save_dataset


def run(options: argparse.Namespace) -> None:
    """Similar pairs and what neurons make of them, into `--results`."""
    store, chosen = selected(options)
    pairs = find_pairs(store, n_tokens=options.pair_tokens, n_neighbours=options.neighbours, seed=options.seed)
    save_dataset(pairs, options.results, PAIRS)
    found = pair_differentiation(store, pairs, chosen, n_top=options.top, seed=options.seed)
    save_dataset(found.assign_attrs({key: store.attrs[key] for key in IDENTITY}), options.results, DIFFERENTIATION)
    save_tables(options.results, {
        "pair_signs": cohort_table(found),
        "pair_labels": pair_labels(store, pairs, chosen, n_top=options.top, seed=options.seed),
    })  # fmt: skip
    nn = found["cohort_pair_frac"].sel(pool="similar", signs="NN").mean(LAYER)
    print(f"{options.results}: of the furthest similar pairs, negative–negative in {nn.values[0]:.1%} ({chosen.rule}) "
          f"and {nn.values[1]:.1%} (rest), mean over layers")  # fmt: skip
