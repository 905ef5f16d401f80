"""Words, phrases and sentences of the embedded language, with Universal Dependencies labels.

Owns the data structures only: a `Word` points at its head, a phrase is a list of words with a
head, a `Sentence` renders to text with exact character spans.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

NO_SPACE_BEFORE = frozenset(".,?!;:")


class Word:
    """One word; `head` is the governing `Word`, None for the root."""

    __slots__ = ("deprel", "form", "head", "lemma", "upos")

    def __init__(self, form: str, upos: str, deprel: str = "root", head: Word | None = None, lemma: str = "") -> None:
        self.form = form
        self.upos = upos
        self.deprel = deprel
        self.head = head
        self.lemma = lemma or form.lower()

    def attach(self, head: Word, deprel: str) -> Word:
        """Make `head` govern this word and return this word."""
        self.head = head
        self.deprel = deprel
        return self

    def __repr__(self) -> str:
        return f"{self.form}/{self.upos}/{self.deprel}"


@dataclass(slots=True)
class NounPhrase:
    """A noun phrase with the features that verbs and pronouns agree with."""

    words: list[Word]
    head: Word
    number: str = "sg"
    gender: str = "n"
    kind: str = "person"
    person: int = 3

    @property
    def plural_agreement(self) -> bool:
        return self.number == "pl" or (self.person == 2)


@dataclass(slots=True)
class Clause:
    """A clause: its words, the predicate they hang from and the word that carries agreement."""

    words: list[Word]
    root: Word
    finite: Word
    subject: NounPhrase


@dataclass(frozen=True, slots=True)
class Sentence:
    """An ordered, finished sentence."""

    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        return "".join(self._pieces())

    def _pieces(self) -> Iterator[str]:
        for index, word in enumerate(self.words):
            if index and word.form not in NO_SPACE_BEFORE:
                yield " "
            yield word.form

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Character [start, end) of each word in `text`."""
        spans, cursor = [], 0
        for index, word in enumerate(self.words):
            cursor += bool(index and word.form not in NO_SPACE_BEFORE)
            spans.append((cursor, cursor + len(word.form)))
            cursor += len(word.form)
        return spans

    @property
    def heads(self) -> list[int]:
        """1-based position of each word's head, 0 for the root (the CoNLL-U convention)."""
        order = {id(word): index + 1 for index, word in enumerate(self.words)}
        return [0 if word.head is None else order[id(word.head)] for word in self.words]


def finish(words: Iterable[Word], root: Word, mark: str = ".") -> Sentence:
    """Close a clause: root label, final punctuation, capital letter."""
    ordered = list(words)
    root.head, root.deprel = None, "root"
    ordered.append(Word(mark, "PUNCT", "punct", root))
    first = ordered[0]
    first.form = first.form[0].upper() + first.form[1:]
    return Sentence(tuple(ordered))


def replace_form(sentence: Sentence, index: int, form: str) -> Sentence:
    """`sentence` with another form at `index` (capital kept), as a string-level edit."""
    words = list(sentence.words)
    word = words[index]
    if index == 0:
        form = form[0].upper() + form[1:]
    words[index] = Word(form, word.upos, word.deprel, word.head, word.lemma)
    return Sentence(tuple(words))
