"""Emergence, overlap and weights over training."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pandas as pd
import xarray as xr

from actstore.selection.choosing import select
from actstore.selection.selection import Selection
from actstore.store.schema import CHECKPOINT, NOT_A_DUPLICATE
from analysis.commands.shared import load_statistics, provenance, save_tables, selected
from analysis.labels import at_checkpoint
from analysis.training.cohorts import cohort_overlap, cohort_trajectory
from analysis.training.emergence import emergence
from analysis.training.rise import rise
from analysis.training.weights import weight_dissimilarity


def run(options: argparse.Namespace) -> None:
    """Tables over training, into `--results`."""
    store, selection = selected(options)
    statistics = load_statistics(options.results)
    distance = statistics["wasserstein_distance"]
    early = at_checkpoint(statistics, _middle_step(distance) if options.early is None else options.early)
    early_selection = select(early["wasserstein_distance"], selection.fraction, provenance=provenance(statistics))
    is_early = early_selection.checkpoint != selection.checkpoint  # of two checkpoints, the middle one is the last
    cohorts = [selection, early_selection] if is_early else [selection]

    def of_cohorts(table: Callable[[Selection], pd.DataFrame]) -> pd.DataFrame:
        return pd.concat([table(cohort).assign(chosen_at=cohort.checkpoint) for cohort in cohorts], ignore_index=True)

    trajectories = of_cohorts(lambda cohort: cohort_trajectory(distance, cohort))
    if "neuron_weight" in store:
        weights = of_cohorts(lambda cohort: weight_dissimilarity(store["neuron_weight"], cohort))
    else:
        weights = trajectories.iloc[:0]  # the same columns
        print(f"{options.store} has no neuron_weight, as {store.attrs['site']} is no linear map: weights.csv has no rows")
    tables = {
        "emergence": of_cohorts(lambda cohort: emergence(distance, cohort, seed=options.seed)),
        "cohorts": trajectories,
        "weights": weights,
        "rise": rise(distance, early_selection),
        "overlap": cohort_overlap(distance, options.fraction or selection.fraction).to_dataframe().reset_index(),
    }
    save_tables(options.results, tables)
    steps = " and ".join(str(cohort.checkpoint) for cohort in cohorts)
    print(f"{options.results}: {', '.join(tables)}; cohorts chosen at step {steps}")


def _middle_step(distance: xr.DataArray) -> int:
    """Training step of the middle checkpoint, duplicates left out."""
    steps = distance[CHECKPOINT].values[distance["duplicate_of"].values == NOT_A_DUPLICATE]
    return int(steps[len(steps) // 2])
