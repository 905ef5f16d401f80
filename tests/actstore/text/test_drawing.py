from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actstore import bounds
from actstore.errors import CorpusError
from actstore.text.documents import CorpusDocument
from actstore.text.drawing import drawn

FILES = st.lists(st.lists(st.integers(1, 40), max_size=12), max_size=8)


class Corpus:
    """Files of documents, which count readings and opened files."""

    def __init__(self, lengths):
        self.files = [[CorpusDocument(f"{f}:{d}", "x" * n) for d, n in enumerate(part)] for f, part in enumerate(lengths)]
        self.n_opened = self.n_readings = 0

    def __call__(self):
        self.n_readings += 1
        for documents in self.files:
            yield self.read(documents)

    def read(self, documents):
        self.n_opened += 1
        yield from documents

    @property
    def documents(self):
        return [document for documents in self.files for document in documents]


@given(FILES, st.integers(0, 5), st.integers(1, 200))
def test_the_order_is_the_permutation_of_the_number_of_documents(lengths, seed, held_text):
    corpus = Corpus(lengths)
    documents = corpus.documents
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "HELD_TEXT", held_text)
        order = list(drawn(corpus, seed))
    assert order == [documents[i] for i in np.random.default_rng(seed).permutation(len(documents))]
    assert corpus.n_readings <= 1 + min(len(documents), 2 * bounds.MOST_READINGS)


def test_little_text_is_read_once_and_more_only_as_far_as_documents_are_taken(monkeypatch):
    corpus = Corpus([[10] * 5] * 20)
    assert len(list(drawn(corpus, 0))) == 100
    assert corpus.n_readings == 1
    monkeypatch.setattr(bounds, "HELD_TEXT", 20)
    corpus = Corpus([[10] * 5] * 20)
    documents = drawn(corpus, 0)
    next(documents)
    assert corpus.n_readings == 2
    assert corpus.n_opened <= 20 + 2, "a file without a document of this part is not opened"


def test_a_corpus_that_changes_between_readings_is_refused(monkeypatch):
    monkeypatch.setattr(bounds, "HELD_TEXT", 20)
    corpus = Corpus([[10] * 50])
    documents = drawn(corpus, 0)
    next(documents)
    corpus.files = [[CorpusDocument("other", "longer than before")] * 50]
    with pytest.raises(CorpusError, match="changed while it was read"):
        list(documents)
