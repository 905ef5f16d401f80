"""Forms of text files: plain text, JSON lines, CoNLL-U.

Owns parsing: from a file's name and lines to documents, one at a time. Brown's tagged form is in
`brown.py`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator

from actstore import bounds
from actstore.errors import CorpusError, UnknownNameError
from actstore.text import json_records
from actstore.text.documents import CorpusDocument, CorpusWord, check_length, depths

Reader = Callable[[str, Iterable[str]], Iterator[CorpusDocument]]
_INDEX = re.compile(r"[1-9]\d{0,8}(-[1-9]\d{0,8})?|\d{1,9}\.[1-9]\d{0,8}")
_HEAD = re.compile(r"\d{1,9}")
_ARTICLE = re.compile(r" = (?!=).* = ?")
_HEADING = re.compile(r" = .* = ?")
_CUT_PLAIN = "cut plain text with --documents paragraph, section, article or line"
_CUT_CONLLU = "begin its documents with # newdoc"


def plain(name: str, lines: Iterable[str], boundary: str = "file") -> Iterator[CorpusDocument]:
    """Read plain text; a document is the file, a WikiText article or section, a paragraph (by blank lines) or a line.

    Raises
    ------
    UnknownNameError
        If `boundary` is none of these.
    CorpusError
        If a document is too long.
    """
    if boundary not in BOUNDARIES:
        raise UnknownNameError("document boundary", boundary, BOUNDARIES)
    for number, part in enumerate(BOUNDARIES[boundary](_Lines(name, lines)), 1):
        if boundary == "file":
            yield CorpusDocument(name, part)
        elif part.strip():
            yield CorpusDocument(f"{name}:{number}", part)


class _Lines:
    """The lines of a plain text, collected into documents of bounded length."""

    def __init__(self, name: str, lines: Iterable[str]) -> None:
        self._name, self._lines = name, lines
        self._number = self._length = 0
        self._document: list[str] = []

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self._number += 1
            yield line

    @property
    def is_empty(self) -> bool:
        """Whether the current document has no line."""
        return not self._document

    def add(self, line: str) -> None:
        """Add a line to the current document."""
        self._length += len(line)
        check_length(self._length, f"{self._name} line {self._number}", _CUT_PLAIN)
        self._document.append(line)

    def finish(self) -> str:
        """The text of the current document; the next line begins another one."""
        text = "".join(self._document)
        self._document, self._length = [], 0
        return text


def _whole_file(lines: _Lines) -> Iterator[str]:
    for line in lines:
        lines.add(line)
    yield lines.finish()


def _articles(lines: _Lines) -> Iterator[str]:
    for line in lines:
        if _ARTICLE.fullmatch(line.removesuffix("\n")):
            yield lines.finish()
        lines.add(line)
    yield lines.finish()


def _sections(lines: _Lines) -> Iterator[str]:
    """Parts that a heading of any level begins; headings with nothing between them begin one part."""
    has_text = False
    for line in lines:
        is_heading = _HEADING.fullmatch(line.removesuffix("\n")) is not None
        if is_heading and has_text:
            yield lines.finish()
        has_text = not is_heading and (has_text or bool(line.strip()))
        lines.add(line)
    yield lines.finish()


def _paragraphs(lines: _Lines) -> Iterator[str]:
    """Parts between blank lines; of several blank lines in a row, every second one belongs to a part."""
    for line in lines:
        if not lines.is_empty and line.endswith("\n") and not line.strip():
            yield lines.finish().removesuffix("\n")
        else:
            lines.add(line)
    yield lines.finish()


def _single_lines(lines: _Lines) -> Iterator[str]:
    for line in lines:
        lines.add(line)
        yield lines.finish().removesuffix("\n")


BOUNDARIES: dict[str, Callable[[_Lines], Iterator[str]]] = dict(
    zip(bounds.DOCUMENTS, (_whole_file, _articles, _sections, _paragraphs, _single_lines), strict=True)
)
"""Unit that is a document → cutting a plain text into these."""


def json_lines(name: str, lines: Iterable[str]) -> Iterator[CorpusDocument]:
    """Read JSON lines: one document a line, its text under `text`, its name under `id` if there is one."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        location = f"{name} line {number}"
        try:
            record = json_records.parse(line)
            if not isinstance(record, dict) or not isinstance(record.get("text"), str):
                raise json_records.RecordError('has no "text"; every line must be an object such as {"text": "…"}')
            json_records.check_characters(record["text"])
        except json_records.RecordError as error:
            raise CorpusError(f"{location} {error}") from None
        except ValueError:
            raise CorpusError(f"{location} is not JSON") from None
        check_length(len(record["text"]), location, "make it several records")
        yield CorpusDocument(str(record.get("id", f"{name}:{number}")), record["text"])


