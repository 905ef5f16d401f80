"""Choosing neurons by a statistic, and controls without them: drawn at random, or matched to them.

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
    r"""The given fraction of neurons, of every layer or of all layers together.

    Parameters
    ----------
    statistic : DataArray
        (layer, neuron) of one checkpoint, named, with scalar coords `checkpoint` and
        `weights_fingerprint` and the attributes `model` and `site`. `layer` may hold some layers
        only. A neuron of NaN is never chosen.
    fraction : float
        In (0, 1].
    rule : str
        `top` or `bottom` by value (ties by layer and neuron, lowest first), `random` without the
        neurons that `top` would choose, or `matched`: other neurons than those, one for each of
        them, as close in the covariates as can be.
    seed : int
        For `random`; at least 0.
    scope : str
        `layer` chooses exactly `round(fraction * n_neurons)` of each layer; `all` chooses
        `round(fraction * n_layers * n_neurons)` of all layers ranked together, and leaves layers
        without a chosen neuron out.
    match : sequence of DataArray
        Covariates for `matched`: (layer, neuron), named. Neurons with one that is not finite are
        no controls.
    provenance : dict, optional
        Kept in the file, with, for `matched`, `balance`: for each covariate
        :math:`|\bar z_{top} - \bar z_{control}|` in standard deviations over the eligible neurons
        of the layer (or of all layers), averaged over layers; `before`, with all other eligible
        neurons as controls, and `after`, with the chosen ones.

    Raises
    ------
    UnknownNameError, SelectionError
        If the rule or scope is unknown, the fraction is out of its bounds or chooses nothing, too few neurons can be
        chosen, or the arrays lack what is needed or differ in their neurons.

    Notes
    -----
    `matched` is an optimal assignment without replacement: no other choice has a smaller sum of
    distances to the top neurons, where the distance is Euclidean over standardised covariates. Of
    neurons with the same covariates the lowest is chosen. Memory is of the order of the squared
    number of chosen neurons, of a layer or of all.

    References
    ----------
    Rosenbaum (1989), "Optimal matching for observational studies".
    """
    _check_request(fraction, rule, seed, scope, match)
    statistic, *covariates = _aligned(statistic, *match)
    n_layers, n_neurons = statistic.shape
    # One row a layer, or one row of all: its order is that of (layer, neuron).
    rows = statistic.values.astype(np.float64).reshape(n_layers if scope == "layer" else 1, -1)
    n_chosen = round(fraction * rows.shape[1])
    if n_chosen == 0:
        raise SelectionError(f"{fraction:g} of {rows.shape[1]} neurons rounds to none; the least is {0.5 / rows.shape[1]:.2g}")
    made: dict[str, Any] = {}
    top = _highest(rows, n_chosen)
    if rule == "top":
        chosen = top
    elif rule == "bottom":
        chosen = _highest(-rows, n_chosen)
    elif rule == "random":
        rng = np.random.default_rng(seed)
        others = _others(~np.isnan(rows), top)
        chosen = np.stack([rng.choice(np.flatnonzero(row), size=n_chosen, replace=False) for row in others])
    else:
        points = np.stack([covariate.values.astype(np.float64).reshape(rows.shape) for covariate in covariates], axis=-1)
        chosen, balance = _matched(points, ~np.isnan(rows), top)
        made["balance"] = {str(covariate.name): found for covariate, found in zip(covariates, balance, strict=True)}
    mask = np.zeros(rows.shape, dtype=bool)
    np.put_along_axis(mask, chosen, True, axis=1)
    by_layer = zip(statistic[LAYER].values, mask.reshape(n_layers, n_neurons), strict=True)
    return Selection(
        neurons={int(layer): tuple(np.flatnonzero(inside).tolist()) for layer, inside in by_layer if inside.any()},
        rule=rule,
        fraction=fraction,
        scope=scope,
        n_neurons_per_layer=n_neurons,
        seed=seed,
        provenance={"package_version": version("actstore"), **(provenance or {}), **made},
        **_origin(statistic),
    )


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
        raise SelectionError(f"statistic and covariates need names of their own, these are {names}; use .rename(…)")
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
    """Where the highest values of every row are; ties lowest first."""
    n_defined = int(np.count_nonzero(~np.isnan(rows), axis=1).min())
    if n_defined < n_chosen:
        raise SelectionError(f"only {n_defined} neurons have a value where {n_chosen} are asked for; choose a smaller fraction")
    return np.argsort(-rows, axis=1, kind="stable")[:, :n_chosen]  # NaN comes last


def _others(eligible: NDArray[np.bool_], top: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The eligible neurons of every row outside the top."""
    others = eligible.copy()
    np.put_along_axis(others, top, False, axis=1)
    n_left, n_chosen = int(others.sum(axis=1).min()), top.shape[1]
    if n_left < n_chosen:
        raise SelectionError(f"only {n_left} neurons are left outside the top {n_chosen}; choose a smaller fraction")
    return others


