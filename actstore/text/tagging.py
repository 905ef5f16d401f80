"""Words, sentences and parts of speech of raw text, by spaCy.

Owns the use of spaCy, which is optional: without it, raw text has tokens but no words.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

from actstore.config import ANY_PIPELINE, NO_WORDS
from actstore.errors import CorpusError
from actstore.text.documents import UNKNOWN_DEPTH, CorpusDocument, CorpusWord

DEFAULT_PIPELINE = "en_core_web_sm"
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n")
_log = logging.getLogger("actstore")


class Tagger:
    """A spaCy pipeline that adds words to documents.

    Parameters
    ----------
    pipeline : str
        Name of an installed pipeline, or `none`. `auto` is the default pipeline if it is installed; otherwise documents
        get no words, and the first one logs a warning.

    Raises
    ------
    CorpusError
        If a pipeline that was named is not installed.
    """

    def __init__(self, pipeline: str) -> None:
        self._nlp: Any = None
        self._warning = ""
        if pipeline == NO_WORDS:
            return
        name = DEFAULT_PIPELINE if pipeline == ANY_PIPELINE else pipeline
        try:
            import spacy

            self._nlp = spacy.load(name, exclude=["ner", "lemmatizer"])
        except (ImportError, OSError) as error:
            missing = "spaCy" if isinstance(error, ImportError) else f"the pipeline {name}"
            mend = f"pip install 'actstore[spacy]' && python -m spacy download {name}"
            self._warning = f"{missing} is not installed ({mend})"
            if pipeline != ANY_PIPELINE:
                raise CorpusError(self._warning) from None
            return
        self._nlp.max_length = 10**9  # only paragraphs are passed, so the default limit of a million characters is not needed
        if not {"parser", "senter", "sentencizer"} & set(self._nlp.pipe_names):
            self._nlp.add_pipe("sentencizer")

    @property
    def name(self) -> str:
        """Pipeline and version; `none` without a pipeline."""
        meta = self._nlp.meta if self._nlp else {}
        return f"{meta['lang']}_{meta['name']} {meta['version']}" if meta else "none"

    def __call__(self, document: CorpusDocument) -> CorpusDocument:
        """The document with its sentences; unchanged if it has sentences already."""
        if document.sentences:
            return document
        if self._nlp is None:
            if self._warning:
                _log.warning("the text gets no words and no UPOS: %s", self._warning)
                self._warning = ""
            return document
        return CorpusDocument(document.name, document.text, tuple(self._sentences(document.text)))

    def _sentences(self, text: str) -> Iterator[tuple[CorpusWord, ...]]:
        starts = [0, *(match.end() for match in _PARAGRAPH.finditer(text))]
        ends = [*starts[1:], len(text)]
        parts = ((text[a:b], a) for a, b in zip(starts, ends, strict=True))
        for parsed, offset in self._nlp.pipe(parts, as_tuples=True):
            has_tree = parsed.has_annotation("DEP")
            for sentence in parsed.sents:
                words = tuple(
                    CorpusWord(
                        offset + token.idx,
                        offset + token.idx + len(token),
                        token.pos_,
                        depth=sum(1 for _ in token.ancestors) if has_tree else UNKNOWN_DEPTH,
                    )
                    for token in sentence
                    if not token.is_space
                )
                if words:
                    yield words
