"""Transport distance between two samples of the same neurons, on POT.

Owns comparisons of samples with samples: checkpoints, parts of speech, intact and ablated, one corpus and another. The
distance to a Gaussian is in `analysis.neurons.distribution`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from actstore.store.schema import NEURON, TOKEN
from analysis.kernels.multiplicity import benjamini_hochberg
from analysis.kernels.parallel import blocks, index_blocks, n_processors
from analysis.kernels.permutation import permutation_p_value, permuted_distances
from analysis.transport.pot import pot

_BLOCK_BYTES, _BLOCK_NEURONS = 2**28, 64
_SECOND, _STATISTIC = "_second", "statistic"
_Kernel = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]]


def distribution_distance(
    a: xr.DataArray,
    b: xr.DataArray,
    dim: str = TOKEN,
    *,
    p: float = 1,
    standardise: bool = False,
    n_permutations: int = 0,
    seed: int = 0,
) -> xr.Dataset:
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
        Permutations of the two samples' labels, the same ones for all neurons; 0 for no test.
    seed : int
        Seed of the permutations.

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
    statistics = _reduce_two(kernel, a, b, (dim,))
    units = "standard deviation" if standardise else "1"
    result = _result(statistics, f"{p:g}-Wasserstein distance between the two samples", units, n_permutations)
    if n_permutations:
        result["q_value"] = _adjusted(result["p_value"])
    result.attrs = {"p": p, "standardise": int(standardise), "n_permutations": n_permutations, "seed": seed}
    return result


def sliced_distance(
    a: xr.DataArray,
    b: xr.DataArray,
    dim: str = TOKEN,
    neuron_dim: str = NEURON,
    *,
    n_projections: int = 100,
    seed: int = 0,
    n_permutations: int = 0,
) -> xr.Dataset:
    r"""Sliced 2-Wasserstein distance between the joint distributions of a set of neurons.

    Parameters
    ----------
    a, b : DataArray
        The same dims, of which only `dim` may differ in size; in memory, lazy or Dask's.
    dim : str
        The sample dim; its entries are the points.
    neuron_dim : str
        The dim whose entries are the points' coordinates; matched by index, whatever their labels.
    n_projections : int
        Random directions, the same ones for every other dim.
    seed : int
        Seed of the directions and permutations.
    n_permutations : int
        Permutations of the two samples' labels; 0 for no test.

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
    statistics = _reduce_two(kernel, a, b, (dim, neuron_dim))
    result = _result(statistics, "sliced 2-Wasserstein distance between the two samples", "1", n_permutations)
    result.attrs = {"n_projections": n_projections, "n_permutations": n_permutations, "seed": seed}
    return result


def _result(statistics: xr.DataArray, long_name: str, units: str, n_permutations: int) -> xr.Dataset:
    """The distance and, with permutations, the p-value under their names."""
    result = xr.Dataset({"transport_distance": statistics.isel({_STATISTIC: 0})})
    result["transport_distance"].attrs = {"long_name": long_name, "units": units}
    if n_permutations:
        result["p_value"] = statistics.isel({_STATISTIC: 1})
    return result


def _reduce_two(kernel: _Kernel, a: xr.DataArray, b: xr.DataArray, core: tuple[str, ...]) -> xr.DataArray:
    """Statistics of two samples (other dims, statistic).

    The kernel takes two arrays whose last dims are `core`, of which the first is the sample's, and gives (…, statistic).
    """
    _check(a, b, core)
    a, b = _with_common_coords(a, b, core), _with_common_coords(b, a, core)
    over = [str(name) for name in a.dims if name not in core]
    if a.chunks is None and b.chunks is None:
        statistics = np.empty((*(a.sizes[name] for name in over), 2))
        for index in index_blocks(statistics.shape[:-1], _block_size(a, b, core)):
            parts = (array.isel(dict(zip(over, index, strict=True))).compute() for array in (a, b))
            # Arrays are transposed only when they are in memory.
            statistics[index] = kernel(*(part.transpose(*over, *core, missing_dims="ignore").values for part in parts))
        return xr.DataArray(statistics, dims=(*over, _STATISTIC), coords=a.coords)
    chunks = {name: (a if a.chunks is not None else b).chunksizes[name] for name in over} | dict.fromkeys(core, -1)
    lazy: xr.DataArray = xr.apply_ufunc(
        kernel,
        a.chunk(chunks),
        b.chunk(chunks).rename({core[0]: _SECOND}),
        input_core_dims=[list(core), [_SECOND, *core[1:]]],
        output_core_dims=[[_STATISTIC]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {_STATISTIC: 2}},
    )
    return lazy


