"""Forms of text files: plain text, JSON lines, CoNLL-U.

Owns parsing: a file's name and decoded text in, documents out. Brown's tagged form has its own
file, `brown.py`.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator

from actstore.documents import CorpusDocument, CorpusWord, depths
from actstore.errors import CorpusError, UnknownNameError

Reader = Callable[[str, str], Iterator[CorpusDocument]]
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_INDEX = re.compile(r"[1-9]\d*(-[1-9]\d*)?|\d+\.[1-9]\d*")
_ARTICLE = re.compile(r"^ = (?!=)[^\n]* = ?$", re.MULTILINE)


def plain(name: str, text: str, boundary: str = "file") -> Iterator[CorpusDocument]:
    """Plain text; a document is the file, a WikiText article, a paragraph (by blank lines) or a line.

    Raises
    ------
    UnknownNameError
        If `boundary` is none of these.
    """
    if boundary not in BOUNDARIES:
        raise UnknownNameError("document boundary", boundary, BOUNDARIES)
    parts = BOUNDARIES[boundary](text)
    if boundary == "file":
        yield CorpusDocument(name, text)
        return
    for number, part in enumerate(parts, 1):
        if part.strip():
            yield CorpusDocument(f"{name}:{number}", part)


def _articles(text: str) -> list[str]:
    starts = [match.start() for match in _ARTICLE.finditer(text)]
    return [text[a:b] for a, b in itertools.pairwise([0, *starts, len(text)])]


BOUNDARIES: dict[str, Callable[[str], list[str]]] = {
    "file": lambda text: [text],
    "article": _articles,
    "paragraph": _PARAGRAPH.split,
    "line": lambda text: text.split("\n"),
}
"""What a document of a plain text is."""


def json_lines(name: str, text: str) -> Iterator[CorpusDocument]:
    """JSON lines: one document a line, its text under `text`, its name under `id` where there is one."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            raise CorpusError(f"{name} line {number} is not JSON") from None
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            raise CorpusError(f'{name} line {number} has no "text"; every line must be an object such as {{"text": "…"}}')
        if _LONE_SURROGATE.search(record["text"]):
            raise CorpusError(f"{name} line {number} has half a character (a lone surrogate); mend its \\u escapes")
        yield CorpusDocument(str(record.get("id", f"{name}:{number}")), record["text"])


def conllu(name: str, text: str) -> Iterator[CorpusDocument]:
    """CoNLL-U: one document a `# newdoc`, or one for the file."""
    documents: list[tuple[str, list[list[list[str]]]]] = [(name, [])]
    rows: list[list[str]] = []
    for number, line in enumerate(itertools.chain(text.splitlines(), [""]), 1):
        if line.startswith("# newdoc"):
            documents.append((line.partition("=")[2].strip() or f"{name}:{number}", []))
        elif line.startswith("#"):
            continue
        elif line.strip():
            columns = line.split("\t")
            if len(columns) != 10:
                raise CorpusError(f"{name} line {number}: CoNLL-U needs 10 tab-separated columns, found {len(columns)}")
            if not _INDEX.fullmatch(columns[0]):
                raise CorpusError(f"{name} line {number}: {columns[0]!r} is not a CoNLL-U index (such as 3, 3-4 or 3.1)")
            rows.append(columns)
        elif rows:
            documents[-1][1].append(rows)
            rows = []
    for title, sentences in documents:
        if sentences:
            yield _assemble(title, sentences)


def _assemble(title: str, sentences: list[list[list[str]]]) -> CorpusDocument:
    pieces: list[str] = []
    length = 0
    spans: list[tuple[CorpusWord, ...]] = []
    for rows in sentences:
        words: list[CorpusWord] = []
        depth_of = _depths(rows)
        first, last = 0, 0  # syntactic words of the current multiword token
        for columns in rows:
            index, form, upos, deprel, misc = columns[0], columns[1], columns[3], columns[7], columns[9]
            if "." in index:  # an empty node has no surface text
                continue
            end = length + len(form)
            if "-" in index:
                first, last = (int(part) for part in index.split("-"))
                surface = (length, end)
            elif first <= int(index) <= last:
                if int(index) == first:  # the parts share one span: the first one labels it
                    words.append(CorpusWord(*surface, upos, deprel, depth_of[index]))
                continue
            else:
                words.append(CorpusWord(length, end, upos, deprel, depth_of[index]))
            pieces.append(form if "SpaceAfter=No" in misc else form + " ")
            length += len(pieces[-1])
        spans.append(tuple(words))
    return CorpusDocument(title, "".join(pieces).rstrip(), tuple(spans))


def _depths(rows: list[list[str]]) -> dict[str, int]:
    """Index of a syntactic word → arcs up to the root."""
    words = [columns for columns in rows if columns[0].isdecimal()]
    heads = [int(columns[6]) if columns[6].isdecimal() else -1 for columns in words]
    return dict(zip((columns[0] for columns in words), depths(heads), strict=True))


READERS: dict[str, Reader] = {".txt": plain, ".jsonl": json_lines, ".conllu": conllu}
"""File name ending → reader."""
