"""Pairs of similar inputs, and how far apart selected neurons drive them."""

from __future__ import annotations

import argparse

from actstore.store.schema import LAYER
from analysis.belonging import IDENTITY
from analysis.commands.shared import load_statistics, save_tables, selected
from analysis.labels import at_checkpoint
from analysis.pairs.contrasts import pair_contrasts
from analysis.pairs.differentiation import cohort_table, pair_differentiation
from analysis.pairs.functional import functional_differentiation, functional_table
from analysis.pairs.labels import pair_labels
from analysis.pairs.similarity import find_pairs
from analysis.results import DIFFERENTIATION, PAIRS, save_dataset


def run(options: argparse.Namespace) -> None:
    """Similar pairs, and how far apart neurons drive them, into `--results`."""
    store, selection = selected(options)
    pairs = find_pairs(store, n_tokens=options.pair_tokens, n_neighbours=options.neighbours, seed=options.seed)
    differentiation = pair_differentiation(store, pairs, selection, n_top=options.top, seed=options.seed)
    functional = functional_differentiation(store, pairs, selection, seed=options.seed)
    statistics = at_checkpoint(load_statistics(options.results))
    tables = {
        "pair_functional": functional_table(functional, selection),
        "pair_contrasts": pair_contrasts(store, pairs, selection, statistics, n_top=options.top, seed=options.seed),
        "pair_signs": cohort_table(differentiation),
        "pair_labels": pair_labels(store, pairs, selection, n_top=options.top, seed=options.seed),
    }
    identity = {key: store.attrs[key] for key in IDENTITY}
    save_dataset(pairs, options.results, PAIRS)  # when all is computed: what is there belongs together
    save_dataset(differentiation.assign_attrs(identity), options.results, DIFFERENTIATION)
    save_tables(options.results, tables)
    negative = differentiation["cohort_pair_frac"].sel(pool="similar", signs="NN").mean(LAYER).values
    fracs = f"{negative[0]:.1%} ({selection.rule}) and {negative[1]:.1%} (rest)"
    print(f"{options.results}: of the furthest similar pairs, negative–negative in {fracs}, mean over layers")
