"""Rows of an array on all processors, some at a time.

Owns the cutting: a block of rows is small enough for the cache, of one dtype for arithmetic, and the
same whatever the number of processors, as is the order in which products are summed.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

_BLOCK_ELEMENTS = 2**18
_STRIDED_ROWS = 32
"""Rows gathered at once from an array whose rows are not contiguous: of half precision a line of the processor's cache."""


def map_rows(
    function: Callable[[NDArray[np.floating]], NDArray[np.float64]], values: NDArray[np.generic], axis: int
) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Apply a function to blocks of samples, in threads.

    Parameters
    ----------
    function : callable
        Takes samples (row, n), C-contiguous and its own to overwrite, float32 (of half and single
        precision input) or float64; gives (row, statistic).
    values : array
    axis : int
        The sample axis.

    Returns
    -------
    shape : tuple of int
        Of `values` without `axis`.
    found : array (product of shape, statistic), float64

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
    work = np.dtype(np.float32 if values.dtype in (np.float16, np.float32) else np.float64)
    size = max(1, _BLOCK_ELEMENTS // n)
    stride = size if rows.strides[-1] == rows.itemsize else max(size, _STRIDED_ROWS)

    def gathered(first: int) -> list[NDArray[np.float64]]:
        part: NDArray[np.floating] = rows[first : first + stride].astype(work, order="C", copy=True)
        return [function(part[a : a + size]) for a in range(0, len(part), size)]

    found = [block for blocks in workers().map(gathered, range(0, len(rows), stride)) for block in blocks]
    return shape, np.concatenate(found)


@functools.cache
def workers() -> ThreadPoolExecutor:
    """A thread for every processor. They are kept, since memory that a thread has used stays with it."""
    return ThreadPoolExecutor(n_processors(), thread_name_prefix="analysis")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=workers.cache_clear)  # a child has no threads


def one_thread_a_product() -> threadpool_limits:
    """A context in which each product and decomposition of matrices runs on one thread.

    On several it is cut by their number, and every number of them gives other last digits. Blocks of
    our own cutting take the processors instead.
    """
    return threadpool_limits(1, "blas")


def n_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
