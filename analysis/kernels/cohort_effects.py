"""What a cohort of neurons has more of than the rest of its layer, on plain arrays, with intervals over neurons and clusters.

Owns the effect of one layer, and weighted sums of effects over layers: their mean, and their slope over depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.kernels.clusters import LEAST_CLUSTERS, Estimate, small_sample

_SATURATED = 1e-9
"""A neuron that determines a coefficient alone has one less its leverage below this, and no residual."""


class CohortEffect(NamedTuple):
    """Mean of the cohort less that of the rest, at equal covariates, in one layer."""

    value: float
    moves: NDArray[np.float64]
    """(cluster,) How far each cluster of tokens moves it."""
    interaction: float
    """The part of its variance that depends on cluster and neuron at once."""
    over_neurons: float
    """Its variance over neurons."""
    freedom: float
    """Degrees of freedom of the variance over neurons."""


def cohort_effect(
    values: NDArray[np.float64],
    is_member: NDArray[np.bool_],
    covariates: NDArray[np.float64] | None = None,
    moves: NDArray[np.float64] | None = None,
) -> CohortEffect:
    r"""The coefficient of membership in a regression of a statistic over the neurons of a layer.

    Parameters
    ----------
    values : array (neuron,)
        Neurons with NaN are left out.
    is_member : bool array (neuron,)
        At least one, and not all.
    covariates : array (neuron, covariate), optional
        Without any the effect is the difference of two means.
    moves : array (neuron, cluster), optional
        How far each cluster of tokens moves each neuron's value.

    Notes
    -----
    With :math:`h` the row of :math:`(X'X)^{-1}X'` of membership, residuals :math:`e` and leverages :math:`l`, the variance
    over neurons is HC2, :math:`\sum_k h_k^2 e_k^2 / (1 - l_k)`: without covariates Welch's. Its degrees of freedom are
    Satterthwaite's over the two groups. A cluster moves the effect by :math:`\sum_k h_k m_{kc}`. A cohort of a single neuron
    adds nothing to the variance over neurons, which is then about this neuron; without clusters it is NaN.

    References
    ----------
    MacKinnon and White (1985); Welch (1947).
    """
    defined = np.isfinite(values)
    if covariates is not None:
        defined &= np.isfinite(covariates).all(axis=1)
    y, member = values[defined], is_member[defined]
    if not member.any() or member.all():
        none = np.full(0 if moves is None else moves.shape[1], np.nan)
        return CohortEffect(np.nan, none, np.nan, np.nan, np.nan)
    parts = [member.astype(np.float64)[:, None], np.ones((len(y), 1))]
    if covariates is not None:
        parts.append(covariates[defined])
    x = np.concatenate(parts, axis=1)
    inverse = np.linalg.pinv(x)
    h, free = inverse[0], np.maximum(1 - np.einsum("np,pn->n", x, inverse), 0)
    squared = np.where(free > _SATURATED, h**2 / np.where(free > _SATURATED, free, 1), 0)
    residual = y - x @ (inverse @ y)
    groups = [float((squared * residual**2)[part].sum()) for part in (member, ~member)]
    sizes = [max(int(member.sum()) - 1, 1), max(len(y) - int(member.sum()) - (x.shape[1] - 1), 1)]
    over_neurons = sum(groups) if moves is not None or member.sum() > 1 else np.nan
    spread = sum(part**2 / size for part, size in zip(groups, sizes, strict=True))
    freedom = over_neurons**2 / spread if spread > 0 else float(min(sizes))
    moved = np.empty((len(y), 0)) if moves is None else moves[defined]
    of_clusters = moved - x @ (inverse @ moved)
    interaction = float((squared[:, None] * of_clusters**2).sum())
    return CohortEffect(float(h @ y), h @ moved, interaction, over_neurons, freedom)


def weighted_effect(
    effects: Sequence[CohortEffect], weights: NDArray[np.float64], cluster_share: NDArray[np.float64] | None = None
) -> Estimate:
    """A weighted sum of the effects of layers, with its variance over clusters of tokens and over neurons.

    Parameters
    ----------
    effects : sequence of CohortEffect
        One a layer.
    weights : array (layer,)
        Of `mean_weights` or `slope_weights`.
    cluster_share : array (cluster,), optional
        Share of the tokens in each cluster. Without it the variance is over neurons alone.

    Notes
    -----
    Clusters are the same texts in all layers, so their moves are summed over layers before they are squared. Neurons of
    different layers are independent.
    """
    value = float(sum(weight * effect.value for weight, effect in zip(weights, effects, strict=True)))
    parts = np.array([weight**2 * effect.over_neurons for weight, effect in zip(weights, effects, strict=True)])
    freedom = np.array([effect.freedom for effect in effects])
    total = parts.sum()
    sources = [(total, total**2 / (parts**2 / freedom).sum() if total > 0 else 1.0)]
    if cluster_share is not None:
        factor, of_clusters = small_sample(cluster_share, np.zeros(len(cluster_share), np.intp), 1)
        moves = np.sum([weight * effect.moves for weight, effect in zip(weights, effects, strict=True)], axis=0)
        crossed = sum(weight**2 * effect.interaction for weight, effect in zip(weights, effects, strict=True))
        over_clusters = max(float((factor * moves**2).sum() - crossed), 0.0)
        sources.append((over_clusters if len(cluster_share) >= LEAST_CLUSTERS else np.nan, float(of_clusters[0])))
    variance, degrees = (np.array([[source[index]] for source in sources]) for index in (0, 1))
    return Estimate(np.array([value]), variance, degrees)


def mean_weights(n_layers: int) -> NDArray[np.float64]:
    """Weights (layer,) of the mean over layers."""
    return np.full(n_layers, 1 / n_layers)


def slope_weights(places: ArrayLike) -> NDArray[np.float64]:
    """Weights of the least-squares slope over places, such as layers: the change from the smallest place to the largest.

    Parameters
    ----------
    places : array (place,)
        At least two that differ.

    Examples
    --------
    >>> slope_weights([0, 1])
    array([-1.,  1.])
    """
    at = np.asarray(places, np.float64)
    centred = at - at.mean()
    return np.asarray(centred * np.ptp(at) / (centred**2).sum())


def shuffled_differences(
    values: NDArray[np.float64], is_member: NDArray[np.bool_], n_permutations: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Mean of as many neurons as the cohort has, drawn at random, less that of the others (permutation,)."""
    defined = np.isfinite(values)
    y, n_members = values[defined], int(is_member[defined].sum())
    drawn = np.stack([rng.permutation(len(y))[:n_members] for _ in range(n_permutations)])
    mean = y[drawn].mean(axis=1)
    return np.asarray(mean - (y.sum() - n_members * mean) / (len(y) - n_members))
