"""Runs of tokens that two texts share.

Owns the comparison of token sequences by hashes of their runs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def shared_runs(
    ids: NDArray[np.int64],
    document: NDArray[np.int64],
    reference_ids: NDArray[np.int64],
    reference_document: NDArray[np.int64],
    length: int,
) -> NDArray[np.bool_]:
    """Which tokens of a text lie in a run that occurs in another text.

    Parameters
    ----------
    ids, reference_ids : array (token,)
        Vocabulary indices of the two texts.
    document, reference_document : array (token,)
        Document of each token; the tokens of a document are in one piece. A run lies within a document.
    length : int
        Tokens in a run. A document of fewer tokens is one run.

    Returns
    -------
    bool array (token,)
        Over the first text.

    Notes
    -----
    Runs are compared by 64-bit polynomial hashes: with a million runs in each text, the probability that any two
    different runs count as equal is about 1e-7. Time is of the order of `length` times the tokens.
    """
    size = np.bincount(np.unique(document, return_inverse=True)[1])
    run_length = np.minimum(np.repeat(size, size), length)
    is_shared = np.zeros(len(ids), bool)
    for n in map(int, np.unique(run_length)):
        tokens = np.flatnonzero(run_length == n)
        starts, hashes = _hashed(ids[tokens], document[tokens], n)
        starts = starts[np.isin(hashes, _hashed(reference_ids, reference_document, n)[1])]
        n_covering = np.zeros(len(tokens) + 1, np.int64)
        np.add.at(n_covering, starts, 1)
        np.add.at(n_covering, starts + n, -1)
        is_shared[tokens] = n_covering.cumsum()[:-1] > 0
    return is_shared


def _hashed(ids: NDArray[np.int64], document: NDArray[np.int64], length: int) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
    """First tokens and hashes of the runs of a length that lie within a document."""
    n_runs = max(0, len(ids) - length + 1)
    mixed = ids.astype(np.uint64) + _BASE
    for shift, factor in zip((30, 27), _MIX, strict=True):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * factor
    hashes = np.zeros(n_runs, np.uint64)
    for offset in range(length):
        hashes = hashes * _BASE + mixed[offset : offset + n_runs]
    starts = np.flatnonzero(document[:n_runs] == document[length - 1 :][:n_runs])
    return starts, hashes[starts]
