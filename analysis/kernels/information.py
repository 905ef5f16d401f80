"""Clusters on a line, and their mutual information with labels, on plain arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from analysis.kernels.contingency import independence_p_value
from analysis.kernels.permutation import gamma_p_value

_MAX_ITERATIONS = 100
_SAME = 1e-9
"""Relative change of the centres at which they stay."""


class Information(NamedTuple):
    """Mutual information of a clustering with one labelling."""

    mutual_information: float
    """In nats, corrected for bias (Miller and Madow); for independent labels near 0, and sometimes below."""
    explained_frac: float
    """The mutual information over the entropy of the clusters: the share of the clustering that the labels explain."""
    p_value: float
    """Of independence."""


def clusters_on_a_line(values: NDArray[np.floating], n_clusters: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Clusters of numbers with the least squared distance, by Lloyd's algorithm from the quantiles on.

    Parameters
    ----------
    values : array (item,)
    n_clusters : int
        At most so many; fewer where there are fewer different values.

    Returns
    -------
    labels : int array (item,)
        From 0, in the order of the values.
    centres : array (cluster,)
        Means, ascending.
    """
    ordered = np.sort(values.astype(np.float64))
    total = np.concatenate([[0.0], np.cumsum(ordered)])
    centres = np.unique(np.quantile(ordered, (np.arange(n_clusters) + 0.5) / n_clusters))
    for _ in range(_MAX_ITERATIONS):
        edges = np.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2)
        edges = np.unique(np.concatenate([[0], edges, [len(ordered)]]))
        moved = np.diff(total[edges]) / np.diff(edges)
        if len(moved) == len(centres) and (np.abs(moved - centres) <= _SAME * np.abs(centres)).all():
            break
        centres = moved
    return np.searchsorted((centres[1:] + centres[:-1]) / 2, values, side="right"), centres


def information(
    clusters: NDArray[np.int64], labels: NDArray[np.int64], n_permutations: int, rng: np.random.Generator
) -> Information:
    r"""Mutual information of two labellings of the same items, and its p-value.

    Parameters
    ----------
    clusters, labels : int arrays (item,)
        From 0.
    n_permutations : int
        At least 2.
    rng : numpy Generator

    Returns
    -------
    Information
        NaN where one of the two has a single value.

    Notes
    -----
    :math:`I = \sum_{cl} \hat p_{cl} \log \frac{\hat p_{cl}}{\hat p_c \hat p_l} - \frac{(C-1)(L-1)}{2n}` with the
    numbers C, L of values that occur (Miller, 1955). The p-value is `gamma_p_value`'s: under independence, I is close to
    a multiple of a chi-square variable.
    """
    n_values = [len(np.unique(codes)) for codes in (clusters, labels)]
    if min(n_values, default=1) < 2:
        return Information(np.nan, np.nan, np.nan)
    shape = int(clusters.max()) + 1, int(labels.max()) + 1
    first_cell = clusters * shape[1]
    margins = sum(_entropy(np.bincount(codes)) for codes in (clusters, labels))

    def plug_in(labels: NDArray[np.int64]) -> float:
        return margins - _entropy(np.bincount(first_cell + labels, minlength=shape[0] * shape[1]))

    observed = plug_in(labels)
    null = np.array([plug_in(rng.permutation(labels)) for _ in range(n_permutations)])
    explained = _explained(observed, np.bincount(clusters), np.bincount(labels))
    return Information(*explained, float(gamma_p_value(observed, null)))


def information_of_counts(counts: NDArray[np.int64]) -> Information:
    """Mutual information of two labellings from the counts of their pairs; the p-value needs no permutation.

    Parameters
    ----------
    counts : int array (cluster, label)
        How many items have both.

    Returns
    -------
    Information
        As `information` gives it, but for the p-value, which is `independence_p_value`'s; NaN where one of the two
        labellings has a single value.
    """
    clusters, labels = (margin[margin > 0] for margin in (counts.sum(axis=1), counts.sum(axis=0)))
    if min(len(clusters), len(labels)) < 2:
        return Information(np.nan, np.nan, np.nan)
    plug_in = _entropy(clusters) + _entropy(labels) - _entropy(counts.ravel())
    return Information(*_explained(plug_in, clusters, labels), independence_p_value(counts))


def _explained(plug_in: float, clusters: NDArray[np.int64], labels: NDArray[np.int64]) -> tuple[float, float]:
    """Miller's correction of a plug-in estimate, from the counts of clusters and of labels; its share of the clusters' entropy."""
    n_clusters, n_labels = np.count_nonzero(clusters), np.count_nonzero(labels)
    unbiased = plug_in - (n_clusters - 1) * (n_labels - 1) / (2 * int(clusters.sum()))
    return unbiased, unbiased / _entropy(clusters)


def _entropy(counts: NDArray[np.int64]) -> float:
    """Plug-in entropy of counts, in nats."""
    p = counts / counts.sum()
    return float(-xlogy(p, p).sum())
