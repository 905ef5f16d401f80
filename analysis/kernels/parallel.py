"""Rows of an array on all processors, a block of rows at a time.

Owns the cutting into blocks. A block fits the processor's cache. Blocks, and the order in which products are summed,
are the same for any number of processors.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

_BLOCK_ELEMENTS = 2**18
_STRIDED_ROWS = 32
"""Rows copied at once from an array whose rows are not contiguous; in half precision they fill a line of the cache."""


def blocks(n_items: int, size: int) -> list[slice]:
    """Slices that cut `n_items` into blocks of `size`; the last one may be shorter.

    Examples
    --------
    >>> blocks(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(start, min(start + size, n_items)) for start in range(0, n_items, size)]


def index_blocks(sizes: Sequence[int], size: int) -> Iterator[tuple[Any, ...]]:
    """Indices of all blocks of an array: one entry of every axis, but `size` entries of the last axis.

    Examples
    --------
    >>> list(index_blocks([2, 3], 2))  # doctest: +NORMALIZE_WHITESPACE
    [(0, slice(0, 2, None)), (0, slice(2, 3, None)),
     (1, slice(0, 2, None)), (1, slice(2, 3, None))]
    >>> list(index_blocks([], 2))
    [()]
    """
    if not sizes:
        yield ()
        return
    for index in itertools.product(*map(range, sizes[:-1])):
        yield from ((*index, block) for block in blocks(sizes[-1], size))


def map_rows(
    function: Callable[[NDArray[np.floating]], NDArray[np.float64]], values: NDArray[np.generic], axis: int
) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Apply a function to blocks of samples, in threads.

    Parameters
    ----------
    function : callable
        Takes samples (row, n) and gives statistics (row, statistic). The samples are C-contiguous, float32 for input
        of half or single precision and else float64, and may be overwritten.
    values : array
    axis : int
        The sample axis.

    Returns
    -------
    shape : tuple of int
        Of `values` without `axis`.
    statistics : array (product of shape, statistic), float64

    Raises
    ------
    ValueError
        If there are fewer than two values along the axis.
    """
    moved = np.moveaxis(values, axis, -1)
    n = moved.shape[-1]
    if n < 2:
        raise ValueError(f"a distribution needs at least two values, got {n}")
    shape = moved.shape[:-1]
    rows = moved.reshape(-1, n)  # copies where the axes cannot be merged
    dtype = np.dtype(np.float32 if values.dtype in (np.float16, np.float32) else np.float64)
    size = max(1, _BLOCK_ELEMENTS // n)
    n_copied = size if rows.strides[-1] == rows.itemsize else max(size, _STRIDED_ROWS)

    def statistics(block: slice) -> list[NDArray[np.float64]]:
        samples: NDArray[np.floating] = rows[block].astype(dtype, order="C", copy=True)
        return [function(samples[part]) for part in blocks(len(samples), size)]

    parts = workers().map(statistics, blocks(len(rows), n_copied))
    return shape, np.concatenate([part for of_block in parts for part in of_block])


@functools.cache
def workers() -> ThreadPoolExecutor:
    """A thread for every processor. The threads live on, so that each uses its memory again."""
    return ThreadPoolExecutor(n_processors(), thread_name_prefix="analysis")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=workers.cache_clear)  # a child process has no threads


def one_thread_a_product() -> threadpool_limits:
    """A context in which each product or decomposition of matrices runs on one thread.

    On several threads the work is cut by their number, and each number gives other last digits. The blocks of this
    module use the processors instead.
    """
    return threadpool_limits(1, "blas")


def n_processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
