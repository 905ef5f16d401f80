"""The least and the greatest of many numbers: the same ones whatever the last digits of the arithmetic.

Owns what counts as a tie, and which of those that tie comes first.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_CELL = 2**13
"""Float32 numbers in a cell: those that agree in the 11 significant bits that float16 keeps."""
_OFFSET = _CELL // 3
"""Cells end a third away from the numbers that float16 keeps: not there, nor half-way, where many differences of two lie."""
_PLACE_BITS = 32


def keyed(values: NDArray[np.float32], place: NDArray[np.int64]) -> NDArray[np.int64]:
    """Whole numbers in the order of the values, no two of a row alike: values that tie are in the order of their places.

    Parameters
    ----------
    values : float32 array (…, item)
        Not negative, or infinite; overwritten.
    place : int array (item,) or (…, item)
        From 0, below 2³², no two of a row alike.

    Returns
    -------
    int array (…, item)

    Notes
    -----
    Values in a cell tie: it spans 2⁻¹¹ to 2⁻¹⁰ of them, which is as near as float16 tells two numbers
    apart. Sums in another order move the last digits of a float32, so that inputs and outputs which
    are the same token for token would else be ordered by noise.

    Examples
    --------
    >>> keys = keyed(np.float32([3.0, 1.0, 1.0 + 1e-6, 1.01]), np.array([0, 2, 1, 3]))
    >>> place_of(np.sort(keys))
    array([1, 2, 3, 0])
    """
    bits = values.view(np.uint32)
    bits += np.uint32(_OFFSET)
    bits &= np.uint32(2**32 - _CELL)
    keys = bits.astype(np.int64)
    keys <<= _PLACE_BITS
    keys |= place
    return keys


def place_of(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places of keys that `keyed` made."""
    places: NDArray[np.int64] = keys & (2**_PLACE_BITS - 1)
    return places


@lru_cache(maxsize=8)
def drawn_order(n: int) -> NDArray[np.int64]:
    """The numbers below n in an order that is drawn once for all; read-only.

    Ties go by it: in the order of the text all that tie would come from the first documents.
    """
    order = np.random.default_rng(0).permutation(n)
    order.flags.writeable = False
    return order
