"""What a document is: a text, and its sentences of words by character span."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

UNKNOWN_DEPTH = -1
"""Depth of a word whose sentence has no known tree."""


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
    found = []
    for position in range(1, len(heads) + 1):
        depth, at = 0, position
        while depth < len(heads) and 1 <= heads[at - 1] <= len(heads):
            at, depth = heads[at - 1], depth + 1
        found.append(depth if heads[at - 1] == 0 else UNKNOWN_DEPTH)
    return found


@dataclass(frozen=True, slots=True)
class CorpusDocument:
    """A text with its sentences; `sentences` is empty where words are not known."""

    name: str
    text: str
    sentences: tuple[tuple[CorpusWord, ...], ...] = ()
