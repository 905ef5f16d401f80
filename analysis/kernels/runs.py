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
        Document of each token; a document's tokens are neighbours. A run lies in one document.
    length : int
        Tokens in a run. A document of fewer tokens is one run.

    Returns
    -------
    array (token,)
        Of the first text.

    Notes
    -----
    Runs are compared by 64-bit polynomial hashes: of a million runs in each text, one is taken for
    another with a probability of about 1e-7. Time is of the order of `length` times the tokens.
    """
    size = np.bincount(np.unique(document, return_inverse=True)[1])
    run_length = np.minimum(np.repeat(size, size), length)  # a document's tokens are neighbours
    is_shared = np.zeros(len(ids), bool)
    for each in np.unique(run_length):
        inside = np.flatnonzero(run_length == each)
        starts, hashes = _hashed(ids[inside], document[inside], int(each))
        starts = starts[np.isin(hashes, _hashed(reference_ids, reference_document, int(each))[1])]
        covered = np.zeros(len(inside) + 1, np.int64)
        np.add.at(covered, starts, 1)
        np.add.at(covered, starts + each, -1)
        is_shared[inside] = covered.cumsum()[:-1] > 0
    return is_shared


def _hashed(ids: NDArray[np.int64], document: NDArray[np.int64], length: int) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
    """Where the runs of that length begin that lie in one document, and their hashes."""
    n_runs = max(0, len(ids) - length + 1)
    mixed = ids.astype(np.uint64) + _BASE
    for shift, factor in zip((30, 27), _MIX, strict=True):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * factor
    hashes = np.zeros(n_runs, np.uint64)
    for offset in range(length):
        hashes = hashes * _BASE + mixed[offset : offset + n_runs]
    starts = np.flatnonzero(document[:n_runs] == document[length - 1 :][:n_runs])
    return starts, hashes[starts]
