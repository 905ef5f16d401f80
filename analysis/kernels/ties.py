"""The least and the greatest of many numbers, whatever the last digits of the arithmetic.

Owns which numbers tie, and which of those comes first.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_CELL = 2**13
"""Float32 numbers in a cell. They agree in the 11 significant bits that float16 has."""
_OFFSET = _CELL // 3
"""Cells end a third of a cell away from the float16 numbers: many differences of two such lie on or half-way between them."""
_RANK_BITS = 32


def keyed(values: NDArray[np.float32], rank: NDArray[np.int64]) -> NDArray[np.int64]:
    """Whole numbers in the order of the values, no two of a row alike; values that tie are in the order of their ranks.

    Parameters
    ----------
    values : float32 array (…, item)
        At least 0, may be infinite; overwritten.
    rank : int array (item,) or (…, item)
        From 0, below 2³², no two of a row alike.

    Returns
    -------
    int array (…, item)

    Notes
    -----
    Values in one cell tie. A cell spans 2⁻¹¹ to 2⁻¹⁰ of its values, which is the spacing of float16. Sums in another
    order change the last digits of a float32: without ties, noise would order inputs that are equal token for token.

    Examples
    --------
    >>> keys = keyed(np.float32([3.0, 1.0, 1.0 + 1e-6, 1.01]), np.array([0, 2, 1, 3]))
    >>> rank_of(np.sort(keys))
    array([1, 2, 3, 0])
    """
    bits = values.view(np.uint32)
    bits += np.uint32(_OFFSET)
    bits &= np.uint32(2**32 - _CELL)
    keys = bits.astype(np.int64)
    keys <<= _RANK_BITS
    keys |= rank
    return keys


def rank_of(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """The ranks within keys of `keyed`."""
    rank: NDArray[np.int64] = keys & (2**_RANK_BITS - 1)
    return rank


@lru_cache(maxsize=8)
def drawn_order(n: int) -> NDArray[np.int64]:
    """The numbers from 0 below n in a random order, the same at every call; read-only.

    Ties are broken by this order. By the order of the text, the first documents would win all ties.
    """
    order = np.random.default_rng(0).permutation(n)
    order.flags.writeable = False
    return order
