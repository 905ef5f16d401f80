"""The cohorts of an ablation store, and intervals over their seeds and items.

Conditions that differ only in the seed are one cohort. Every interval is a percentile bootstrap that
draws the resampled units and, where neurons were drawn at random, the seeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from actstore.errors import StoreError
from actstore.schema import BASELINE, CHECKPOINT, LAYER, NEURON
from analysis.kernels.resampling import Bootstrap, cluster_bootstrap

N_REPLICATES = 2000


class Cell(NamedTuple):
    """One cohort under one intervention at one checkpoint."""

    labels: dict[str, object]
    conditions: NDArray[np.intp]
    """Positions on `condition`, one a seed."""
    step: int
    """Position on `checkpoint`."""
    baseline: int

    @property
    def is_intact(self) -> bool:
        """Whether nothing is edited."""
        return self.labels["intervention"] == BASELINE


def cells(store: xr.Dataset) -> Iterator[Cell]:
    """Every cohort under every intervention at every checkpoint, in the store's order."""
    names = ["intervention", "cohort", "rule", "fraction", "cohort_layers", "chosen_at"]
    frame = pd.DataFrame({name: store[name].values for name in names})
    intact = np.flatnonzero(frame["intervention"] == BASELINE)
    if not intact.size:
        raise StoreError(f"the store has no intact model to compare with: no condition {BASELINE!r}")
    baseline = int(intact[0])
    n_edited = store["is_edited"].sum([LAYER, NEURON]).values
    for step, checkpoint in enumerate(store[CHECKPOINT].values):
        for key, group in frame.groupby(names, sort=False):
            labels = {
                "checkpoint": int(checkpoint), **dict(zip(names, key, strict=True)),
                "n_neurons": int(n_edited[step, group.index[0]]), "n_seeds": len(group),
            }  # fmt: skip
            yield Cell(labels, group.index.to_numpy(), step, baseline)


def contrasts(store: xr.Dataset) -> Iterator[tuple[Cell, Cell]]:
    """Every ablated cohort against the intact model, and top cohorts against their controls.

    A control is a cohort by another rule, under the same intervention, of the same fraction, layers
    and choosing checkpoint.
    """
    alike = ("intervention", "fraction", "cohort_layers", "chosen_at")
    found = list(cells(store))
    for one, other in product(found, found):
        if one.step != other.step or one.is_intact:
            continue
        is_control = one.labels["rule"] == "top" and other.labels["rule"] != "top"
        if other.is_intact or (is_control and all(one.labels[name] == other.labels[name] for name in alike)):
            yield one, other


def against(other: Cell) -> object:
    """The name of what a cohort is compared with."""
    return "intact" if other.is_intact else other.labels["cohort"]


def bounds(name: str, boot: Bootstrap) -> dict[str, NDArray[np.float64]]:
    """Columns of an estimate and its 95% bounds."""
    lower, upper = boot.interval()
    return {name: boot.estimate, f"{name}_lower": lower, f"{name}_upper": upper}


def clustered(
    values: NDArray[np.float64], cluster: NDArray[np.intp], group: NDArray[np.intp], n_groups: int, seed: int
) -> Bootstrap:
    """Mean of `values` (seed, row) per group, resampling clusters and seeds."""
    shape = (int(cluster.max()) + 1, n_groups)
    sums = np.stack([_group_sums(row, cluster, group, shape) for row in values])
    counts = _group_sums(np.ones(len(cluster)), cluster, group, shape)
    return cluster_bootstrap(sums, counts, N_REPLICATES, np.random.default_rng(seed))


def _group_sums(
    values: NDArray[np.float64], cluster: NDArray[np.intp], group: NDArray[np.intp], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Sum of `values` (row,) in every (cluster, group)."""
    flat = np.bincount(cluster * shape[1] + group, weights=values, minlength=shape[0] * shape[1])
    return flat.reshape(shape).astype(np.float64)
