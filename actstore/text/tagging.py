"""Words, sentences and parts of speech of raw text, by spaCy.

Owns the use of spaCy, which is optional: without it raw text has tokens and no words.
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
    """A spaCy pipeline that gives a document its words.

    Parameters
    ----------
    pipeline : str
        Name of any installed pipeline, or `none`. `auto` is the default one where it is installed; where it is not, the
        first document says so and stays without words.

    Raises
    ------
    CorpusError
        If a pipeline asked for by name is not there.
    """

    def __init__(self, pipeline: str) -> None:
        self._nlp: Any = None
        self._note = ""
        if pipeline == NO_WORDS:
            return
        name = DEFAULT_PIPELINE if pipeline == ANY_PIPELINE else pipeline
        try:
            import spacy

            self._nlp = spacy.load(name, exclude=["ner", "lemmatizer"])
        except (ImportError, OSError) as error:
            missing = "spaCy" if isinstance(error, ImportError) else f"the pipeline {name}"
            mend = f"pip install 'actstore[spacy]' && python -m spacy download {name}"
            self._note = f"{missing} is not installed ({mend})"
            if pipeline != ANY_PIPELINE:
                raise CorpusError(self._note) from None
            return
        self._nlp.max_length = 10**9  # paragraphs, not files: the default of a million guards against whole books
        if not {"parser", "senter", "sentencizer"} & set(self._nlp.pipe_names):
            self._nlp.add_pipe("sentencizer")

    @property
    def name(self) -> str:
        """Pipeline and version, `none` where there is none."""
        meta = self._nlp.meta if self._nlp else {}
        return f"{meta['lang']}_{meta['name']} {meta['version']}" if meta else "none"

    def __call__(self, document: CorpusDocument) -> CorpusDocument:
        """The document with its sentences; as it is if it has them."""
        if document.sentences:
            return document
        if self._nlp is None:
            if self._note:
                _log.warning("the text gets no words and no UPOS: %s", self._note)
                self._note = ""
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
