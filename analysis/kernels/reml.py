"""Linear mixed models with crossed factors by exact restricted maximum likelihood, on plain arrays.

Owns the search for the maximum of the likelihood, and the estimates that follow from it. The likelihood, and the meaning of
θ, are in `analysis.kernels.deviance`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from analysis.kernels.crossproducts import Array, Factor
from analysis.kernels.deviance import Deviance, Likelihood

_CONVERGED = 1e-8
"""The search ends when one more Newton iteration is expected to lower the deviance by less."""
_WIDTH = 1e-4
"""Distance in θ of finite differences."""
_SMALL = 0.1
_MAX_ITERATIONS = 200
_MANY_COLUMNS = 1000


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
    """(θ and σ, same) Half the Hessian of the deviance over the entries that are not on a bound."""
    covariance_gradient: Array
    """(θ and σ, fixed, fixed) Derivative of `covariance` by each of these entries."""
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
    The profiled deviance of Bates et al. (2015, eq. 41), `log|H(θ)| + (n − p)(1 + log(2π r²(θ)/(n − p)))`, where H is the
    cross-product of `[ZΛ X]` plus the identity on Z's part. All products are computed once. Then the factor with the most
    columns is eliminated block by block, so that an evaluation costs O(levels × (remaining columns)²) for any number of
    rows. The gradient is exact, and the search starts from moment estimates.
    """
    likelihood = Likelihood(x, y, factors)
    is_small = len(likelihood.products.raw) < _MANY_COLUMNS  # small matrices gain nothing from threads
    with threadpool_limits(1 if is_small else None, "blas"):
        theta, has_ended = _search(likelihood)
        return _polished(likelihood, theta, has_ended)


def _search(likelihood: Likelihood) -> tuple[Array, bool]:
    """The θ of the least deviance, by BFGS on the logarithms of the diagonals, and whether the search ended.

    On this scale the deviance is nearly quadratic, with a curvature of about four times the number of levels. Starting
    from this curvature saves many iterations.
    """
    is_diagonal = likelihood.is_diagonal

    def theta_at(point: Array) -> Array:
        return np.where(is_diagonal, np.exp(np.where(is_diagonal, point, 0)), point)

    def profiled(point: Array) -> tuple[float, Array]:
        theta = theta_at(point)
        value, gradient = likelihood.profiled(theta)
        return value, gradient * np.where(is_diagonal, theta, 1)

    point = np.where(is_diagonal, np.log(np.where(is_diagonal, _first_guess(likelihood), 1)), 0)
    value, gradient = profiled(point)
    sides = zip(likelihood.triangles, likelihood.factors, strict=True)
    curvature = np.concatenate([np.full(triangle.stop - triangle.start, 4.0 * f.n_levels) for triangle, f in sides])
    inverse = np.diag(1 / curvature)
    for _ in range(_MAX_ITERATIONS):
        move = -inverse @ gradient
        if -(move @ gradient) / 2 < _CONVERGED:
            return theta_at(point), True
        move /= max(1.0, np.abs(move).max())
        while (moved := profiled(point + move))[0] > value + 1e-4 * (move @ gradient):
            move /= 4
            if np.abs(move).max() < 1e-12:
                return theta_at(point), True
        change = moved[1] - gradient
        point, value, gradient = point + move, *moved
        if (curvature_along := move @ change) > 0:
            shift = np.eye(len(move)) - np.outer(move, change) / curvature_along
            inverse = shift @ inverse @ shift.T + np.outer(move, move) / curvature_along
    return theta_at(point), False


def _first_guess(likelihood: Likelihood) -> Array:
    """Moment estimates of the diagonal of every T, as if each effect were the only one."""
    products = likelihood.products
    total = products.raw[-1, -1]
    own = np.diagonal(products.own, axis1=1, axis2=2)
    sums = products.times(np.append(np.zeros(len(products.raw) - 1), 1.0)).reshape(own.shape)
    squares = {products.eliminated: (own, sums)}
    for k, (first, last) in zip(products.remaining, likelihood.spans(), strict=True):
        shape = (-1, likelihood.triangles[k].n_effects)
        squares[k] = (np.diagonal(products.raw)[first:last].reshape(shape), products.raw[first:last, -1].reshape(shape))
    guess = np.zeros(len(likelihood.is_diagonal))
    for k, triangle in enumerate(likelihood.triangles):
        weight, value = squares[k]
        between = np.divide(value**2, weight, out=np.zeros_like(value), where=weight > 0).sum(axis=0) / total
        share = (between - len(weight) / products.n_rows) / (1 - len(weight) / products.n_rows)
        guess[triangle.start : triangle.stop][np.equal(*triangle.entries)] = np.sqrt(np.clip(share, 0.01, 0.9))
    return guess


