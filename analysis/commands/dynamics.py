"""Emergence, overlap and weights over training."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pandas as pd

from actstore.selection.choosing import select
from actstore.selection.selection import Selection
from actstore.store.schema import CHECKPOINT, NOT_A_DUPLICATE
from analysis.commands.shared import load_statistics, provenance, save_tables, selected
from analysis.labels import at_checkpoint
from analysis.training.cohorts import cohort_overlap, cohort_trajectory
from analysis.training.emergence import emergence
from analysis.training.weights import weight_dissimilarity


def run(options: argparse.Namespace) -> None:
    """Tables over training, into `--results`."""
    store, chosen = selected(options)
    found = load_statistics(options.results)
    distance = found["wasserstein_distance"]
    steps = distance[CHECKPOINT].values[distance["duplicate_of"].values == NOT_A_DUPLICATE]
    early = at_checkpoint(found, int(steps[len(steps) // 2]) if options.early is None else options.early)
    cohorts = [chosen, select(early["wasserstein_distance"], chosen.fraction, provenance=provenance(found))]

    def of_both(table: Callable[[Selection], pd.DataFrame]) -> pd.DataFrame:
        return pd.concat([table(cohort).assign(chosen_at=cohort.checkpoint) for cohort in cohorts], ignore_index=True)

    trajectories = of_both(lambda cohort: cohort_trajectory(distance, cohort))
    if "neuron_weight" in store:
        weights = of_both(lambda cohort: weight_dissimilarity(store["neuron_weight"], cohort))
    else:
        weights = trajectories.iloc[:0]  # the same columns
        print(f"{options.store} has no neuron_weight, as {store.attrs['site']} is no linear map: weights.csv has no rows")
    tables = {
        "emergence": of_both(lambda cohort: emergence(distance, cohort, seed=options.seed)),
        "cohorts": trajectories,
        "weights": weights,
        "overlap": cohort_overlap(distance, options.fraction).to_dataframe().reset_index(),
    }
    save_tables(options.results, tables)
    print(
        f"{options.results}: {', '.join(tables)}; cohorts chosen at steps {cohorts[0].checkpoint} and {cohorts[1].checkpoint}"
    )
