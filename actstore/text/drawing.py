"""Documents of a finite corpus in an order drawn by seed, without the corpus in memory.

Owns the readings: the first one counts documents and their characters, and each later one picks the
next documents of the order, a bounded amount of text at a time.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from actstore import bounds
from actstore.errors import CorpusError
from actstore.text.documents import CorpusDocument

Files = Callable[[], Iterable[Iterable[CorpusDocument]]]
"""Begins a reading: the documents of each file, in the corpus's own order, read when they are asked for."""


@dataclass
class _Census:
    """What the first reading leaves.

    Attributes
    ----------
    lengths : array of int
        Characters of every document.
    n_documents : list of int
        Documents of every file.
    held : list of CorpusDocument
        All documents of a small corpus, none of a larger one.
    """

    lengths: array[int] = field(default_factory=lambda: array("q"))
    n_documents: list[int] = field(default_factory=list)
    held: list[CorpusDocument] = field(default_factory=list)


def drawn(files: Files, seed: int) -> Iterator[CorpusDocument]:
    """Every document once, in the order that a seed gives to a corpus of as many.

    A corpus of little text is read once. A larger one is read again for every part of the order
    that is asked for, at most `bounds.MOST_READINGS` times in all.

    Raises
    ------
    CorpusError
        If the corpus changes between two readings.
    """
    census = _taken(files)
    order = np.random.default_rng(seed).permutation(len(census.lengths))
    if census.held:
        return (census.held[index] for index in order)
    return _in_parts(files, census, order)


def _taken(files: Files) -> _Census:
    census, n_characters = _Census(), 0
    for documents in files():
        before = len(census.lengths)
        for document in documents:
            census.lengths.append(len(document.text))
            n_characters += len(document.text)
            if n_characters <= bounds.HELD_TEXT:
                census.held.append(document)
            else:
                census.held.clear()
        census.n_documents.append(len(census.lengths) - before)
    return census


def _in_parts(files: Files, census: _Census, order: NDArray[np.int64]) -> Iterator[CorpusDocument]:
    lengths = np.frombuffer(census.lengths, np.int64)
    ends = np.cumsum(lengths[order])
    most = max(bounds.HELD_TEXT, -(-int(ends[-1]) // bounds.MOST_READINGS)) if len(order) else 0
    start = 0
    while start < len(order):
        read = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, read + most, side="right")))
        picked = _picked(files, census, np.sort(order[start:stop]))
        for index in order[start:stop]:
            yield picked.pop(int(index))
        start = stop


def _picked(files: Files, census: _Census, wanted: NDArray[np.int64]) -> dict[int, CorpusDocument]:
    """The documents of these numbers, ascending; a file with none of them is not opened."""
    picked: dict[int, CorpusDocument] = {}
    first = 0
    for documents, n_documents in zip(files(), census.n_documents, strict=False):
        here = wanted[np.searchsorted(wanted, first) : np.searchsorted(wanted, first + n_documents)]
        if len(here):
            sought, last = set(here.tolist()), int(here[-1])
            for number, document in enumerate(documents, first):
                if number in sought and len(document.text) == census.lengths[number]:
                    picked[number] = document
                if number == last:
                    break
        first += n_documents
    if len(picked) < len(wanted):
        raise CorpusError("the corpus changed while it was read; run the same command again")
    return picked
