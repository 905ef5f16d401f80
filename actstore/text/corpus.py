"""Corpora: the embedded ones, WikiText-2 from the hub, and files.

Owns the names of corpora, paths, and the choice of a reader for each file. `text_files.py` opens files,
`formats.py` and `brown.py` parse them, `drawing.py` orders documents, and `tokens.py` turns documents
into tokens.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path, PurePath

from actstore.errors import CorpusError, UnknownNameError
from actstore.files import existing, looks_like_path
from actstore.hub import repositories
from actstore.text import brown
from actstore.text.documents import CorpusDocument, CorpusWord, depths
from actstore.text.drawing import drawn
from actstore.text.formats import READERS, Reader, plain
from actstore.text.text_files import text_files

BUILTIN = {"builtin": "extraction", "builtin-evaluation": "evaluation", "builtin-train": "train"}
"""Name of an embedded corpus, which is endless → the part of the language that it is drawn from."""
WIKITEXT = {"wikitext2": "test", "wikitext2-validation": "validation"}
"""Name of a corpus of the hub → the part of WikiText-2 that it is."""
_WIKITEXT_REPO, _WIKITEXT_FILE = "Salesforce/wikitext", "wikitext-2-raw-v1/{part}-00000-of-00001.parquet"
_FORMS = f"{', '.join(READERS)} (also .gz), the tagged files of the Brown corpus, or a .zip or folder of these"


def read_corpus(name: str, seed: int | None = 0, boundary: str = "file") -> Iterator[CorpusDocument]:
    """Read the documents of an embedded corpus (endless), of WikiText-2, or of a file or folder.

    Parameters
    ----------
    name : str
        `builtin`, `builtin-evaluation`, `builtin-train`, `wikitext2` (the raw test part),
        `wikitext2-validation`, or a path: `.txt`, `.jsonl`, `.conllu`, each also as `.gz`; the tagged files of the Brown
        corpus; a `.zip` or a folder of these.
    seed : int, optional
        Seed of an embedded corpus, or of the order of a finite one's documents; None leaves a
        finite corpus in its own order.
    boundary : str
        Unit that is a document of a `.txt` or of WikiText-2: `file` (of WikiText-2 an article), `article`, `section`,
        `paragraph` or `line`.

    Raises
    ------
    UnknownNameError
        If `name` is neither an embedded corpus nor an existing path.
    CorpusError
        If a file cannot be read, holds no text, or exceeds a bound of `actstore.bounds`.

    Notes
    -----
    A file is read line by line, and only the current document is in memory. With a seed, up to
    `bounds.HELD_TEXT` characters are, see `drawing.drawn`.
    """
    if name in BUILTIN:
        if seed is None:
            raise CorpusError(f"the corpus {name} is endless; say how much of it to take with --tokens N")
        return _builtin(BUILTIN[name], seed)
    files = partial(_wikitext, name, boundary) if name in WIKITEXT else partial(_from_path, locate(name), boundary)
    documents = chain.from_iterable(files()) if seed is None else drawn(files, seed)
    return _not_empty(name, documents)


def _not_empty(name: str, documents: Iterator[CorpusDocument]) -> Iterator[CorpusDocument]:
    first = next(documents, None)
    if first is None:
        raise CorpusError(f"corpus {name} holds no text; expected {_FORMS}, with at least one word")
    return chain([first], documents)


def locate(name: str) -> Path:
    """The path of a corpus that is a file or folder.

    Raises
    ------
    UnknownNameError, CorpusError
        If it does not exist.
    """
    path = existing(name)
    if path is not None:
        return path
    if looks_like_path(name) or "/" in name or PurePath(name).suffix:
        raise CorpusError(f"corpus {name}: no such file or folder")
    raise UnknownNameError("corpus", name, [*BUILTIN, *WIKITEXT, f"a path to {_FORMS}"])


def _builtin(part: str, seed: int) -> Iterator[CorpusDocument]:
    from actstore.builtin.discourse import documents

    for document in documents(part, seed):  # type: ignore[arg-type]
        sentences, start = [], 0
        for sentence in document.sentences:
            words = zip(sentence.words, sentence.spans, depths(sentence.heads), strict=True)
            sentences.append(tuple(CorpusWord(start + a, start + b, w.upos, w.deprel, depth) for w, (a, b), depth in words))
            start += len(sentence.text) + 1
        yield CorpusDocument(document.name, document.text, tuple(sentences))


def _wikitext(name: str, boundary: str) -> Iterator[Iterator[CorpusDocument]]:
    """The documents of a part of WikiText-2; of `file`, which it is not, articles."""
    import pandas as pd

    path = repositories.dataset_file(_WIKITEXT_REPO, _WIKITEXT_FILE.format(part=WIKITEXT[name]))
    try:
        text = "".join(pd.read_parquet(path)["text"])
    except ImportError:
        raise CorpusError(f"reading {name} needs pyarrow: pip install 'actstore[wikitext]'") from None
    yield plain(name, io.StringIO(text), "article" if boundary == "file" else boundary)


def _from_path(path: Path, boundary: str) -> Iterator[Iterator[CorpusDocument]]:
    """The documents of every file at a path; a file is opened when its first document is read."""
    readers: dict[str, Reader] = READERS | {".txt": partial(plain, boundary=boundary)}
    for file in text_files(path, _readable):
        name = PurePath(file.name).name
        documents = _reader(readers, file.name)(name, file.lines())
        yield (document for document in documents if document.text.strip())


def _readable(names: list[str]) -> list[str]:
    """The names of files that have a reader; only those of Brown if there are any, as lists of its files lie beside them."""
    readable = [name for name in names if _ending(name) in READERS or _is_brown(name)]
    return [name for name in readable if _is_brown(name)] or readable


def _ending(name: str) -> str:
    return PurePath(name.removesuffix(".gz")).suffix


def _is_brown(name: str) -> bool:
    return brown.is_brown_name(PurePath(name).name)


def _brown(name: str, lines: Iterable[str]) -> Iterator[CorpusDocument]:
    return (brown.parse(name, document.text) for document in plain(name, lines))


def _reader(readers: dict[str, Reader], name: str) -> Reader:
    if _is_brown(name):
        return _brown
    if _ending(name) not in readers:
        raise CorpusError(f"cannot tell the form of {name}; expected {_FORMS}")
    return readers[_ending(name)]
