"""Where text comes from: the embedded corpora, WikiText-2 from the hub, and files.

Owns names, paths, archives and the order of documents. What a form of file looks like inside is
`readers.py` and `brown.py`; turning documents into tokens is `tokens.py`.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePath

import numpy as np

from actstore import brown, hub
from actstore.documents import CorpusDocument, CorpusWord, depths
from actstore.errors import CorpusError, UnknownNameError
from actstore.files import existing
from actstore.readers import READERS, Reader, plain

BUILTIN = {"builtin": "extraction", "builtin-evaluation": "evaluation", "builtin-train": "train"}
"""Names of the embedded corpora, which are endless, and the part of the language each one draws from."""
WIKITEXT = "wikitext2"
_WIKITEXT_FILE = ("Salesforce/wikitext", "wikitext-2-raw-v1/test-00000-of-00001.parquet")
_FORMS = f"{', '.join(READERS)} (also .gz), the tagged files of the Brown corpus, or a .zip or folder of these"


def read_corpus(name: str, seed: int | None = 0, boundary: str = "file") -> Iterator[CorpusDocument]:
    """Documents of an embedded corpus (endless), of WikiText-2, or of a file or folder.

    Parameters
    ----------
    name : str
        `builtin`, `builtin-evaluation`, `builtin-train`, `wikitext2` (the raw test part, one
        document an article), or a path: `.txt`, `.jsonl`, `.conllu`, each also as `.gz`; the
        tagged files of the Brown corpus; a `.zip` or a folder of these.
    seed : int, optional
        Seed of an embedded corpus, or of the order of a finite one's documents; None leaves a
        finite corpus in its own order.
    boundary : str
        What a document of a `.txt` is: `file`, `article`, `paragraph` or `line`.

    Raises
    ------
    UnknownNameError
        If `name` is neither an embedded corpus nor an existing path.
    CorpusError
        If a file cannot be read or holds no text.
    """
    if name in BUILTIN:
        if seed is None:
            raise CorpusError(f"the corpus {name} is endless; say how much of it to take with --tokens N")
        return _builtin(BUILTIN[name], seed)
    documents = list(_wikitext()) if name == WIKITEXT else list(_from_path(locate(name), boundary))
    if not documents:
        raise CorpusError(f"corpus {name} holds no text; expected {_FORMS}, with at least one word")
    order = range(len(documents)) if seed is None else np.random.default_rng(seed).permutation(len(documents))
    return (documents[index] for index in order)


def locate(name: str) -> Path:
    """The path of a corpus that has no name of its own.

    Raises
    ------
    UnknownNameError
        If there is nothing there.
    """
    path = existing(name)
    if path is None:
        raise UnknownNameError("corpus", name, [*BUILTIN, WIKITEXT, f"a path to {_FORMS}"])
    return path


def _builtin(part: str, seed: int) -> Iterator[CorpusDocument]:
    from actstore.builtin.documents import documents

    for document in documents(part, seed):  # type: ignore[arg-type]
        sentences, start = [], 0
        for sentence in document.sentences:
            words = zip(sentence.words, sentence.spans, depths(sentence.heads), strict=True)
            sentences.append(tuple(CorpusWord(start + a, start + b, w.upos, w.deprel, depth) for w, (a, b), depth in words))
            start += len(sentence.text) + 1
        yield CorpusDocument(document.name, document.text, tuple(sentences))


def _wikitext() -> Iterator[CorpusDocument]:
    import pandas as pd

    path = hub.dataset_file(*_WIKITEXT_FILE)
    try:
        text = "".join(pd.read_parquet(path)["text"])
    except ImportError:
        raise CorpusError("reading wikitext2 needs pyarrow: pip install 'actstore[wikitext]'") from None
    return plain(WIKITEXT, text, "article")


def _from_path(path: Path, boundary: str) -> Iterator[CorpusDocument]:
    readers: dict[str, Reader] = READERS | {".txt": partial(plain, boundary=boundary)}
    files = list(_files(path))
    names = [name for name, _ in files if brown.is_brown_name(PurePath(name).name)]
    for name, raw in files:
        if names:  # Brown comes with lists of its files, which are not text
            found = iter([brown.parse(PurePath(name).name, _decoded(name, raw()))]) if name in names else iter(())
        else:
            found = _reader(readers, name)(PurePath(name).name, _decoded(name, raw()))
        yield from (document for document in found if document.text.strip())


def _ending(name: str) -> str:
    return PurePath(name.removesuffix(".gz")).suffix


def _reader(readers: dict[str, Reader], name: str) -> Reader:
    if _ending(name) not in readers:
        raise CorpusError(f"cannot tell the form of {name}; expected {_FORMS}")
    return readers[_ending(name)]


def _files(path: Path) -> Iterator[tuple[str, partial[bytes]]]:
    """Name and reader of every file at a path; in a folder or archive, of those of a known form."""
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.is_file())
        yield from ((str(file), partial(_read, file)) for file in inside if _is_known(file.name))
    elif path.suffix == ".zip":
        with _reading(path), zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if _is_known(PurePath(name).name))
        yield from ((name, partial(_read_member, path, name)) for name in names)
    else:
        yield str(path), partial(_read, path)


def _is_known(name: str) -> bool:
    return _ending(name) in READERS or brown.is_brown_name(name)


def _read(path: Path) -> bytes:
    with _reading(path):
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def _read_member(path: Path, name: str) -> bytes:
    with _reading(path), zipfile.ZipFile(path) as archive:
        raw = archive.read(name)
        return gzip.decompress(raw) if name.endswith(".gz") else raw


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Name the file in what the system says of it."""
    try:
        yield
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:  # RuntimeError: encrypted
        raise CorpusError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


def _decoded(name: str, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{name} is not UTF-8 (byte {error.start}); convert it first, e.g. with iconv") from None
