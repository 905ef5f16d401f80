"""Transport distance between any two distributions of the same neuron, on POT.

Owns comparisons of samples with samples: checkpoints, parts of speech, intact and ablated, one
corpus and another. The distance to a Gaussian is in `analysis.neurons.distribution`.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from actstore.errors import UnknownNameError
from actstore.store.schema import NEURON, TOKEN
from analysis.kernels.multiplicity import benjamini_hochberg
from analysis.kernels.parallel import n_processors
from analysis.kernels.permutation import class_test, permutation_p_value, permuted_distances

SIDES = ("negative", "positive", "both")
_BACKENDS = {"torch": "PYTORCH", "jax": "JAX", "cupy": "CUPY", "tensorflow": "TENSORFLOW"}
_BLOCK_BYTES, _BLOCK_NEURONS = 2**28, 64
_OTHER, _STATISTIC = "_other", "statistic"
_Kernel = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]]


def distribution_distance(
    a: xr.DataArray, b: xr.DataArray, dim: str = TOKEN, *, p: float = 1, standardise: bool = False,
    n_permutations: int = 0, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Wasserstein distance between two samples of every neuron.

    Parameters
    ----------
    a, b : DataArray
        The same dims, of which only `dim` may differ in size: one neuron at two checkpoints, the
        tokens of two parts of speech, intact and ablated, two corpora. In memory, lazy (read 256
        MiB at a time) or Dask's.
    dim : str
        The sample dim; it is reduced.
    p : float
        Order of the distance, at least 1.
    standardise : bool
        Whether to divide by the standard deviation of both samples together.
    n_permutations : int
        Of the two samples' labels, the same ones for all neurons; 0 for no test.
    seed : int
        Of the permutations.

    Returns
    -------
    Dataset
        `transport_distance` over the other dims, float64, at least 0, in units of the values (of
        standard deviations if standardised), and with permutations `p_value` and `q_value`
        (Benjamini and Hochberg, over all neurons). NaN for a neuron that is constant in both
        samples or has a NaN in one. Coordinates in which the two differ are left out. Lazy where
        the input is Dask's.

    Raises
    ------
    ValueError
        If the dims, sizes or labels differ, a sample has fewer than two values, or p is below 1.

    Notes
    -----
    :math:`W_p = (\int_0^1 |F_a^{-1}(u) - F_b^{-1}(u)|^p\,du)^{1/p}` by `ot.wasserstein_1d`, exact. The p-value
    is `analysis.kernels.permutation.permutation_p_value`'s, never below 1 / (1 + permutations); tokens
    count as exchangeable. Cost: a sort, and for each permutation one pass (p = 1) over the values,
    on all processors; memory beyond the input is about 64 neurons a processor in float64.

    References
    ----------
    Peyré and Cuturi (2019), section 2.6; Flamary et al. (2021), POT; Phipson and Smyth (2010).

    Examples
    --------
    >>> import xarray as xr
    >>> a = xr.DataArray([[0.0, 1.0, 2.0]], dims=("neuron", "token"))
    >>> distribution_distance(a, a + 3)["transport_distance"].values
    array([3.])
    """
    if p < 1:
        raise ValueError(f"the order of a Wasserstein distance is at least 1, got {p}")
    kernel = partial(_compare, p=p, standardise=standardise, n_permutations=n_permutations, seed=seed)
    found = _reduce_two(kernel, a, b, (dim,))
    result = xr.Dataset({"transport_distance": found.isel({_STATISTIC: 0})})
    result["transport_distance"].attrs = {
        "long_name": f"{p:g}-Wasserstein distance between the two samples", "units": "standard deviation" if standardise else "1",
    }  # fmt: skip
    if n_permutations:
        result["p_value"] = found.isel({_STATISTIC: 1})
        result["q_value"] = _adjusted(result["p_value"])
    result.attrs = {"p": p, "standardise": int(standardise), "n_permutations": n_permutations, "seed": seed}
    return result


