"""Means of pair signs over a cohort of neurons and over the rest, with intervals over clusters of tokens and neurons.

On plain arrays. Owns what is compared: the fractions of every pool, and the excess of the first pool over each other one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.kernels.clusters import LEAST_CLUSTERS, Estimate, small_sample
from analysis.kernels.pairs import SIGNS, fraction_moves, predicted_fractions, predicted_moves, sign_fractions
from analysis.kernels.parallel import blocks

_BLOCK_NEURONS = 64


class PoolSigns(NamedTuple):
    """The pairs of a pool that each neuron drives furthest apart."""

    n_below: NDArray[np.int64]
    """(neuron, chosen) How many of the two values are negative."""
    ends: NDArray[np.intp]
    """(neuron, chosen, 2) Clusters of both tokens."""


class _Cohort(NamedTuple):
    """Means over a cohort's neurons (statistic, signs): of each pool's fractions, then of the excess over each baseline."""

    mean: NDArray[np.float64]
    moves: NDArray[np.float64]
    """(statistic, signs, cluster) How far each cluster moves the means."""
    interaction: NDArray[np.float64]
    """The part of the means' variance that depends on cluster and neuron at once."""
    of_neurons: NDArray[np.float64]
    """The means' variance over neurons; 0 for a single neuron."""
    freedom: float


def cohort_signs(
    below: NDArray[np.bool], pools: Sequence[PoolSigns], cluster: NDArray[np.intp], chosen: NDArray[np.bool]
) -> dict[str, NDArray[np.float64]]:
    """Means over the chosen neurons and over the rest, with 95% bounds.

    Parameters
    ----------
    below : array (neuron, token)
        Whether values are negative.
    pools : sequence of PoolSigns
        The pool of two independent values, with a neuron's own frequency of negative ones, is added as the last.
    cluster : int array (token,)
        From 0.
    chosen : array (neuron,)

    Returns
    -------
    dict of str to array
        `cohort_pair_frac` (cohort, pool, signs); `cohort_excess` (cohort, baseline, signs), the first pool's fractions less
        each other pool's; `cohort_difference` (signs), the chosen neurons' excess over the second pool less the rest's;
        and the `…_bounds` (…, 2) of each. NaN for a cohort of no neuron; bounds are NaN for a single cluster.
    """
    n_clusters = int(cluster.max()) + 1
    factor, freedom = small_sample(np.bincount(cluster) / len(cluster), np.zeros(n_clusters, dtype=np.intp), 1)
    cohorts = [_cohort(np.flatnonzero(members), below, pools, cluster) for members in (chosen, ~chosen)]

    def estimate(*signed: tuple[_Cohort, int], of: int | slice = slice(None)) -> Estimate:
        moves = np.sum([sign * cohort.moves[of] for cohort, sign in signed], axis=0)
        over_clusters = (factor * moves**2).sum(axis=-1) - np.sum([cohort.interaction[of] for cohort, _ in signed], axis=0)
        over_clusters = np.maximum(over_clusters, 0) if n_clusters >= LEAST_CLUSTERS else np.full_like(over_clusters, np.nan)
        variance = np.stack([over_clusters, *(cohort.of_neurons[of] for cohort, _ in signed)])
        of_sources = [float(freedom[0]), *(cohort.freedom for cohort, _ in signed)]
        degrees = np.broadcast_to(np.reshape(of_sources, (-1, *[1] * over_clusters.ndim)), variance.shape)
        return Estimate(np.sum([sign * cohort.mean[of] for cohort, sign in signed], axis=0), variance, degrees)

    estimates = [estimate((cohort, 1)) for cohort in cohorts]
    n_pools = len(pools) + 1
    difference = estimate((cohorts[0], 1), (cohorts[1], -1), of=n_pools)
    arrays = {}
    for name, of in (("cohort_pair_frac", slice(n_pools)), ("cohort_excess", slice(n_pools, None))):
        arrays[name] = np.stack([of_cohort.value[of] for of_cohort in estimates])
        arrays[f"{name}_bounds"] = np.stack([np.stack(of_cohort.interval(), axis=-1)[of] for of_cohort in estimates])
    arrays["cohort_pair_frac_bounds"] = np.clip(arrays["cohort_pair_frac_bounds"], 0, 1)
    bounds = np.stack(difference.interval(), axis=-1)
    return arrays | {"cohort_difference": difference.value, "cohort_difference_bounds": bounds}


def _cohort(
    members: NDArray[np.intp], below: NDArray[np.bool], pools: Sequence[PoolSigns], cluster: NDArray[np.intp]
) -> _Cohort:
    n, n_clusters = len(members), int(cluster.max()) + 1
    shape = (2 * len(pools) + 1, len(SIGNS))
    if not n:
        undefined = np.full(shape, np.nan)
        return _Cohort(undefined, np.full((*shape, n_clusters), np.nan), undefined, undefined, np.nan)
    fractions, total, squares = [], np.zeros((*shape, n_clusters)), np.zeros(shape)
    for block in (members[part] for part in blocks(n, _BLOCK_NEURONS)):
        of_pools = [sign_fractions(pool.n_below[block]) for pool in pools] + [predicted_fractions(below[block].mean(axis=1))]
        moves = [fraction_moves(pool.n_below[block], pool.ends[block], n_clusters) for pool in pools]
        fractions.append(_with_excess(of_pools))
        moved = _with_excess([*moves, predicted_moves(below[block], cluster, n_clusters)])
        total += moved.sum(axis=1)
        squares += (moved**2).sum(axis=(1, 3))
    values = np.concatenate(fractions, axis=1)
    mean_moves = total / n
    interaction = (squares - n * (mean_moves**2).sum(axis=-1)) / (n * (n - 1)) if n > 1 else np.zeros(shape)
    of_neurons = values.var(axis=1, ddof=1) / n if n > 1 else np.zeros(shape)
    return _Cohort(values.mean(axis=1), mean_moves, interaction, of_neurons, float(max(n - 1, 1)))


def _with_excess(of_pools: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Pools on a leading axis, and after them the first pool less each of the others."""
    return np.stack([*of_pools, *(of_pools[0] - baseline for baseline in of_pools[1:])])
