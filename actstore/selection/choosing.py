"""Choosing neurons by a statistic, and control neurons: drawn at random, or matched to the chosen ones.

Owns the rules of choice; the file format is `actstore.selection.selection.Selection`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import KDTree

from actstore.errors import SelectionError, UnknownNameError
from actstore.selection.record import SCOPES, check_share
from actstore.selection.selection import Selection
from actstore.store.schema import CHECKPOINT, LAYER, NEURON

RULES = ("top", "bottom", "random", "matched")


def select(
    statistic: xr.DataArray,
    fraction: float = 0.01,
    rule: str = "top",
    *,
    seed: int = -1,
    scope: str = "layer",
    match: Sequence[xr.DataArray] = (),
    provenance: dict[str, Any] | None = None,
) -> Selection:
    r"""Choose a fraction of the neurons, of every layer or of all layers together.

    Parameters
    ----------
    statistic : DataArray
        (layer, neuron) of one checkpoint, named, with scalar coords `checkpoint` and
        `weights_fingerprint` and the attributes `model` and `site`. `layer` may hold some layers
        only. A neuron whose value is NaN is never chosen.
    fraction : float
        In (0, 1].
    rule : str
        `top` or `bottom` by value (ties by layer and neuron, lowest first); `random`, drawn from the
        neurons that `top` does not choose; or `matched`: for each neuron that `top` chooses one
        other neuron, as close to it in the covariates as possible.
    seed : int
        For `random`; at least 0.
    scope : str
        `layer` chooses exactly `round(fraction * n_neurons)` of each layer; `all` chooses
        `round(fraction * n_layers * n_neurons)` of all layers ranked together; layers without a
        chosen neuron are left out.
    match : sequence of DataArray
        Covariates for `matched`: (layer, neuron), named. A neuron with a covariate that is not
        finite is never a control.
    provenance : dict, optional
        Stored in the file. For `matched` the key `balance` is added: for each covariate
        :math:`|\bar z_{top} - \bar z_{control}|` in standard deviations over the eligible neurons
        of the layer (or of all layers), averaged over layers; `before` with all other eligible
        neurons as controls, `after` with the chosen ones.

    Raises
    ------
    UnknownNameError, SelectionError
        If the rule or scope is unknown, the fraction is out of its bounds or chooses no neuron, too
        few neurons can be chosen, or the arrays lack a name or coordinate or differ in their neurons.

    Notes
    -----
    `matched` is an optimal assignment without replacement: no other choice has a smaller sum of
    distances to the top neurons. The distance is Euclidean over standardised covariates. Of neurons
    with equal covariates the lowest is chosen. Memory grows with the square of the number of chosen
    neurons (of one layer, or of all).

    References
    ----------
    Rosenbaum (1989), "Optimal matching for observational studies".
    """
    _check_request(fraction, rule, seed, scope, match)
    statistic, *covariates = _aligned(statistic, *match)
    n_layers, n_neurons = statistic.shape
    # A row for each layer, or one row for all, in the order of (layer, neuron).
    rows = statistic.values.astype(np.float64).reshape(n_layers if scope == "layer" else 1, -1)
    n_chosen = round(fraction * rows.shape[1])
    if n_chosen == 0:
        raise SelectionError(f"{fraction:g} of {rows.shape[1]} neurons rounds to none; the least is {0.5 / rows.shape[1]:.2g}")
    chosen, balance = _chosen(rows, n_chosen, rule, seed, covariates)
    mask = np.zeros(rows.shape, dtype=bool)
    np.put_along_axis(mask, chosen, True, axis=1)
    by_layer = zip(statistic[LAYER].values, mask.reshape(n_layers, n_neurons), strict=True)
    return Selection(
        neurons={int(layer): tuple(np.flatnonzero(row).tolist()) for layer, row in by_layer if row.any()},
        rule=rule,
        fraction=fraction,
        scope=scope,
        n_neurons_per_layer=n_neurons,
        seed=seed,
        provenance={"package_version": version("actstore"), **(provenance or {}), **balance},
        **_origin(statistic),
    )


def _chosen(
    rows: NDArray[np.float64], n_chosen: int, rule: str, seed: int, covariates: Sequence[xr.DataArray]
) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Indices (row, chosen) of the neurons that a rule chooses, and the balance of the covariates by the rule `matched`."""
    if rule == "bottom":
        return _highest(-rows, n_chosen), {}
    top = _highest(rows, n_chosen)
    if rule == "top":
        return top, {}
    if rule == "random":
        rng = np.random.default_rng(seed)
        pools = _outside_top(~np.isnan(rows), top)
        return np.stack([rng.choice(np.flatnonzero(pool), size=n_chosen, replace=False) for pool in pools]), {}
    points = np.stack([covariate.values.astype(np.float64).reshape(rows.shape) for covariate in covariates], axis=-1)
    chosen, balance = _matched(points, ~np.isnan(rows), top)
    names = [str(covariate.name) for covariate in covariates]
    return chosen, {"balance": dict(zip(names, balance, strict=True))}


def _check_request(fraction: float, rule: str, seed: int, scope: str, match: Sequence[xr.DataArray]) -> None:
    if rule not in RULES:
        raise UnknownNameError("selection rule", rule, RULES)
    if scope not in SCOPES:
        raise UnknownNameError("selection scope", scope, SCOPES)
    check_share(fraction)
    if (rule == "random") != (seed >= 0):
        raise SelectionError(f"rule {rule!r} {'needs a seed of 0 or more' if rule == 'random' else 'takes no seed'}")
    if (rule == "matched") != (len(match) > 0):
        raise SelectionError(
            "rule 'matched' needs covariates; name them by match=[…]"
            if rule == "matched"
            else f"rule {rule!r} takes no covariates; leave match out, or use rule 'matched'"
        )