def _check(a: xr.DataArray, b: xr.DataArray, core: tuple[str, ...]) -> None:
    """Refuse samples that cannot be compared."""
    if not set(core) <= set(a.dims) or set(a.dims) != set(b.dims):
        raise ValueError(f"both need the dims {', '.join(core)} and the same others; they have {a.dims} and {b.dims}")
    dim, *coordinates = core
    if min(a.sizes[dim], b.sizes[dim]) < 2:
        raise ValueError(f"a distribution needs at least two values, got {a.sizes[dim]} and {b.sizes[dim]}")
    if any(a.sizes[name] != b.sizes[name] for name in coordinates):
        raise ValueError(f"both need the same number of coordinates; they have {dict(a.sizes)} and {dict(b.sizes)}")
    xr.align(a, b, join="exact", copy=False, exclude=core)  # a ValueError names what differs


def _with_common_coords(array: xr.DataArray, second: xr.DataArray, core: tuple[str, ...]) -> xr.DataArray:
    """The first array without labels of the core dims, and without coordinates that differ in the second."""
    of_core = [name for name, coord in array.coords.items() if set(core) & set(coord.dims)]
    array = array.drop_vars(of_core)
    common = [name for name, coord in array.coords.items() if name in second.coords]
    equal = [name for name in common if array.coords[name].variable.equals(second.coords[name].variable)]
    return array.drop_vars([name for name in array.coords if name not in equal])


def _block_size(a: xr.DataArray, b: xr.DataArray, core: tuple[str, ...]) -> int:
    """How many entries of the last of the other dims hold about 256 MiB."""
    n_bytes = max(array.dtype.itemsize * int(np.prod([array.sizes[name] for name in core])) for array in (a, b))
    n_aligned = _BLOCK_NEURONS if len(core) == 1 else 1  # whole chunks of the store
    return max(n_aligned, _BLOCK_BYTES // n_bytes // n_aligned * n_aligned)


def _adjusted(p: xr.DataArray) -> xr.DataArray:
    """Q-values over all of an array, lazy where the array is."""
    dims = list(p.dims)
    q: xr.DataArray = xr.apply_ufunc(
        benjamini_hochberg,
        p,
        input_core_dims=[dims],
        output_core_dims=[dims],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"allow_rechunk": True},
    )
    return q


def _compare(
    a: NDArray[Any], b: NDArray[Any], *, p: float, standardise: bool, n_permutations: int, seed: int
) -> NDArray[np.float64]:
    """Distance and p-value (…, 2) of samples (…, item)."""
    wasserstein_1d = pot().wasserstein_1d
    samples = [values.reshape(-1, values.shape[-1]) for values in (a, b)]

    def of_neurons(block: slice) -> NDArray[np.float64]:
        x, y = (np.sort(rows[block].astype(np.float64), axis=1) for rows in samples)
        # Neuron by neuron: for a corpus this is six times as fast as POT on all of them.
        powers = [wasserstein_1d(*pair, p=p, require_sort=False) for pair in zip(x, y, strict=True)]
        distance = np.maximum(powers, 0) ** (1 / p)
        distance[(x[:, 0] == x[:, -1]) & (y[:, 0] == y[:, -1])] = np.nan
        pooled = np.concatenate([x, y], axis=1).T
        p_value = np.full_like(distance, np.nan)
        if n_permutations:
            null = permuted_distances(pooled, x.shape[1], n_permutations, np.random.default_rng(seed), p)
            p_value = permutation_p_value(distance, null)
        scale = pooled.std(axis=0) if standardise else np.ones(1)
        with np.errstate(invalid="ignore"):
            return np.stack([distance / scale, p_value], axis=-1)

    with ThreadPoolExecutor(n_processors()) as pool:
        parts = list(pool.map(of_neurons, blocks(len(samples[0]), _BLOCK_NEURONS)))
    return np.concatenate(parts).reshape(*a.shape[:-1], 2)


def _sliced(a: NDArray[Any], b: NDArray[Any], *, n_projections: int, n_permutations: int, seed: int) -> NDArray[np.float64]:
    """Distance and p-value (…, 2) of sets of points (…, item, coordinate)."""
    directions = np.random.default_rng(seed).normal(size=(a.shape[-1], n_projections))
    directions /= np.linalg.norm(directions, axis=0)
    statistics = np.full((*a.shape[:-2], 2), np.nan)
    for index in np.ndindex(a.shape[:-2]):
        x, y = (_projected(points[index], directions) for points in (a, b))
        distance = pot().sliced_wasserstein_distance(x, y, projections=np.eye(n_projections))
        statistics[index][0] = distance
        if n_permutations:
            null = permuted_distances(np.concatenate([x, y]), len(x), n_permutations, np.random.default_rng(seed), p=2)
            statistics[index][1] = permutation_p_value(distance, np.sqrt(np.mean(null**2, axis=1)))
    return statistics


def _projected(points: NDArray[Any], directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """(item, direction), in float64 a block of items at a time."""
    n_rows = max(1, _BLOCK_BYTES // (8 * len(directions)))
    return np.concatenate([points[block].astype(np.float64) @ directions for block in blocks(len(points), n_rows)])