def conllu(name: str, lines: Iterable[str]) -> Iterator[CorpusDocument]:
    """Read CoNLL-U: one document for each `# newdoc`, or one for the file."""
    document = _Assembly(name)
    rows: list[list[str]] = []
    n_characters = 0
    # All that Python takes for the end of a line ends one, not only "\n".
    split_lines = (part for line in lines for part in line.splitlines())
    for number, line in enumerate(itertools.chain(split_lines, [""]), 1):
        location = f"{name} line {number}"
        if line.startswith("# newdoc"):
            yield from document.finished()
            document = _Assembly(line.partition("=")[2].strip() or f"{name}:{number}")
        elif line.startswith("#"):
            continue
        elif line.strip():
            n_characters += len(line)
            check_length(n_characters, location, "end every sentence with an empty line")
            rows.append(_columns(line, location))
        elif rows:
            document.add(rows, location)
            rows, n_characters = [], 0
    yield from document.finished()


def _columns(line: str, location: str) -> list[str]:
    columns = line.split("\t")
    if len(columns) != 10:
        raise CorpusError(f"{location}: CoNLL-U needs 10 tab-separated columns, found {len(columns)}")
    if not _INDEX.fullmatch(columns[0]):
        raise CorpusError(f"{location}: {_shortened(columns[0])} is not a CoNLL-U index (such as 3, 3-4 or 3.1)")
    return columns


def _shortened(text: str) -> str:
    return repr(text if len(text) < 60 else text[:60] + "…")


class _Assembly:
    """A document of CoNLL-U, assembled sentence by sentence."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._pieces: list[str] = []
        self._length = 0
        self._sentences: list[tuple[CorpusWord, ...]] = []

    def finished(self) -> Iterator[CorpusDocument]:
        """The document, if it has a sentence."""
        if self._sentences:
            yield CorpusDocument(self._title, "".join(self._pieces).rstrip(), tuple(self._sentences))

    def add(self, rows: list[list[str]], location: str) -> None:
        """Add the rows of a sentence."""
        words: list[CorpusWord] = []
        depth_of = _depths(rows)
        first, last = 0, 0  # syntactic words of the current multiword token
        for columns in rows:
            index, form, upos, deprel, misc = columns[0], columns[1], columns[3], columns[7], columns[9]
            if "." in index:  # an empty node has no surface text
                continue
            end = self._length + len(form)
            if "-" in index:
                first, last = (int(part) for part in index.split("-"))
                surface = (self._length, end)
            elif first <= int(index) <= last:
                if int(index) == first:  # the parts share a span, which gets the labels of the first
                    words.append(CorpusWord(*surface, upos, deprel, depth_of[index]))
                continue
            else:
                words.append(CorpusWord(self._length, end, upos, deprel, depth_of[index]))
            self._pieces.append(form if "SpaceAfter=No" in misc else form + " ")
            self._length += len(self._pieces[-1])
        check_length(self._length, location, _CUT_CONLLU)
        self._sentences.append(tuple(words))


def _depths(rows: list[list[str]]) -> dict[str, int]:
    """Index of a syntactic word → arcs up to the root."""
    words = [columns for columns in rows if columns[0].isdecimal()]
    heads = [int(columns[6]) if _HEAD.fullmatch(columns[6]) else -1 for columns in words]
    return dict(zip((columns[0] for columns in words), depths(heads), strict=True))


READERS: dict[str, Reader] = {".txt": plain, ".jsonl": json_lines, ".conllu": conllu}
"""File name ending → reader."""