def sliced_distance(
    a: xr.DataArray, b: xr.DataArray, dim: str = TOKEN, neuron_dim: str = NEURON, *, n_projections: int = 100,
    seed: int = 0, n_permutations: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Sliced 2-Wasserstein distance between the joint distributions of a set of neurons.

    Parameters
    ----------
    a, b : DataArray
        The same dims, of which only `dim` may differ in size; in memory, lazy or Dask's.
    dim : str
        The sample dim; its entries are the points.
    neuron_dim : str
        The dim whose entries are the points' coordinates; matched by place, whatever their labels.
    n_projections : int
        Random directions, the same ones for every other dim.
    seed : int
        Of the directions and permutations.
    n_permutations : int
        Of the two samples' labels; 0 for no test.

    Returns
    -------
    Dataset
        `transport_distance` over the other dims (layers), float64, at least 0, in units of the
        values, and with permutations `p_value`; NaN where a point has a NaN. Lazy where the input
        is Dask's.

    Raises
    ------
    ValueError
        If the dims, sizes or labels differ, or a sample has fewer than two points.

    Notes
    -----
    :math:`(\frac{1}{K} \sum_k W_2^2(\theta_k a, \theta_k b))^{1/2}` over directions uniform on the sphere, by
    `ot.sliced_wasserstein_distance`. Points are projected once, a layer at a time in memory; a
    permutation is four passes over their projections.

    References
    ----------
    Bonneel et al. (2015); Flamary et al. (2021), POT.

    Examples
    --------
    >>> import xarray as xr
    >>> a = xr.DataArray([[0.0], [1.0], [2.0]], dims=("token", "neuron"))
    >>> sliced_distance(a, a + 3)["transport_distance"].round(6).item()
    3.0
    """
    kernel = partial(_sliced, n_projections=n_projections, n_permutations=n_permutations, seed=seed)
    found = _reduce_two(kernel, a, b, (dim, neuron_dim))
    result = xr.Dataset({"transport_distance": found.isel({_STATISTIC: 0})})
    result["transport_distance"].attrs = {"long_name": "sliced 2-Wasserstein distance between the two samples", "units": "1"}
    if n_permutations:
        result["p_value"] = found.isel({_STATISTIC: 1})
    result.attrs = {"n_projections": n_projections, "n_permutations": n_permutations, "seed": seed}
    return result


def class_separation(
    preactivation: xr.DataArray, labels: ArrayLike, dim: str = TOKEN, *, side: str = "negative", min_count: int = 50,
    n_permutations: int = 200, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Wasserstein distance between any two classes of tokens, on one side of zero.

    Parameters
    ----------
    preactivation : DataArray
        (neuron, `dim`): one layer.
    labels : array of str (`dim`,)
        Class of each token, such as its part of speech; empty where it is not known.
    dim : str
        The sample dim.
    side : str
        Which pre-activations count: `negative`, `positive` or `both`.
    min_count : int
        Tokens that a class needs among a neuron's counted ones.
    n_permutations : int
        Of the labels over a pair of classes' counted tokens, at least 2.
    seed : int
        Of the permutations.

    Returns
    -------
    Dataset
        Over (neuron, class, other_class): `transport_distance` in standard deviations of the
        neuron's counted values, 0 with itself, `p_value` and `q_value` (Benjamini and Hochberg, over
        all neurons and pairs of classes); over (neuron, class): `n_tokens`, how many count. NaN where
        a class has too few, or all values are the same.

    Raises
    ------
    UnknownNameError
        If there is no such side.
    ValueError
        If the dims are others, there is not one label a token, or fewer than 2 permutations.

    Notes
    -----
    :math:`W_1 = \int |F_a - F_b|` by `ot.wasserstein_1d`, exact; a neuron's counted tokens have a label and lie
    on the side. The test is `analysis.kernels.permutation.class_test`: tokens count as
    exchangeable, and the null is that the two classes have one distribution. Cost: a sort, and for
    each pair of classes and permutation 128 draws, about 0.15 s a neuron with 12 classes.

    References
    ----------
    Peyré and Cuturi (2019), section 2.6; Winkler et al. (2016); Benjamini and Hochberg (1995).

    Examples
    --------
    >>> import xarray as xr
    >>> a = xr.DataArray([[-1.0, -2.0, -3.0, -4.0]], dims=("neuron", "token"))
    >>> found = class_separation(a, ["DET", "DET", "NOUN", "NOUN"], min_count=2)
    >>> found["transport_distance"].sel({"class": "DET", "other_class": "NOUN"}).round(3).values  # 2 over √1.25
    array([1.789])
    """
    names, codes = np.unique(np.asarray(labels).astype(str), return_inverse=True)
    if side not in SIDES:
        raise UnknownNameError("side", side, SIDES)
    if set(preactivation.dims) != {NEURON, dim} or np.shape(labels) != (preactivation.sizes[dim],):
        raise ValueError(f"needs the dims {NEURON} and {dim} and a label each {dim}; has {dict(preactivation.sizes)} "
                         f"and labels of shape {np.shape(labels)}")  # fmt: skip
    if n_permutations < 2:
        raise ValueError(f"the test needs at least 2 permutations, got {n_permutations}")
    if len(names) and names[0] == "":
        names, codes = names[1:], codes - 1
    values = preactivation.compute().transpose(NEURON, dim).values
    rng = np.random.default_rng(seed)
    shape = (len(values), len(names), len(names))
    distance, p = np.full(shape, np.nan), np.full(shape, np.nan)
    n_tokens = np.zeros(shape[:2], np.int64)
    for index, row in enumerate(values):
        kept = (codes >= 0) & {"negative": row < 0, "positive": row > 0, "both": ~np.isnan(row)}[side]
        own, of = row[kept].astype(np.float64), codes[kept]
        n_tokens[index] = np.bincount(of, minlength=len(names))
        classes = np.flatnonzero(n_tokens[index] >= max(min_count, 1))
        if len(classes) < 2 or np.ptp(own) == 0:
            continue
        place = np.ix_(np.array([index]), classes, classes)
        inside, scale = np.isin(of, classes), own.std()
        own, of = own[inside], np.searchsorted(classes, of[inside])
        distance[place] = _between(own, of, len(classes)) / scale
        p[place] = class_test(own, of, len(classes), n_permutations, rng)
    upper = np.triu_indices(len(names), 1)
    q = np.full(shape, np.nan)
    q[:, upper[0], upper[1]] = q[:, upper[1], upper[0]] = benjamini_hochberg(p[:, upper[0], upper[1]])
    dims = (NEURON, "class", "other_class")
    kept_coords = {name: coord for name, coord in preactivation.coords.items() if dim not in coord.dims}
    attrs = {"long_name": "1-Wasserstein distance between the two classes", "units": "standard deviation"}
    return xr.Dataset(
        {"transport_distance": (dims, distance, attrs), "p_value": (dims, p), "q_value": (dims, q), "n_tokens": (dims[:2], n_tokens)},
        coords={**kept_coords, "class": names.astype(object), "other_class": names.astype(object)},
        attrs={"side": side, "min_count": min_count, "n_permutations": n_permutations, "seed": seed},
    )  # fmt: skip


def _reduce_two(kernel: _Kernel, a: xr.DataArray, b: xr.DataArray, core: tuple[str, ...]) -> xr.DataArray:
    """Statistics of two samples (other dims, statistic); the kernel takes arrays whose last dims are `core`, the sample's first."""
    dim = core[0]
    if not set(core) <= set(a.dims) or set(a.dims) != set(b.dims):
        raise ValueError(f"both need the dims {', '.join(core)} and the same others; they have {a.dims} and {b.dims}")
    if min(a.sizes[dim], b.sizes[dim]) < 2:
        raise ValueError(f"a distribution needs at least two values, got {a.sizes[dim]} and {b.sizes[dim]}")
    if any(a.sizes[name] != b.sizes[name] for name in core[1:]):
        raise ValueError(f"both need the same number of coordinates; they have {dict(a.sizes)} and {dict(b.sizes)}")
    xr.align(a, b, join="exact", copy=False, exclude=core)  # a ValueError names what differs
    a, b = (_with_common_coords(one, other, core) for one, other in ((a, b), (b, a)))
    over = [str(name) for name in a.dims if name not in core]
    if a.chunks is None and b.chunks is None:
        found = np.empty((*(a.sizes[name] for name in over), 2))
        for place in _blocks(a, b, over, core):
            part = dict(zip(over, place, strict=True))
            found[place] = kernel(
                *(array.isel(part).compute().transpose(*over, *core, missing_dims="ignore").values for array in (a, b))
            )
        return xr.DataArray(found, dims=(*over, _STATISTIC), coords=a.coords)
    cuts = {name: (a if a.chunks is not None else b).chunksizes[name] for name in over} | dict.fromkeys(core, -1)
    lazy: xr.DataArray = xr.apply_ufunc(
        kernel, a.chunk(cuts), b.chunk(cuts).rename({dim: _OTHER}),
        input_core_dims=[list(core), [_OTHER, *core[1:]]], output_core_dims=[[_STATISTIC]],
        dask="parallelized", output_dtypes=[np.float64], dask_gufunc_kwargs={"output_sizes": {_STATISTIC: 2}},
    )  # fmt: skip
    return lazy


def _with_common_coords(array: xr.DataArray, other: xr.DataArray, core: tuple[str, ...]) -> xr.DataArray:
    """Without labels of the core dims, and without what differs between the two arrays (such as the checkpoint)."""
    return array.drop_vars([
        name for name, coord in array.coords.items()
        if set(core) & set(coord.dims) or name not in other.coords or not coord.variable.equals(other.coords[name].variable)
    ])  # fmt: skip


def _blocks(a: xr.DataArray, b: xr.DataArray, over: list[str], core: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """Places on the other dims that hold about 256 MiB: one at a time, but of the last as many as fit."""
    if not over:
        yield ()
        return
    size = max(array.dtype.itemsize * int(np.prod([array.sizes[name] for name in core])) for array in (a, b))
    least = _BLOCK_NEURONS if len(core) == 1 else 1  # whole chunks of the store
    step = max(least, _BLOCK_BYTES // size // least * least)
    for place in itertools.product(*(range(a.sizes[name]) for name in over[:-1])):
        yield from ((*place, slice(first, first + step)) for first in range(0, a.sizes[over[-1]], step))


def _adjusted(p: xr.DataArray) -> xr.DataArray:
    """Q-values over all of an array, lazy where it is."""
    dims = list(p.dims)
    q: xr.DataArray = xr.apply_ufunc(
        benjamini_hochberg, p, input_core_dims=[dims], output_core_dims=[dims], dask="parallelized",
        output_dtypes=[np.float64], dask_gufunc_kwargs={"allow_rechunk": True},
    )  # fmt: skip
    return q


def _compare(
    a: NDArray[Any], b: NDArray[Any], *, p: float, standardise: bool, n_permutations: int, seed: int
) -> NDArray[np.float64]:
    """Distance and p-value (…, 2) of samples (…, item)."""
    pot = _pot()
    one, other = (values.reshape(-1, values.shape[-1]) for values in (a, b))

    def block(first: int) -> NDArray[np.float64]:
        x, y = (np.sort(rows[first : first + _BLOCK_NEURONS].astype(np.float64), axis=1) for rows in (one, other))
        # Neuron by neuron, which at corpus size is six times as fast as POT on all of them.
        powers = [pot.wasserstein_1d(*pair, p=p, require_sort=False) for pair in zip(x, y, strict=True)]
        distance = np.maximum(powers, 0) ** (1 / p)
        distance[(x[:, 0] == x[:, -1]) & (y[:, 0] == y[:, -1])] = np.nan
        pooled = np.concatenate([x, y], axis=1).T
        tail = np.full_like(distance, np.nan)
        if n_permutations:
            null = permuted_distances(pooled, x.shape[1], n_permutations, np.random.default_rng(seed), p)
            tail = permutation_p_value(distance, null)
        scale = pooled.std(axis=0) if standardise else np.ones(1)
        with np.errstate(invalid="ignore"):
            return np.stack([distance / scale, tail], axis=-1)

    with ThreadPoolExecutor(n_processors()) as pool:
        found = list(pool.map(block, range(0, len(one), _BLOCK_NEURONS)))
    return np.concatenate(found).reshape(*a.shape[:-1], 2)


def _sliced(a: NDArray[Any], b: NDArray[Any], *, n_projections: int, n_permutations: int, seed: int) -> NDArray[np.float64]:
    """Distance and p-value (…, 2) of sets of points (…, item, coordinate)."""
    pot, rng = _pot(), np.random.default_rng(seed)
    directions = rng.normal(size=(a.shape[-1], n_projections))
    directions /= np.linalg.norm(directions, axis=0)
    found = np.full((*a.shape[:-2], 2), np.nan)
    for place in np.ndindex(a.shape[:-2]):
        x, y = (_projected(points[place], directions) for points in (a, b))
        found[place][0] = pot.sliced_wasserstein_distance(x, y, projections=np.eye(n_projections))
        if n_permutations:
            null = permuted_distances(np.concatenate([x, y]), len(x), n_permutations, np.random.default_rng(seed), p=2)
            found[place][1] = permutation_p_value(found[place][0], np.sqrt(np.mean(null**2, axis=1)))
    return found


def _projected(points: NDArray[Any], directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """(item, direction), in float64 some items at a time."""
    step = max(1, _BLOCK_BYTES // (8 * len(directions)))
    return np.concatenate(
        [points[first : first + step].astype(np.float64) @ directions for first in range(0, len(points), step)]
    )


def _between(values: NDArray[np.float64], codes: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """W1 between any two classes (class, class)."""
    pot = _pot()
    samples = [np.sort(values[codes == number]) for number in range(n_classes)]
    found = np.zeros((n_classes, n_classes))
    for one, other in zip(*np.triu_indices(n_classes, 1), strict=True):
        found[one, other] = found[other, one] = pot.wasserstein_1d(samples[one], samples[other], require_sort=False)
    return np.maximum(found, 0)


@cache
def _pot() -> Any:
    """POT on numpy: of itself it would import every array library that is installed, torch among them."""
    idle = [f"POT_BACKEND_DISABLE_{name}" for library, name in _BACKENDS.items() if library not in sys.modules]
    added = {key: "1" for key in idle if key not in os.environ}
    os.environ.update(added)
    try:
        import ot
    finally:
        for key in added:
            os.environ.pop(key, None)
    return ot
