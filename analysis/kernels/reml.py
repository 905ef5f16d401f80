"""Linear mixed models with crossed factors by exact restricted maximum likelihood, on plain arrays.

Owns the likelihood, its gradient, the search for its maximum, and what the fit implies. The model is
`y = X β + Σ_k Z_k u_k + e` with `e ~ N(0, σ² I)` and, for every level of factor k, `u ~ N(0, σ² T_k T_k')`
with T_k lower triangular: the relative covariance factor, whose entries are θ.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from analysis.kernels.crossproducts import Array, Crossproducts, Factor

# The expected gain in deviance of one more Newton step: below it the search has converged.
_CONVERGED = 1e-8
_STEP = 1e-4
_SMALL = 0.1
_MAX_STEPS = 200
_MANY_COLUMNS = 1000


class Deviance(NamedTuple):
    """The restricted likelihood at one θ, split into its two parts."""

    log_determinant: float
    residual: float
    """Penalised residual sum of squares."""
    log_determinant_gradient: Array
    residual_gradient: Array
    inverse: Array
    """(kept + fixed, same) Inverse of the reduced system."""
    effects: Array
    """(kept + fixed,) Its solution: spherical random effects, then β of the scaled X."""


class _Sides(NamedTuple):
    """The deviance on either side of a point."""

    up: Deviance
    down: Deviance
    distance: float


class MixedFit(NamedTuple):
    """A fitted mixed model; all in the units of X and y."""

    coefficients: Array
    """(fixed,)"""
    covariance: Array
    """(fixed, fixed) Of the coefficients."""
    residual_variance: float
    covariances: tuple[Array, ...]
    """Of each factor, (effect, effect)."""
    random_effects: tuple[Array, ...]
    """Conditional means of each factor, (level, effect)."""
    whitening: tuple[Array, ...]
    """Of each factor, (level × effect, fixed): `V⁻¹ X σ² = X − Σ Z_k whitening_k`."""
    log_likelihood: float
    """Restricted, at its maximum."""
    theta_information: Array
    """(θ and σ, same) Half the Hessian of the deviance over what is not on its bound."""
    covariance_gradient: Array
    """(θ and σ, fixed, fixed) Derivative of `covariance` by each of these."""
    is_converged: bool
    singular: tuple[bool, ...]
    """Of each factor, whether its covariance has lost rank."""


def fit_mixed(x: sparse.csc_array, y: Array, factors: tuple[Factor, ...]) -> MixedFit:
    """Fit by restricted maximum likelihood.

    Parameters
    ----------
    x : sparse array (row, fixed)
        Of full column rank.
    y : array (row,)
    factors : sequence of Factor
        At least one.

    Returns
    -------
    MixedFit

    Notes
    -----
    The profiled deviance of Bates et al. (2015, eq. 41), `log|H(θ)| + (n − p)(1 + log(2π r²(θ)/(n − p)))`
    with H the cross-product of `[ZΛ X]` plus the identity on Z's part. All products are made once;
    then the factor with the most columns is eliminated block by block, so that an evaluation costs
    O(levels × (columns left)²) whatever the number of rows. The gradient is exact, and the search
    starts from moment estimates.
    """
    problem = _Problem(x, y, factors)
    # Small matrices gain nothing from threads, and lose much where other processes want the cores.
    small = len(problem.products.raw) < _MANY_COLUMNS
    with threadpool_limits(1 if small else None, "blas"):
        theta, is_found = problem.search()
        return problem.finish(theta, is_found)


@dataclass(frozen=True)
class _Slot:
    """Where a factor's entries of T are on θ."""

    start: int
    n_effects: int

    @cached_property
    def rows(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return np.tril_indices(self.n_effects)

    @property
    def stop(self) -> int:
        return self.start + len(self.rows[0])

    def triangle(self, theta: Array) -> Array:
        found = np.zeros((self.n_effects, self.n_effects))
        found[self.rows] = theta[self.start : self.stop]
        return found


class _Problem:
    """One data set, with its columns scaled and its response centred on the least-squares fit."""

    def __init__(self, x: sparse.csc_array, y: Array, factors: tuple[Factor, ...]) -> None:
        self.scale = np.sqrt(x.multiply(x).sum(axis=0))
        scaled = (x @ sparse.diags_array(1 / self.scale)).tocsc()
        # Least squares first: what it explains would cost digits in the sum of squares.
        self.start = np.linalg.solve((scaled.T @ scaled).toarray(), scaled.T @ y)
        self.products = Crossproducts(scaled, y - scaled @ self.start, factors)
        self.factors = factors
        self.freedom = self.products.n_rows - self.products.n_fixed
        slots, position = [], 0
        for factor in factors:
            slots.append(_Slot(position, factor.n_effects))
            position = slots[-1].stop
        self.slots = slots
        self.is_diagonal = np.concatenate([slot.rows[0] == slot.rows[1] for slot in slots])

    def evaluate(self, theta: Array) -> Deviance:
        """The deviance's parts, gradients and solution at θ."""
        products, kept = self.products, self.products.n_kept
        large = self.slots[products.absorbed].triangle(theta)
        inner = np.linalg.inv(large.T @ products.own @ large + np.eye(len(large)))
        weights = large @ inner @ large.T
        reduced = products.raw - products.gram(weights)
        system, cross, total = reduced[:-1, :-1], reduced[:-1, -1], reduced[-1, -1]
        shifted = self._left(theta, self._left(theta, system).T)
        shifted[np.arange(kept), np.arange(kept)] += 1
        root = np.linalg.cholesky(shifted)
        inverse = np.linalg.inv(shifted).astype(np.float64, copy=False)
        effects = inverse @ self._left(theta, cross)
        unscaled = self._right(theta, effects)
        residual = float(total - unscaled @ cross)
        log_determinant = float(2 * np.log(np.diag(root)).sum() - np.linalg.slogdet(inner)[1].sum())

        gradient = np.zeros((2, len(theta)))
        gap = cross - system @ unscaled
        pulled = self._left(theta, system).T
        for k, (first, last) in zip(products.kept, self._spans(), strict=True):
            m = self.slots[k].n_effects
            left, right = pulled[first:last].reshape(-1, m, len(cross)), inverse[first:last].reshape(-1, m, len(cross))
            for index, (a, b) in enumerate(zip(*self.slots[k].rows, strict=True), self.slots[k].start):
                gradient[0, index] = 2 * np.vdot(left[:, a], right[:, b])
                gradient[1, index] = -2 * gap[first:last].reshape(-1, m)[:, a] @ effects[first:last].reshape(-1, m)[:, b]
        spread = self._right(theta, self._right(theta, inverse).T)
        extended = np.append(-unscaled, 1)
        slot = self.slots[products.absorbed]
        for index, (a, b) in enumerate(zip(*slot.rows, strict=True), slot.start):
            step = np.zeros_like(large)
            step[a, b] = 1
            outer = step @ inner @ large.T
            change = large.T @ products.own @ step
            weight = outer + outer.transpose(0, 2, 1)
            weight = weight - large @ inner @ (change + change.transpose(0, 2, 1)) @ inner @ large.T
            moved = products.gram(weight)
            trace = 2 * np.einsum("lij,lji->", inner, change)
            gradient[0, index] = trace - np.vdot(spread, moved[:-1, :-1])
            gradient[1, index] = -extended @ moved @ extended
        return Deviance(log_determinant, residual, gradient[0], gradient[1], inverse, effects)

    def _spans(self) -> list[tuple[int, int]]:
        """First and last row of each kept factor in the reduced system."""
        ends = np.cumsum([0, *(self.factors[k].n_columns for k in self.products.kept)])
        return list(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True))

    def _scaled(self, theta: Array, values: Array, transpose: bool) -> Array:
        """Each kept factor's rows times its T, or T'; rows of the fixed effects as they are."""
        found = values.copy()
        for k, (first, last) in zip(self.products.kept, self._spans(), strict=True):
            triangle = self.slots[k].triangle(theta)
            blocks = values[first:last].reshape(-1, len(triangle), *values.shape[1:])
            found[first:last] = np.einsum("ba,lb...->la..." if transpose else "ab,lb...->la...", triangle, blocks).reshape(
                values[first:last].shape
            )
        return found

    def _left(self, theta: Array, values: Array) -> Array:
        return self._scaled(theta, values, transpose=True)

    def _right(self, theta: Array, values: Array) -> Array:
        return self._scaled(theta, values, transpose=False)

    def _profiled(self, theta: Array) -> tuple[float, Array]:
        """Deviance less a constant, and its gradient."""
        found = self.evaluate(theta)
        return found.log_determinant + self.freedom * float(np.log(found.residual)), self._profiled_gradient(found)

    def _first_guess(self) -> Array:
        """Moment estimates of the diagonal of every T, each effect as if it were alone."""
        products = self.products
        total = products.raw[-1, -1]
        own = np.diagonal(products.own, axis1=1, axis2=2)
        sums = products.times(np.append(np.zeros(len(products.raw) - 1), 1.0)).reshape(own.shape)
        squares = {products.absorbed: (own, sums)}
        for k, (first, last) in zip(products.kept, self._spans(), strict=True):
            shape = (-1, self.slots[k].n_effects)
            squares[k] = (np.diagonal(products.raw)[first:last].reshape(shape), products.raw[first:last, -1].reshape(shape))
        guess = np.zeros(len(self.is_diagonal))
        for k, slot in enumerate(self.slots):
            weight, value = squares[k]
            between = np.divide(value**2, weight, out=np.zeros_like(value), where=weight > 0).sum(axis=0) / total
            share = (between - len(weight) / products.n_rows) / (1 - len(weight) / products.n_rows)
            guess[slot.start : slot.stop][slot.rows[0] == slot.rows[1]] = np.sqrt(np.clip(share, 0.01, 0.9))
        return guess

    def search(self) -> tuple[Array, bool]:
        """The θ of the least deviance, by BFGS on the logarithms of the diagonals, and whether it ended.

        On that scale the deviance is nearly quadratic and its curvature about four times the
        levels, which spares the steps by which a search usually learns it.
        """
        curvature = np.concatenate(
            [np.full(slot.stop - slot.start, 4.0 * f.n_levels) for slot, f in zip(self.slots, self.factors, strict=True)]
        )
        point = np.where(self.is_diagonal, np.log(np.where(self.is_diagonal, self._first_guess(), 1)), 0)

        def theta_of(point: Array) -> Array:
            return np.where(self.is_diagonal, np.exp(np.where(self.is_diagonal, point, 0)), point)

        def at(point: Array) -> tuple[float, Array]:
            theta = theta_of(point)
            value, gradient = self._profiled(theta)
            return value, gradient * np.where(self.is_diagonal, theta, 1)

        value, gradient = at(point)
        inverse = np.diag(1 / curvature)
        for _ in range(_MAX_STEPS):
            step = -inverse @ gradient
            if -(step @ gradient) / 2 < _CONVERGED:
                return theta_of(point), True
            step /= max(1.0, np.abs(step).max())
            while (found := at(point + step))[0] > value + 1e-4 * (step @ gradient):
                step /= 4
                if np.abs(step).max() < 1e-12:
                    return theta_of(point), True
            change = found[1] - gradient
            point, value, gradient = point + step, *found
            if (bent := step @ change) > 0:
                shift = np.eye(len(step)) - np.outer(step, change) / bent
                inverse = shift @ inverse @ shift.T + np.outer(step, step) / bent
        return theta_of(point), False

    def _grounded(self, theta: Array) -> Array:
        """Small diagonals at zero where that is no worse: logarithms never get there."""
        value = self._profiled(theta)[0] if (theta[self.is_diagonal] < _SMALL).any() else np.inf
        for index in np.flatnonzero(self.is_diagonal & (theta < _SMALL)):
            lower = theta.copy()
            lower[index] = 0
            if (reached := self._profiled(lower)[0]) <= value + _CONVERGED:
                theta, value = lower, reached
        return theta

    def _free(self, theta: Array) -> NDArray[np.intp]:
        """The θ that are not on a bound; a column of T under a zero diagonal is of no use either way."""
        return np.flatnonzero(~self.is_diagonal | (theta > 0))

    def finish(self, theta: Array, is_found: bool) -> MixedFit:
        """Polish by Newton steps, then all that the maximum implies."""
        theta = self._grounded(theta)
        for _ in range(4):
            free = self._free(theta)
            found, slopes = self.evaluate(theta), self._slopes(theta, free)
            gradient = self._profiled_gradient(found)[free]
            step = np.linalg.lstsq(self._hessian(slopes, free), gradient, rcond=1e-10)[0]
            gain = abs(gradient @ step) / 2
            if gain < _CONVERGED:
                break
            moved = theta.copy()
            moved[free] -= step
            moved[self.is_diagonal] = np.maximum(moved[self.is_diagonal], 0)
            if self._profiled(moved)[0] >= self._profiled(theta)[0]:
                break
            theta = moved
        return self._described(theta, found, slopes, bool(is_found and gain < _CONVERGED))

    def _profiled_gradient(self, found: Deviance) -> Array:
        gradient: Array = found.log_determinant_gradient + self.freedom * found.residual_gradient / found.residual
        return gradient

    def _slopes(self, theta: Array, free: NDArray[np.intp]) -> list[_Sides]:
        """The deviance a little to either side of every free θ, for derivatives of what has no closed form."""
        found = []
        for index in free:
            size = abs(theta[index])
            width = min(_STEP * max(size, 0.01), size / 2) if self.is_diagonal[index] else _STEP
            step = np.zeros_like(theta)
            step[index] = width
            found.append(_Sides(self.evaluate(theta + step), self.evaluate(theta - step), 2 * width))
        return found

    def _hessian(self, slopes: list[_Sides], free: NDArray[np.intp]) -> Array:
        """Second derivative of the profiled deviance by the free θ."""
        columns = [(self._profiled_gradient(up) - self._profiled_gradient(down)) / width for up, down, width in slopes]
        hessian = np.array(columns).reshape(len(free), len(self.is_diagonal))[:, free]
        return (hessian + hessian.T) / 2

    def _described(self, theta: Array, found: Deviance, slopes: list[_Sides], is_converged: bool) -> MixedFit:
        products, kept, free = self.products, self.products.n_kept, self._free(theta)
        variance = found.residual / self.freedom
        sigma, rescale = np.sqrt(variance), np.outer(1 / self.scale, 1 / self.scale)
        unit = found.inverse[kept:, kept:] * rescale
        # The deviance that is not profiled, by θ and σ: log|H| + r²/σ² + (n − p) log σ².
        n = len(free)
        hessian = np.empty((n + 1, n + 1))
        for row, (up, down, width) in enumerate(slopes):
            column = (up.log_determinant_gradient - down.log_determinant_gradient) / width
            column = column + (up.residual_gradient - down.residual_gradient) / width / variance
            hessian[row, :n] = column[free]
        hessian[n, :n] = hessian[:n, n] = -2 * found.residual_gradient[free] / sigma**3
        hessian[n, n] = 6 * found.residual / variance**2 - 2 * self.freedom / variance
        by_theta = [(up.inverse - down.inverse)[kept:, kept:] / width for up, down, width in slopes]
        gradient = np.array([variance * change * rescale for change in by_theta] + [2 * sigma * unit])

        spherical = self._right(theta, found.effects)
        large = self.slots[products.absorbed].triangle(theta)
        weights = large @ np.linalg.inv(large.T @ products.own @ large + np.eye(len(large))) @ large.T
        effects: list[Array] = [np.empty(0)] * len(self.factors)
        whitening: list[Array] = [np.empty(0)] * len(self.factors)
        effects[products.absorbed] = self._spread(weights, products.times(np.append(-spherical, 1)[:, None]))[:, 0]
        parts = self._whitening(theta, weights)
        whitening[products.absorbed] = parts[0] * self.scale
        for k, (first, last), part in zip(products.kept, self._spans(), parts[1:], strict=True):
            effects[k], whitening[k] = spherical[first:last], part * self.scale
        log_likelihood = (
            found.log_determinant + 2 * np.log(self.scale).sum()
            + self.freedom * (1 + np.log(2 * np.pi * variance))
        ) / -2  # fmt: skip
        triangles = [slot.triangle(theta) for slot in self.slots]
        return MixedFit(
            coefficients=(self.start + found.effects[kept:]) / self.scale,
            covariance=variance * unit,
            residual_variance=variance,
            covariances=tuple(variance * triangle @ triangle.T for triangle in triangles),
            random_effects=tuple(
                value.reshape(factor.n_levels, factor.n_effects) for value, factor in zip(effects, self.factors, strict=True)
            ),
            whitening=tuple(whitening),
            log_likelihood=float(log_likelihood),
            theta_information=(hessian + hessian.T) / 4,
            covariance_gradient=gradient,
            is_converged=is_converged,
            singular=tuple(bool((np.diag(triangle) <= _STEP).any()) for triangle in triangles),
        )

    def _spread(self, weights: Array, values: Array) -> Array:
        """The eliminated factor's blocks of W times rows (level × effect, ...)."""
        blocks = values.reshape(len(weights), weights.shape[1], -1)
        return (weights @ blocks).reshape(values.shape)

    def _whitening(self, theta: Array, weights: Array) -> list[Array]:
        """What `V⁻¹` takes from the scaled X: of the eliminated factor, then of each kept one."""
        products, kept, p = self.products, self.products.n_kept, self.products.n_fixed
        reduced = (products.raw - products.gram(weights))[:-1, :-1]
        target = np.zeros((kept + p + 1, p))
        target[kept : kept + p] = np.eye(p)
        if kept:
            left = self._left(theta, reduced[:kept, :kept])
            system = self._left(theta, left.T) + np.eye(kept)
            solved = np.linalg.solve(system, self._left(theta, reduced[:kept, kept:]))
            target[:kept] = -self._right(theta, solved.astype(np.float64, copy=False))
        return [self._spread(weights, products.times(target)), *(-target[first:last] for first, last in self._spans())]
