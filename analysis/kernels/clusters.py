"""Means of values that come in clusters, with intervals that also cover for few clusters, on plain arrays.

Owns the method behind every interval of a mean: the parts of its sampling variance, each with its degrees of freedom.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import stdtrit

LEAST_CLUSTERS = 2
"""With fewer clusters an estimate has no interval."""
FEW_CLUSTERS = 20
"""With fewer clusters an interval depends on Student's t, and reports warn of it."""
_BISECTIONS = 60
_NEGLIGIBLE = 1e-9
"""A group whose other clusters have a smaller share than this counts as a single cluster."""


class Estimate(NamedTuple):
    """Estimates, and the parts of their sampling variance that come from independent sources."""

    value: NDArray[np.float64]
    """(row,)"""
    variance: NDArray[np.float64]
    """(source, row); NaN where it cannot be estimated."""
    freedom: NDArray[np.float64]
    """(source, row) Degrees of freedom of each part; infinite where its variance is fixed, not estimated."""

    def reach(self, tail: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Half the width (row,) of the interval that leaves out `tail` on each side.

        Notes
        -----
        The root of the sum of the sources' squared half-widths. A single t with Satterthwaite's degrees of freedom needs
        parts of similar degrees of freedom: with two draws of neurons beside many documents it covers 81 to 91%.

        References
        ----------
        Zou and Donner (2008); Howe (1974).
        """
        with np.errstate(invalid="ignore"):
            parts = stdtrit(self.freedom, tail) ** 2 * self.variance
        reach: NDArray[np.float64] = np.sqrt(np.where(self.variance == 0, 0, parts).sum(axis=0))
        return reach

    def interval(self, level: float = 0.95) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper bounds, (row,) each."""
        reach = self.reach((1 - level) / 2)
        return self.value - reach, self.value + reach

    def equivalence_bound(self) -> NDArray[np.float64]:
        """The least margin (row,) within which two one-sided tests at 5% call the value none: Schuirmann (1987)."""
        bound: NDArray[np.float64] = np.abs(self.value) + self.reach(0.05)
        return bound

    def detectable(self, power: float = 0.8) -> NDArray[np.float64]:
        """The smallest true value (row,) whose two-sided test at 5% rejects with this power, at the estimated variance.

        Notes
        -----
        The half-width of the 95% interval, and that of the one-sided interval of level `power`: Bloom (1995).
        """
        return self.reach(0.025) + self.reach(1 - power)

    def p_value(self) -> NDArray[np.float64]:
        """Two-sided p-value (row,) of a true value of 0: 1 less the level of the narrowest interval that holds 0."""
        low, high = np.zeros(self.value.shape), np.full(self.value.shape, 0.5)
        for _ in range(_BISECTIONS):
            tail = (low + high) / 2
            holds_zero = self.reach(tail) > np.abs(self.value)
            low, high = np.where(holds_zero, tail, low), np.where(holds_zero, high, tail)
        is_estimated = ~np.isnan(self.variance).any(axis=0)
        is_certain = (self.variance == 0).all(axis=0)
        return np.where(is_estimated, np.where(is_certain, (self.value == 0) * 1.0, low + high), np.nan)


@dataclass(frozen=True)
class Clusters:
    """The cluster and the group of every value; `Clusters.of` makes it.

    A cell holds the values of one cluster in one group. Values of one cluster may depend on each other in any way, within
    a group and between groups.
    """

    cell: NDArray[np.intp]
    """(value,) Cell of each value."""
    cluster: NDArray[np.intp]
    """(cell,)"""
    group: NDArray[np.intp]
    """(cell,)"""
    weights: NDArray[np.float64]
    """(row, group) Each row is one estimate: a weighted sum of the groups' means."""

    @classmethod
    def of(
        cls, cluster: NDArray[np.integer], group: NDArray[np.integer] | None = None, weights: NDArray[np.float64] | None = None
    ) -> Clusters:
        """Cells of values by cluster and group.

        Parameters
        ----------
        cluster : int array (value,)
            From 0.
        group : int array (value,), optional
            From 0, no group empty; by default all values are in one group.
        weights : array (row, group), optional
            By default each group is a row of its own.
        """
        groups = np.zeros(len(cluster), dtype=np.intp) if group is None else np.asarray(group, dtype=np.intp)
        n_groups = int(groups.max(initial=0)) + 1
        codes, cell = np.unique(np.asarray(cluster, dtype=np.intp) * n_groups + groups, return_inverse=True)
        return cls(cell, codes // n_groups, codes % n_groups, np.eye(n_groups) if weights is None else weights)

    @property
    def n_groups(self) -> int:
        """How many groups there are."""
        return int(self.weights.shape[1])

    @cached_property
    def count(self) -> NDArray[np.float64]:
        """(cell,) Number of values in each cell."""
        return np.bincount(self.cell, minlength=len(self.group)).astype(np.float64)

    @cached_property
    def total(self) -> NDArray[np.float64]:
        """(group,) Number of values in each group."""
        return self._of_groups(self.count)

    @cached_property
    def correction(self) -> Correction:
        """Correction of each group for few and unequal clusters."""
        return small_sample(self.count / self.total[self.group], self.group, self.n_groups)

    @cached_property
    def n_clusters(self) -> NDArray[np.int64]:
        """(row,) Number of clusters with a value in a group of nonzero weight."""
        incidence = self._by_cluster(np.ones(len(self.group)))
        counts: NDArray[np.int64] = (incidence @ (self.weights != 0).T.astype(np.float64) > 0).sum(axis=0)
        return counts

    def estimate(self, values: NDArray[np.float64], minus: NDArray[np.float64] | None = None, binary: bool = False) -> Estimate:
        r"""Weighted sums of the groups' means, and their variance over clusters and draws.

        Parameters
        ----------
        values : array (draw, value)
            The same values under several independent draws of the neurons that were changed; a single draw where none
            were drawn.
        minus : array (draw, value), optional
            Values to subtract, with draws of their own.
        binary : bool
            Whether values are 0 or 1: no change in a few of these does not mean that changes never happen.

        Returns
        -------
        Estimate
            One value a row; NaN in a row without any value. Sources of variance: clusters (NaN with fewer than two), the
            draws of `values`, the draws of `minus`, and rare changes of binary values.

        Notes
        -----
        With :math:`m_k` the mean of group k over draws, cluster c moves it by
        :math:`u_{ck} = (s_{ck} - m_k n_{ck}) / N_k`, and its variance is :math:`\sum_c a_{ck} u_{ck}^2` with the factors and
        the degrees of freedom of `small_sample`. A row's variance is that of :math:`\sum_k W_k u_{ck}`, with
        Satterthwaite's degrees of freedom over groups. A group of a single cluster is compared with the other groups
        whose weight has the same sign. Draws add the variance of their means, divided by the number of draws. The part
        that depends on cluster and draw at once is in both variances; it is subtracted from the first. Binary values add
        `rare_changes`.

        Time is linear in values and draws, with no replicates and no seed.

        References
        ----------
        Bell and McCaffrey (2002); Pustejovsky and Tipton (2018).
        """
        sides = [(self._of_draws(side), sign) for side, sign in ((values, 1), (minus, -1)) if side is not None]
        moves = np.sum([sign * moved.mean(axis=0) for (moved, _), sign in sides], axis=0)
        mean = np.sum([sign * means.mean(axis=0) for (_, means), sign in sides], axis=0)
        variance, freedom = self._over_clusters(moves, mean)
        variance = np.maximum(variance - np.sum([self._interaction(moved) for (moved, _), _ in sides], axis=0), 0)
        sources = [(np.where(self.n_clusters < LEAST_CLUSTERS, np.nan, variance), freedom)]
        for means in (means for (_, means), _ in sides if len(means) > 1):
            over_draws = (means @ self.weights.T).var(axis=0, ddof=1) / len(means)
            sources.append((over_draws, np.full(len(over_draws), len(means) - 1.0)))
        if binary:
            sources.append((rare_changes(self.n_clusters), np.full(len(self.weights), np.inf)))
        value = np.where(self.n_clusters > 0, self.weights @ mean, np.nan)
        return Estimate(value, np.stack([part for part, _ in sources]), np.stack([part for _, part in sources]))

    def _of_groups(self, of_cell: NDArray[np.float64]) -> NDArray[np.float64]:
        """(group,) Sums over cells."""
        return _sums(of_cell, self.group, self.n_groups)

    def _by_cluster(self, of_cell: NDArray[np.float64]) -> sparse.csr_array:
        """(cluster, group)"""
        shape = (int(self.cluster.max(initial=0)) + 1, self.n_groups)
        return sparse.csr_array((of_cell, (self.cluster, self.group)), shape=shape)

    def _of_draws(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How far each cell moves the mean of its group (draw, cell), and the means (draw, group)."""
        sums = np.stack([np.bincount(self.cell, weights=row, minlength=len(self.group)) for row in values])
        means = np.stack([self._of_groups(row) for row in sums]) / self.total
        moves = (sums - means[:, self.group] * self.count) / self.total[self.group] * np.sqrt(self.correction.factor)
        return moves, means

    def _squared(self, moves: NDArray[np.float64]) -> NDArray[np.float64]:
        """(row,) Sum over clusters of the squared move (cell,) of each row."""
        moved = self._by_cluster(moves)
        products = (moved.T @ moved).toarray()
        return np.asarray(np.einsum("rk,kl,rl->r", self.weights, products, self.weights, optimize=True))

    def _over_clusters(
        self, moves: NDArray[np.float64], mean: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Variance over clusters and its degrees of freedom, (row,) each."""
        single = np.bincount(self.group, minlength=self.n_groups) < LEAST_CLUSTERS
        between = np.where(single, self.weights * (mean - self._row_means(mean)), 0) ** 2
        parts = self.weights**2 * self._of_groups(moves**2) + between
        with np.errstate(invalid="ignore", divide="ignore"):
            freedom = parts.sum(axis=1) ** 2 / (parts**2 / self.correction.freedom).sum(axis=1)
        return self._squared(moves) + between.sum(axis=1), freedom

    def _row_means(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """(row, group) Weighted mean of the groups whose weight in the row has the same sign."""
        means = np.zeros(self.weights.shape)
        for sign in (1, -1):
            same = np.where(sign * self.weights > 0, self.weights, 0)
            total = same.sum(axis=1, keepdims=True)
            means += np.where(same != 0, (same @ mean)[:, None] / np.where(total == 0, 1, total), 0)
        return means

    def _interaction(self, moves: NDArray[np.float64]) -> NDArray[np.float64]:
        """(row,) Part of the variance that depends on cluster and draw at once, from moves (draw, cell)."""
        n_draws = len(moves)
        if n_draws < 2:
            return np.zeros(len(self.weights))
        parts = [self._squared(row) for row in moves - moves.mean(axis=0)]
        return np.asarray(np.sum(parts, axis=0) / (n_draws * (n_draws - 1)))


def rare_changes(n_clusters: NDArray[np.integer]) -> NDArray[np.float64]:
    r"""Variance that remains for a mean of binary changes when n clusters show none: :math:`2 / (n + 2)^2`.

    Notes
    -----
    The variance of one more change of either sign. Without any change the interval ends at 2.8 / (n + 2), near the 3 / n
    of Hanley and Lippman-Hand (1983).

    References
    ----------
    Bonett and Price (2012).
    """
    return 2 / (np.asarray(n_clusters) + 2.0) ** 2


class Correction(NamedTuple):
    """Correction of a cluster-robust variance for few and unequal clusters."""

    factor: NDArray[np.float64]
    """(cell,) Factor of each cluster's squared move."""
    freedom: NDArray[np.float64]
    """(group,) Degrees of freedom of the sum of squared moves."""


def small_sample(share: NDArray[np.float64], group: NDArray[np.intp], n_groups: int) -> Correction:
    r"""Factors that make a cluster-robust variance unbiased, and its degrees of freedom.

    Parameters
    ----------
    share : array (cell,)
        Share of a cluster in its group's mean; the shares of a group sum to 1.
    group : int array (cell,)
    n_groups : int

    Notes
    -----
    If all clusters have the same variance, whatever their size, :math:`E u_c^2` is :math:`w_c^2 (1 - 2 w_c + Q)` times that
    variance, with :math:`Q = \sum w^2`: the factors are the inverse of the bracket, and the degrees of freedom follow from
    the first two moments of the sum (Satterthwaite's, for normal clusters). Equal clusters: G / (G − 1), and G − 1.

    References
    ----------
    Bell and McCaffrey (2002), section 4; Imbens and Kolesár (2016).
    """
    squares = _sums(share**2, group, n_groups)
    single = squares > 1 - _NEGLIGIBLE
    bracket = np.where(single[group], 1, 1 - 2 * share + squares[group])
    weight = share**2 / bracket
    sums = [_sums(weight * share**power, group, n_groups) for power in range(3)]
    crossed = squares**2 * sums[0] ** 2 - 4 * squares * sums[0] * sums[1] + 2 * sums[0] * sums[2] + 2 * sums[1] ** 2
    own = _sums(weight**2 * (1 + 2 * squares[group] - 4 * share), group, n_groups)
    freedom = np.where(single, 1, squares**2 / np.where(single, 1, crossed + own))
    return Correction(1 / bracket, np.maximum(freedom, 1))


def _sums(values: NDArray[np.float64], group: NDArray[np.intp], n_groups: int) -> NDArray[np.float64]:
    """(group,) Sums of values."""
    return np.bincount(group, weights=values, minlength=n_groups).astype(np.float64)
