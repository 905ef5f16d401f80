"""Sums of squares and products of a mixed model: with these, the cost of its likelihood does not depend on the rows.

Owns the elimination of the factor with the most columns. Its own cross-product is block-diagonal, so that a small dense
matrix remains for every value of the variances.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]

_N_SPARSE = 32
"""A level that meets more columns than this goes to the dense product; 32² sparse entries cost as much as a dense row."""


@dataclass(frozen=True)
class Factor:
    """A grouping of rows whose levels have random effects."""

    codes: NDArray[np.intp]
    """(row,) Level of each row, 0 to `n_levels` - 1."""
    n_levels: int
    design: Array
    """(row, effect) Value that each effect multiplies; a column of ones is an intercept."""

    @property
    def n_effects(self) -> int:
        """Random effects of each level."""
        return int(self.design.shape[1])

    @property
    def n_columns(self) -> int:
        """Random effects of all levels."""
        return self.n_levels * self.n_effects

    @cached_property
    def indicator(self) -> sparse.csr_array:
        """(row, level × effect) The factor's columns of Z, the design matrix of the random effects."""
        n, m = self.design.shape
        columns = self.codes[:, None] * m + np.arange(m)
        return sparse.csr_array((self.design.ravel(), columns.ravel(), np.arange(n + 1) * m), shape=(n, self.n_columns))


class Crossproducts:
    """All products of Z, X and y, with the factor of the most columns eliminated.

    Parameters
    ----------
    x : sparse array (row, fixed)
    y : array (row,)
    factors : sequence of Factor
        At least one. The one with the most columns is eliminated; the others remain.
    """

    def __init__(self, x: sparse.csc_array, y: Array, factors: tuple[Factor, ...]) -> None:
        self.n_rows, self.n_fixed = x.shape
        self.eliminated = int(np.argmax([factor.n_columns for factor in factors]))
        self.remaining = [index for index in range(len(factors)) if index != self.eliminated]
        large = factors[self.eliminated]
        self.n_levels, self.n_effects = large.n_levels, large.n_effects
        small = sparse.hstack([factors[k].indicator for k in self.remaining], format="csr") if self.remaining else None
        fixed = np.column_stack([(x.T @ x).toarray(), x.T @ y])
        fixed = np.vstack([fixed, np.append(x.T @ y, y @ y)])
        mixed = np.column_stack([_dense(large.indicator.T @ x), large.indicator.T @ y])
        self.own = _own_blocks(large)
        self.n_remaining = 0 if small is None else small.shape[1]
        self.raw = np.zeros((self.n_remaining + self.n_fixed + 1,) * 2)
        self.raw[self.n_remaining :, self.n_remaining :] = fixed
        if small is not None:
            self.raw[: self.n_remaining, : self.n_remaining] = _dense(small.T @ small)
            side = np.column_stack([_dense(small.T @ x), small.T @ y])
            self.raw[: self.n_remaining, self.n_remaining :] = side
            self.raw[self.n_remaining :, : self.n_remaining] = side.T
        self._split(None if small is None else (large.indicator.T @ small).tocsr(), mixed)

    def _split(self, crossed: sparse.csr_array | None, mixed: Array) -> None:
        """Store the products with all other columns: dense for levels that meet many of them, else as pairs of columns."""
        if crossed is None or self.n_effects > 1:
            left = np.zeros((len(mixed), 0)) if crossed is None else _dense(crossed)
            self.dense, self.dense_rows = np.hstack([left, mixed]), np.arange(len(mixed))
            self.sparse_rows = np.arange(0)
            return
        n_met = np.diff(crossed.indptr)
        self.dense_rows, self.sparse_rows = np.flatnonzero(n_met > _N_SPARSE), np.flatnonzero(n_met <= _N_SPARSE)
        self.dense = np.hstack([_dense(crossed[self.dense_rows]), mixed[self.dense_rows]])
        self.thin, self.thin_mixed = crossed[self.sparse_rows], mixed[self.sparse_rows]
        self.pairs, self.pair_columns = _products(self.thin)

    def gram(self, weights: Array) -> Array:
        """M' W M (remaining + fixed + 1, same), where M holds the products of the eliminated factor with all other columns.

        Parameters
        ----------
        weights : array (level, effect, effect)
            The blocks of W, symmetric; at least 0 where the factor has one effect.
        """
        if self.n_effects > 1:
            blocks = self.dense.reshape(self.n_levels, self.n_effects, -1)
            return self.dense.T @ (weights @ blocks).reshape(self.dense.shape)
        root = np.sqrt(weights[:, 0, 0])
        half = root[self.dense_rows, None] * self.dense
        gram: Array = half.T @ half  # half the work: NumPy uses the symmetry
        if self.sparse_rows.size:
            root, k = root[self.sparse_rows, None], self.n_remaining
            sums = self.pairs @ root[:, 0] ** 2
            rows, columns = self.pair_columns
            gram[rows, columns] += sums
            is_mirrored = rows != columns
            gram[columns[is_mirrored], rows[is_mirrored]] += sums[is_mirrored]
            half = root * self.thin_mixed
            side = self.thin.T @ (root * half)
            gram[:k, k:] += side
            gram[k:, :k] += side.T
            gram[k:, k:] += half.T @ half
        return gram

    def times(self, right: Array) -> Array:
        """(level × effect, ...) M times a matrix or vector of (remaining + fixed + 1) rows."""
        product = np.zeros((self.n_levels * self.n_effects, *right.shape[1:]))
        product[self.dense_rows] = self.dense @ right
        if self.sparse_rows.size:
            product[self.sparse_rows] = self.thin @ right[: self.n_remaining] + self.thin_mixed @ right[self.n_remaining :]
        return product


def _own_blocks(factor: Factor) -> Array:
    """(level, effect, effect) A factor's block-diagonal cross-product with itself."""
    m = factor.n_effects
    blocks = np.empty((factor.n_levels, m, m))
    for a in range(m):
        for b in range(m):
            products = factor.design[:, a] * factor.design[:, b]
            blocks[:, a, b] = np.bincount(factor.codes, weights=products, minlength=factor.n_levels)
    return blocks


def _products(matrix: sparse.csr_array) -> tuple[sparse.csr_array, tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Products of every two entries of a row, as a matrix (pair of columns, row), and the columns of each pair."""
    n_rows, n_columns = matrix.shape
    counts = np.diff(matrix.indptr)
    flat, row, value = [], [], []
    for count in np.unique(counts[counts > 0]):
        rows = np.flatnonzero(counts == count)
        entries = matrix.indptr[rows][:, None] + np.arange(count)
        a, b = np.triu_indices(count)
        columns, values = matrix.indices[entries].astype(np.int64), matrix.data[entries]
        low, high = np.minimum(columns[:, a], columns[:, b]), np.maximum(columns[:, a], columns[:, b])
        flat.append((low * n_columns + high).ravel())
        row.append(np.repeat(rows, len(a)))
        value.append((values[:, a] * values[:, b]).ravel())
    if not flat:
        empty = np.arange(0)
        return sparse.csr_array((0, n_rows)), (empty, empty)
    pairs, index = np.unique(np.concatenate(flat), return_inverse=True)
    products = sparse.csr_array((np.concatenate(value), (index, np.concatenate(row))), shape=(len(pairs), n_rows))
    return products, (pairs // n_columns, pairs % n_columns)


def _dense(matrix: sparse.sparray) -> Array:
    dense: Array = matrix.toarray()
    return dense
