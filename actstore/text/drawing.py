"""Documents of a finite corpus in an order drawn by seed, without the whole corpus in memory.

The first reading counts documents and their characters. Each later reading takes the next documents of
the order, a bounded amount of text at a time.
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
"""Begins a reading: the documents of each file, in the corpus's own order, read lazily."""


@dataclass
class _Census:
    """Results of the first reading.

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
    """Every document once, in an order that the seed and the number of documents determine.

    A small corpus is read once. A larger one is read again for every part of the order, at most
    `bounds.MOST_READINGS` times in all, and only as far as documents are taken.

    Raises
    ------
    CorpusError
        If the corpus changes between two readings.
    """
    census = _census(files)
    order = np.random.default_rng(seed).permutation(len(census.lengths))
    if census.held:
        return (census.held[index] for index in order)
    return _in_parts(files, census, order)


def _census(files: Files) -> _Census:
    census, n_characters = _Census(), 0
    for documents in files():
        n_before = len(census.lengths)
        for document in documents:
            census.lengths.append(len(document.text))
            n_characters += len(document.text)
            if n_characters <= bounds.HELD_TEXT:
                census.held.append(document)
            else:
                census.held.clear()
        census.n_documents.append(len(census.lengths) - n_before)
    return census


def _in_parts(files: Files, census: _Census, order: NDArray[np.int64]) -> Iterator[CorpusDocument]:
    lengths = np.frombuffer(census.lengths, np.int64)
    ends = np.cumsum(lengths[order])
    part_length = max(bounds.HELD_TEXT, -(-int(ends[-1]) // bounds.MOST_READINGS)) if len(order) else 0
    start = 0
    while start < len(order):
        n_read = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, n_read + part_length, side="right")))
        documents = _read(files, census, np.sort(order[start:stop]))
        for index in order[start:stop]:
            yield documents.pop(int(index))
        start = stop


def _read(files: Files, census: _Census, indices: NDArray[np.int64]) -> dict[int, CorpusDocument]:
    """The documents of these ascending indices; a file without any of them is not opened."""
    chosen: dict[int, CorpusDocument] = {}
    first = 0
    for documents, n_documents in zip(files(), census.n_documents, strict=False):
        in_file = indices[np.searchsorted(indices, first) : np.searchsorted(indices, first + n_documents)]
        if len(in_file):
            in_part, last = set(in_file.tolist()), int(in_file[-1])
            for index, document in enumerate(documents, first):
                if index in in_part and len(document.text) == census.lengths[index]:
                    chosen[index] = document
                if index == last:
                    break
        first += n_documents
    if len(chosen) < len(indices):
        raise CorpusError("the corpus changed while it was read; run the same command again")
    return chosen
