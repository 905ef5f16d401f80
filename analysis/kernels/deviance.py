"""The restricted deviance of a linear mixed model with crossed factors, on plain arrays.

Owns the deviance and its gradient. The model is `y = X β + Σ_k Z_k u_k + e` with `e ~ N(0, σ² I)` and, for every level of
factor k, `u ~ N(0, σ² T_k T_k')`. T_k is lower triangular: the relative covariance factor, whose entries are θ.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from analysis.kernels.crossproducts import Array, Crossproducts, Factor


class Deviance(NamedTuple):
    """The restricted deviance at one θ, in its two parts."""

    log_determinant: float
    residual: float
    """Penalised residual sum of squares."""
    log_determinant_gradient: Array
    residual_gradient: Array
    inverse: Array
    """(remaining + fixed, same) Inverse of the reduced system."""
    effects: Array
    """(remaining + fixed,) Its solution: spherical random effects, then β of the scaled X."""


@dataclass(frozen=True)
class Triangle:
    """The entries of θ that are a factor's T."""

    start: int
    n_effects: int

    @cached_property
    def entries(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Row and column of each entry."""
        return np.tril_indices(self.n_effects)

    @property
    def stop(self) -> int:
        """Index after the last entry in θ."""
        return self.start + len(self.entries[0])

    def matrix(self, theta: Array) -> Array:
        """(effect, effect) T at θ."""
        matrix = np.zeros((self.n_effects, self.n_effects))
        matrix[self.entries] = theta[self.start : self.stop]
        return matrix


class Likelihood:
    """The deviance of one data set, with the columns of X scaled and y centred on the least-squares fit.

    Parameters
    ----------
    x : sparse array (row, fixed)
        Of full column rank.
    y : array (row,)
    factors : sequence of Factor
        At least one.
    """

    def __init__(self, x: sparse.csc_array, y: Array, factors: tuple[Factor, ...]) -> None:
        self.scale = np.sqrt(x.multiply(x).sum(axis=0))
        scaled = (x @ sparse.diags_array(1 / self.scale)).tocsc()
        # Without the least-squares fit, the sum of squares would lose digits to what the fixed effects explain.
        self.start = np.linalg.solve((scaled.T @ scaled).toarray(), scaled.T @ y)
        self.products = Crossproducts(scaled, y - scaled @ self.start, factors)
        self.factors = factors
        self.freedom = self.products.n_rows - self.products.n_fixed
        self.triangles: list[Triangle] = []
        for factor in factors:
            self.triangles.append(Triangle(self.triangles[-1].stop if self.triangles else 0, factor.n_effects))
        self.is_diagonal = np.concatenate([np.equal(*triangle.entries) for triangle in self.triangles])
        """(θ,) Which entries are on the diagonal of a T."""

    def evaluate(self, theta: Array) -> Deviance:
        """The deviance's parts, gradients and solution at θ."""
        products, n_remaining = self.products, self.products.n_remaining
        large, inner = self.eliminated(theta)
        reduced = products.raw - products.gram(large @ inner @ large.T)
        system, cross, total = reduced[:-1, :-1], reduced[:-1, -1], reduced[-1, -1]
        half_scaled = self.left(theta, system).T
        shifted = self.left(theta, half_scaled)
        shifted[np.arange(n_remaining), np.arange(n_remaining)] += 1
        root = np.linalg.cholesky(shifted)
        inverse = np.linalg.inv(shifted).astype(np.float64, copy=False)
        effects = inverse @ self.left(theta, cross)
        unscaled = self.right(theta, effects)
        residual = float(total - unscaled @ cross)
        log_determinant = float(2 * np.log(np.diag(root)).sum() - np.linalg.slogdet(inner)[1].sum())
        gradient = np.zeros((2, len(theta)))
        self._fill_remaining(gradient, half_scaled, inverse, cross - system @ unscaled, effects)
        spread = self.right(theta, self.right(theta, inverse).T)
        self._fill_eliminated(gradient, large, inner, spread, np.append(-unscaled, 1))
        return Deviance(log_determinant, residual, gradient[0], gradient[1], inverse, effects)

    def _fill_remaining(self, gradient: Array, half_scaled: Array, inverse: Array, gap: Array, effects: Array) -> None:
        """Gradients (part, θ) by the remaining factors' θ, in place."""
        for k, (first, last) in zip(self.products.remaining, self.spans(), strict=True):
            m = self.triangles[k].n_effects
            left, right = (values[first:last].reshape(-1, m, len(gap)) for values in (half_scaled, inverse))
            gap_of, effects_of = (values[first:last].reshape(-1, m) for values in (gap, effects))
            for index, (a, b) in enumerate(zip(*self.triangles[k].entries, strict=True), self.triangles[k].start):
                gradient[0, index] = 2 * np.vdot(left[:, a], right[:, b])
                gradient[1, index] = -2 * gap_of[:, a] @ effects_of[:, b]

    def _fill_eliminated(self, gradient: Array, large: Array, inner: Array, spread: Array, extended: Array) -> None:
        """Gradients (part, θ) by the eliminated factor's θ, in place."""
        products, triangle = self.products, self.triangles[self.products.eliminated]
        for index, (a, b) in enumerate(zip(*triangle.entries, strict=True), triangle.start):
            unit = np.zeros_like(large)
            unit[a, b] = 1
            outer = unit @ inner @ large.T
            change = large.T @ products.own @ unit
            weight = outer + outer.transpose(0, 2, 1)
            weight = weight - large @ inner @ (change + change.transpose(0, 2, 1)) @ inner @ large.T
            moved = products.gram(weight)
            trace = 2 * np.einsum("lij,lji->", inner, change)
            gradient[0, index] = trace - np.vdot(spread, moved[:-1, :-1])
            gradient[1, index] = -extended @ moved @ extended

    def eliminated(self, theta: Array) -> tuple[Array, Array]:
        """T of the eliminated factor (effect, effect), and the inverse blocks of its own system (level, effect, effect)."""
        large = self.triangles[self.products.eliminated].matrix(theta)
        inner = np.linalg.inv(large.T @ self.products.own @ large + np.eye(len(large)))
        return large, inner.astype(np.float64, copy=False)

    def spans(self) -> list[tuple[int, int]]:
        """First row, and the row after the last, of each remaining factor in the reduced system."""
        ends = np.cumsum([0, *(self.factors[k].n_columns for k in self.products.remaining)])
        return list(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True))

    def left(self, theta: Array, values: Array) -> Array:
        """Each remaining factor's rows times its T'; rows of the fixed effects as they are."""
        return self._scaled(theta, values, "ba,lb...->la...")

    def right(self, theta: Array, values: Array) -> Array:
        """Each remaining factor's rows times its T; rows of the fixed effects as they are."""
        return self._scaled(theta, values, "ab,lb...->la...")

    def _scaled(self, theta: Array, values: Array, product: str) -> Array:
        scaled = values.copy()
        for k, (first, last) in zip(self.products.remaining, self.spans(), strict=True):
            matrix = self.triangles[k].matrix(theta)
            blocks = values[first:last].reshape(-1, len(matrix), *values.shape[1:])
            scaled[first:last] = np.einsum(product, matrix, blocks).reshape(values[first:last].shape)
        return scaled

    def profiled(self, theta: Array) -> tuple[float, Array]:
        """The deviance at the best σ, less a constant, and its gradient by θ."""
        deviance = self.evaluate(theta)
        return deviance.log_determinant + self.freedom * float(np.log(deviance.residual)), self.profiled_gradient(deviance)

    def profiled_gradient(self, deviance: Deviance) -> Array:
        """Gradient by θ of the deviance at the best σ."""
        by_residual: Array = self.freedom * deviance.residual_gradient / deviance.residual
        return deviance.log_determinant_gradient + by_residual