def _polished(likelihood: Likelihood, theta: Array, has_ended: bool) -> MixedFit:
    """The fit, after Newton iterations from the θ of the search."""
    theta = _grounded(likelihood, theta)
    for _ in range(4):
        free = _free(likelihood, theta)
        deviance, slopes = likelihood.evaluate(theta), _slopes(likelihood, theta, free)
        gradient = likelihood.profiled_gradient(deviance)[free]
        move = np.linalg.lstsq(_hessian(likelihood, slopes, free), gradient, rcond=1e-10)[0]
        gain = abs(gradient @ move) / 2
        if gain < _CONVERGED:
            break
        moved = theta.copy()
        moved[free] -= move
        moved[likelihood.is_diagonal] = np.maximum(moved[likelihood.is_diagonal], 0)
        if likelihood.profiled(moved)[0] >= likelihood.profiled(theta)[0]:
            break
        theta = moved
    return _fitted(likelihood, theta, deviance, slopes, bool(has_ended and gain < _CONVERGED))


def _grounded(likelihood: Likelihood, theta: Array) -> Array:
    """θ with small diagonals at zero where the deviance is no worse; a search on logarithms never reaches zero."""
    is_small = likelihood.is_diagonal & (theta < _SMALL)
    value = likelihood.profiled(theta)[0] if is_small.any() else np.inf
    for index in np.flatnonzero(is_small):
        lower = theta.copy()
        lower[index] = 0
        if (lower_value := likelihood.profiled(lower)[0]) <= value + _CONVERGED:
            theta, value = lower, lower_value
    return theta


def _free(likelihood: Likelihood, theta: Array) -> NDArray[np.intp]:
    """The entries of θ that are not on a bound: all but the diagonals at zero."""
    return np.flatnonzero(~likelihood.is_diagonal | (theta > 0))


def _slopes(likelihood: Likelihood, theta: Array, free: NDArray[np.intp]) -> list[_Sides]:
    """The deviance a little to either side of every free entry of θ, for finite differences."""
    slopes = []
    for index in free:
        size = abs(theta[index])
        shift = np.zeros_like(theta)
        shift[index] = min(_WIDTH * max(size, 0.01), size / 2) if likelihood.is_diagonal[index] else _WIDTH
        slopes.append(_Sides(likelihood.evaluate(theta + shift), likelihood.evaluate(theta - shift), 2 * shift[index]))
    return slopes


def _hessian(likelihood: Likelihood, slopes: list[_Sides], free: NDArray[np.intp]) -> Array:
    """Second derivative of the profiled deviance by the free entries of θ."""
    gradient = likelihood.profiled_gradient
    columns = [(gradient(up) - gradient(down)) / distance for up, down, distance in slopes]
    hessian = np.array(columns).reshape(len(free), len(likelihood.is_diagonal))[:, free]
    return (hessian + hessian.T) / 2


