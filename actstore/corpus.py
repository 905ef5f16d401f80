"""Text as documents of sentences of words, each with its character span.

Owns reading: the embedded corpora, plain text and CoNLL-U. Turning documents into tokens and
windows is `tokens.py`.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from actstore.errors import CorpusError, UnknownNameError

BUILTIN = {"builtin": "extraction", "builtin-evaluation": "evaluation", "builtin-train": "train"}
"""Names of the embedded corpora and the part of the language each one draws from."""


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


def read_corpus(name: str, seed: int = 0) -> Iterator[CorpusDocument]:
    """Documents of an embedded corpus (endless) or of a file or folder.

    Parameters
    ----------
    name : str
        `builtin`, `builtin-evaluation`, `builtin-train`, or a path: `.txt` (one document a
        file), `.conllu`, or a folder of such files.
    seed : int
        Seed of an embedded corpus; files are read as they are.

    Raises
    ------
    UnknownNameError
        If `name` is neither an embedded corpus nor an existing path.
    CorpusError
        If a file cannot be read or holds no text.
    """
    if name in BUILTIN:
        return _builtin(BUILTIN[name], seed)
    path = Path(name)
    if not path.exists():
        raise UnknownNameError("corpus", name, [*BUILTIN, "a path to .txt or .conllu"])
    return _checked(path)


def _builtin(part: str, seed: int) -> Iterator[CorpusDocument]:
    from actstore.builtin.documents import documents

    for document in documents(part, seed):  # type: ignore[arg-type]
        sentences, start = [], 0
        for sentence in document.sentences:
            spans = zip(sentence.words, sentence.spans, strict=True)
            sentences.append(tuple(CorpusWord(start + a, start + b, w.upos, w.deprel) for w, (a, b) in spans))
            start += len(sentence.text) + 1
        yield CorpusDocument(document.name, document.text, tuple(sentences))


def _checked(path: Path) -> Iterator[CorpusDocument]:
    files = sorted(p for p in path.rglob("*") if p.suffix in _READERS) if path.is_dir() else [path]
    found = False
    for file in files:
        for document in _read_file(file):
            if document.text.strip():
                found = True
                yield document
    if not found:
        raise CorpusError(f"corpus {path} holds no text; expected {' or '.join(_READERS)} with at least one word")


def _read_file(file: Path) -> Iterator[CorpusDocument]:
    if file.suffix not in _READERS:
        raise CorpusError(f"cannot tell the format of {file}; name it {' or '.join('*' + s for s in _READERS)}")
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CorpusError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise CorpusError(f"{file} is not UTF-8 (byte {error.start}); convert it first, e.g. with iconv") from None
    return _READERS[file.suffix](file.name, text)


def _plain(name: str, text: str) -> Iterator[CorpusDocument]:
    yield CorpusDocument(name, text)


def _conllu(name: str, text: str) -> Iterator[CorpusDocument]:
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
                    words.append(CorpusWord(*surface, upos, deprel))
                continue
            else:
                words.append(CorpusWord(length, end, upos, deprel))
            pieces.append(form if "SpaceAfter=No" in misc else form + " ")
            length += len(pieces[-1])
        spans.append(tuple(words))
    return CorpusDocument(title, "".join(pieces).rstrip(), tuple(spans))


_READERS: dict[str, Callable[[str, str], Iterator[CorpusDocument]]] = {".txt": _plain, ".conllu": _conllu}


def fingerprint(documents: Iterable[CorpusDocument]) -> str:
    """Digest of texts and labels."""
    digest = hashlib.blake2b(digest_size=16)
    for document in documents:
        digest.update(repr(document).encode())
    return digest.hexdigest()
