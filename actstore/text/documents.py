"""What a document is: a text, and its sentences of words by character span."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actstore import bounds
from actstore.errors import CorpusError

UNKNOWN_DEPTH = -1
"""Depth of a word whose sentence has no known tree."""
_UNVISITED = -2


@dataclass(frozen=True, slots=True)
class CorpusWord:
    """A word at characters [start, end) of its document; `depth` counts the arcs up to its sentence's root."""

    start: int
    end: int
    upos: str = ""
    deprel: str = ""
    depth: int = UNKNOWN_DEPTH


def depths(heads: Sequence[int]) -> list[int]:
    """Arcs from each word up to its root; unknown where they lead nowhere or in a circle.

    Parameters
    ----------
    heads : sequence of int
        1-based position of each word's head, 0 for the root (the CoNLL-U convention).
    """
    n_words = len(heads)
    known = [_UNVISITED] * n_words
    for start in range(n_words):
        path, at = [], start
        while known[at] == _UNVISITED and 1 <= heads[at] <= n_words:
            known[at] = UNKNOWN_DEPTH  # what a circle comes back to
            path.append(at)
            at = heads[at] - 1
        if known[at] == _UNVISITED:
            known[at] = 0 if heads[at] == 0 else UNKNOWN_DEPTH
        depth = known[at]
        for word in reversed(path):
            depth = UNKNOWN_DEPTH if depth == UNKNOWN_DEPTH else depth + 1
            known[word] = depth
    return known


@dataclass(frozen=True, slots=True)
class CorpusDocument:
    """A text with its sentences; `sentences` is empty where words are not known."""

    name: str
    text: str
    sentences: tuple[tuple[CorpusWord, ...], ...] = ()


def check_length(n_characters: int, place: str, mend: str) -> None:
    """Refuse a document that is longer than a document may be.

    Raises
    ------
    CorpusError
        If it is; `mend` says what to do.
    """
    if n_characters > bounds.LONGEST_DOCUMENT:
        raise CorpusError(f"{place}: the document has more than {bounds.LONGEST_DOCUMENT:,} characters; {mend}")
