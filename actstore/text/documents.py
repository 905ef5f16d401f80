"""Documents: a text, and its sentences of words by character span."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actstore import bounds
from actstore.errors import CorpusError

UNKNOWN_DEPTH = -1
"""Depth of a word without a path to a root."""
_UNVISITED = -2


@dataclass(frozen=True, slots=True)
class CorpusWord:
    """A word at characters [start, end) of its document; `depth` is the number of arcs up to its sentence's root."""

    start: int
    end: int
    upos: str = ""
    deprel: str = ""
    depth: int = UNKNOWN_DEPTH


def depths(heads: Sequence[int]) -> list[int]:
    """Arcs from each word up to its root; `UNKNOWN_DEPTH` where they lead to no word, or in a circle.

    Parameters
    ----------
    heads : sequence of int
        1-based position of each word's head, 0 for the root (the CoNLL-U convention).
    """
    n_words = len(heads)
    depth_of = [_UNVISITED] * n_words
    for start in range(n_words):
        path, word = [], start
        while depth_of[word] == _UNVISITED and 1 <= heads[word] <= n_words:
            depth_of[word] = UNKNOWN_DEPTH  # where a circle closes
            path.append(word)
            word = heads[word] - 1
        if depth_of[word] == _UNVISITED:
            depth_of[word] = 0 if heads[word] == 0 else UNKNOWN_DEPTH
        depth = depth_of[word]
        for word in reversed(path):
            depth = UNKNOWN_DEPTH if depth == UNKNOWN_DEPTH else depth + 1
            depth_of[word] = depth
    return depth_of


@dataclass(frozen=True, slots=True)
class CorpusDocument:
    """A text with its sentences; `sentences` is empty if words are not known."""

    name: str
    text: str
    sentences: tuple[tuple[CorpusWord, ...], ...] = ()


def check_length(n_characters: int, location: str, mend: str) -> None:
    """Refuse a document that is too long.

    Raises
    ------
    CorpusError
        If it has more than `bounds.LONGEST_DOCUMENT` characters; `mend` says what to do.
    """
    if n_characters > bounds.LONGEST_DOCUMENT:
        raise CorpusError(f"{location}: the document has more than {bounds.LONGEST_DOCUMENT:,} characters; {mend}")