def _matched(
    points: NDArray[np.float64], defined: NDArray[np.bool_], top: NDArray[np.int64]
) -> tuple[NDArray[np.int64], list[dict[str, float]]]:
    """A control for each of the top, and the balance of every covariate; `points` is (row, neuron, covariate)."""
    eligible = defined & np.isfinite(points).all(axis=-1)
    n_without = np.count_nonzero(~np.take_along_axis(eligible, top, axis=1))
    if n_without:
        raise SelectionError(f"{n_without} of the top neurons lack a finite covariate; match on others")
    others = _others(eligible, top)
    # Standardised, not Mahalanobis: the distance is then in the units of the balance, and of two covariates that nearly
    # determine each other, such as mean and negative fraction, the little that is left does not weigh as much as the rest.
    spread = points.std(axis=1, where=eligible[..., None], keepdims=True)
    points = (points - points.mean(axis=1, where=eligible[..., None], keepdims=True)) / np.where(spread > 0, spread, 1)
    chosen = np.stack([_nearest(*row) for row in zip(points, top, others, strict=True)])
    return chosen, _balance(points, top, others, chosen)


def _balance(
    points: NDArray[np.float64], top: NDArray[np.int64], others: NDArray[np.bool_], chosen: NDArray[np.int64]
) -> list[dict[str, float]]:
    """Differences of means between the top and the others, and between the top and the chosen, averaged over rows."""
    of_top, of_chosen = (np.take_along_axis(points, at[..., None], axis=1).mean(axis=1) for at in (top, chosen))
    before = np.abs(of_top - points.mean(axis=1, where=others[..., None])).mean(axis=0)
    after = np.abs(of_top - of_chosen).mean(axis=0)
    return [{"before": float(b), "after": float(a)} for b, a in zip(before, after, strict=True)]


def _nearest(points: NDArray[np.float64], top: NDArray[np.int64], others: NDArray[np.bool_]) -> NDArray[np.int64]:
    """One of the others for each of the top, at the least sum of distances.

    None of n neurons needs a partner beyond its own n nearest: the others hold at most n - 1 of
    those. So the assignment over n² pairs is as good as the one over all.
    """
    n, pool = len(top), np.flatnonzero(others)
    distance, near = KDTree(points[pool]).query(points[top], k=np.arange(1, n + 1))
    # One more, as a pair of zero would count as no pair.
    pairs = csr_array((distance.ravel() + 1, near.ravel(), np.arange(n + 1) * n), shape=(n, len(pool)))
    taken = min_weight_full_bipartite_matching(pairs)[1]
    # Which of several equal neurons was taken is arbitrary: take as many, the lowest first.
    kind = np.unique(points[pool], axis=0, return_inverse=True)[1]
    order = np.argsort(kind, kind="stable")
    place = np.arange(len(pool)) - np.searchsorted(kind[order], kind[order])
    return pool[order[place < np.bincount(kind[taken], minlength=len(pool))[kind[order]]]]