def _aligned(*arrays: xr.DataArray) -> list[xr.DataArray]:
    """The arrays as (layer, neuron), layers ascending."""
    names = [array.name for array in arrays]
    if None in names or len(set(names)) < len(names):
        raise SelectionError(f"statistic and covariates need different names, these are {names}; use .rename(…)")
    for array in arrays:
        if set(array.dims) != {LAYER, NEURON}:
            raise SelectionError(f"{array.name} has dims {array.dims}, not (layer, neuron); take one checkpoint of it")
    arrays = tuple(array.transpose(LAYER, NEURON).sortby(LAYER) for array in arrays)
    layers, neurons = arrays[0][LAYER].values, arrays[0][NEURON].values
    if len(np.unique(layers)) < len(layers) or not np.array_equal(neurons, np.arange(len(neurons))):
        raise SelectionError(f"{names[0]} does not hold whole layers, each once; take all neurons of a layer, in order")
    try:
        return list(xr.align(*arrays, join="exact", copy=False))
    except ValueError:
        raise SelectionError(f"{', '.join(map(str, names))} differ in layers or neurons; take all from one store") from None


def _origin(statistic: xr.DataArray) -> dict[str, Any]:
    try:
        return {
            "statistic": str(statistic.name),
            "model": str(statistic.attrs["model"]),
            "site": str(statistic.attrs["site"]),
            "weights_fingerprint": str(statistic.coords["weights_fingerprint"].item()),
            "checkpoint": int(statistic.coords[CHECKPOINT].item()),
        }
    except KeyError as error:
        raise SelectionError(
            f"{statistic.name} does not say its {error}; keep the store's coords, set attrs['model'] and attrs['site']"
        ) from None


def _highest(rows: NDArray[np.float64], n_chosen: int) -> NDArray[np.int64]:
    """Indices (row, chosen) of the highest values of every row; ties lowest first."""
    n_defined = int(np.count_nonzero(~np.isnan(rows), axis=1).min())
    if n_defined < n_chosen:
        raise SelectionError(f"only {n_defined} neurons have a value where {n_chosen} are asked for; choose a smaller fraction")
    return np.argsort(-rows, axis=1, kind="stable")[:, :n_chosen]  # NaN comes last


def _outside_top(eligible: NDArray[np.bool_], top: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mask of the eligible neurons of every row outside the top."""
    pools = eligible.copy()
    np.put_along_axis(pools, top, False, axis=1)
    n_left, n_chosen = int(pools.sum(axis=1).min()), top.shape[1]
    if n_left < n_chosen:
        raise SelectionError(f"only {n_left} neurons are left outside the top {n_chosen}; choose a smaller fraction")
    return pools


def _matched(
    points: NDArray[np.float64], defined: NDArray[np.bool_], top: NDArray[np.int64]
) -> tuple[NDArray[np.int64], list[dict[str, float]]]:
    """A control for each top neuron, and the balance of every covariate; `points` is (row, neuron, covariate)."""
    eligible = defined & np.isfinite(points).all(axis=-1)
    n_without = np.count_nonzero(~np.take_along_axis(eligible, top, axis=1))
    if n_without:
        raise SelectionError(f"{n_without} of the top neurons lack a finite covariate; match on others")
    pools = _outside_top(eligible, top)
    # Standardised, not Mahalanobis, so that the distance has the units of the balance. Mahalanobis would also give full
    # weight to the small difference between two covariates that nearly determine each other (mean and negative fraction).
    spread = points.std(axis=1, where=eligible[..., None], keepdims=True)
    points = (points - points.mean(axis=1, where=eligible[..., None], keepdims=True)) / np.where(spread > 0, spread, 1)
    chosen = np.stack([_nearest(*row) for row in zip(points, top, pools, strict=True)])
    return chosen, _balance(points, top, pools, chosen)


def _balance(
    points: NDArray[np.float64], top: NDArray[np.int64], pools: NDArray[np.bool_], chosen: NDArray[np.int64]
) -> list[dict[str, float]]:
    """Differences of means between the top and the pool, and between the top and the chosen, averaged over rows."""
    top_mean, chosen_mean = (np.take_along_axis(points, index[..., None], axis=1).mean(axis=1) for index in (top, chosen))
    before = np.abs(top_mean - points.mean(axis=1, where=pools[..., None])).mean(axis=0)
    after = np.abs(top_mean - chosen_mean).mean(axis=0)
    return [{"before": float(b), "after": float(a)} for b, a in zip(before, after, strict=True)]


def _nearest(points: NDArray[np.float64], top: NDArray[np.int64], in_pool: NDArray[np.bool_]) -> NDArray[np.int64]:
    """A neuron of the pool for each top neuron, at the least sum of distances.

    With n top neurons, none needs a partner beyond its own n nearest, because the other top neurons
    take at most n - 1 of these. So the best assignment among n² pairs is the best one of all.
    """
    n, pool = len(top), np.flatnonzero(in_pool)
    distance, near = KDTree(points[pool]).query(points[top], k=np.arange(1, n + 1))
    # Distances plus 1, because a sparse array drops pairs of value 0.
    pairs = csr_array((distance.ravel() + 1, near.ravel(), np.arange(n + 1) * n), shape=(n, len(pool)))
    assigned = min_weight_full_bipartite_matching(pairs)[1]
    # Which of several equal neurons is assigned is arbitrary: choose as many of them, the lowest first.
    kind = np.unique(points[pool], axis=0, return_inverse=True)[1]
    order = np.argsort(kind, kind="stable")
    rank_in_kind = np.arange(len(pool)) - np.searchsorted(kind[order], kind[order])
    return pool[order[rank_in_kind < np.bincount(kind[assigned], minlength=len(pool))[kind[order]]]]