def _fitted(likelihood: Likelihood, theta: Array, deviance: Deviance, slopes: list[_Sides], is_converged: bool) -> MixedFit:
    """All estimates at a maximum."""
    n_remaining, freedom, scale = likelihood.products.n_remaining, likelihood.freedom, likelihood.scale
    variance = deviance.residual / freedom
    rescale = np.outer(1 / scale, 1 / scale)
    unit = deviance.inverse[n_remaining:, n_remaining:] * rescale
    by_theta = [(up.inverse - down.inverse)[n_remaining:, n_remaining:] / distance for up, down, distance in slopes]
    by_theta_and_sigma = [variance * change * rescale for change in by_theta] + [2 * np.sqrt(variance) * unit]
    random_effects, whitening = _conditional(likelihood, theta, deviance)
    log_determinant = deviance.log_determinant + 2 * np.log(scale).sum()
    matrices = [triangle.matrix(theta) for triangle in likelihood.triangles]
    return MixedFit(
        coefficients=(likelihood.start + deviance.effects[n_remaining:]) / scale,
        covariance=variance * unit,
        residual_variance=variance,
        covariances=tuple(variance * matrix @ matrix.T for matrix in matrices),
        random_effects=random_effects,
        whitening=whitening,
        log_likelihood=float((log_determinant + freedom * (1 + np.log(2 * np.pi * variance))) / -2),
        theta_information=_information(likelihood, deviance, slopes, _free(likelihood, theta)),
        covariance_gradient=np.array(by_theta_and_sigma),
        is_converged=is_converged,
        singular=tuple(bool((np.diag(matrix) <= _WIDTH).any()) for matrix in matrices),
    )


def _information(likelihood: Likelihood, deviance: Deviance, slopes: list[_Sides], free: NDArray[np.intp]) -> Array:
    """Half the Hessian, by θ and σ, of the deviance that is not profiled: log|H| + r²/σ² + (n − p) log σ²."""
    n, variance = len(free), deviance.residual / likelihood.freedom
    hessian = np.empty((n + 1, n + 1))
    for row, (up, down, distance) in enumerate(slopes):
        column = (up.log_determinant_gradient - down.log_determinant_gradient) / distance
        column = column + (up.residual_gradient - down.residual_gradient) / distance / variance
        hessian[row, :n] = column[free]
    hessian[n, :n] = hessian[:n, n] = -2 * deviance.residual_gradient[free] / np.sqrt(variance) ** 3
    hessian[n, n] = 6 * deviance.residual / variance**2 - 2 * likelihood.freedom / variance
    return (hessian + hessian.T) / 4


def _conditional(likelihood: Likelihood, theta: Array, deviance: Deviance) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Random effects (level, effect) and whitening (level × effect, fixed) of every factor."""
    products = likelihood.products
    spherical = likelihood.right(theta, deviance.effects)
    large, inner = likelihood.eliminated(theta)
    weights = large @ inner @ large.T
    effects = {products.eliminated: _spread(weights, products.times(np.append(-spherical, 1)[:, None]))[:, 0]}
    effects |= {k: spherical[first:last] for k, (first, last) in zip(products.remaining, likelihood.spans(), strict=True)}
    parts = zip((products.eliminated, *products.remaining), _whitening(likelihood, theta, weights), strict=True)
    whitening = {k: part * likelihood.scale for k, part in parts}
    shapes = [(factor.n_levels, factor.n_effects) for factor in likelihood.factors]
    return tuple(effects[k].reshape(shape) for k, shape in enumerate(shapes)), tuple(whitening[k] for k in range(len(shapes)))


def _whitening(likelihood: Likelihood, theta: Array, weights: Array) -> list[Array]:
    """The part that `V⁻¹` subtracts from the scaled X: of the eliminated factor, then of each remaining one."""
    products, n_remaining, n_fixed = likelihood.products, likelihood.products.n_remaining, likelihood.products.n_fixed
    reduced = (products.raw - products.gram(weights))[:-1, :-1]
    target = np.zeros((n_remaining + n_fixed + 1, n_fixed))
    target[n_remaining : n_remaining + n_fixed] = np.eye(n_fixed)
    if n_remaining:
        half_scaled = likelihood.left(theta, reduced[:n_remaining, :n_remaining]).T
        system = likelihood.left(theta, half_scaled) + np.eye(n_remaining)
        solution = np.linalg.solve(system, likelihood.left(theta, reduced[:n_remaining, n_remaining:]))
        target[:n_remaining] = -likelihood.right(theta, solution.astype(np.float64, copy=False))
    return [_spread(weights, products.times(target)), *(-target[first:last] for first, last in likelihood.spans())]


def _spread(weights: Array, values: Array) -> Array:
    """The eliminated factor's blocks of W times rows (level × effect, ...)."""
    blocks = values.reshape(len(weights), weights.shape[1], -1)
    return (weights @ blocks).reshape(values.shape)
