"""What a document is: a text, and its sentences of words by character span."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CorpusWord:
    """A word at characters [start, end) of its document."""

    start: int
    end: int
    upos: str = ""
    deprel: str = ""


@dataclass(frozen=True, slots=True)
class CorpusDocument:
    """A text with its sentences; `sentences` is empty where words are not known."""

    name: str
    text: str
    sentences: tuple[tuple[CorpusWord, ...], ...] = ()
