"""Words of raw text, by spaCy's blank pipeline, so that no model needs to be installed."""

from __future__ import annotations

import sys

import pytest

from actstore.errors import CorpusError
from actstore.text.documents import CorpusDocument, CorpusWord
from actstore.text.tagging import Tagger

spacy = pytest.importorskip("spacy")

TEXT = "Ärger! The naïve café — 😀 yes.\n\nA second paragraph. It has two sentences."


@pytest.fixture
def pipeline(tmp_path):
    """English with rules alone: the parts of speech of a few words, given by a dictionary."""
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("attribute_ruler")
    for word, upos in {"The": "DET", "A": "DET", "café": "NOUN", ".": "PUNCT", "yes": "INTJ"}.items():
        ruler.add([[{"ORTH": word}]], {"POS": upos})
    nlp.to_disk(tmp_path / "rules")
    return str(tmp_path / "rules")


def words_of(document):
    return [[document.text[word.start : word.end] for word in sentence] for sentence in document.sentences]


def test_words_have_their_spans_in_the_text(pipeline):
    document = Tagger(pipeline)(CorpusDocument("d", TEXT))
    assert document.text == TEXT
    assert words_of(document) == [
        ["Ärger", "!"],
        ["The", "naïve", "café", "—", "😀", "yes", "."],
        ["A", "second", "paragraph", "."],
        ["It", "has", "two", "sentences", "."],
    ]
    upos = {TEXT[word.start : word.end]: word.upos for sentence in document.sentences for word in sentence}
    assert (upos["The"], upos["café"], upos["."]) == ("DET", "NOUN", "PUNCT")


def test_gold_words_are_left_alone(pipeline):
    gold = CorpusDocument("d", "ab c", ((CorpusWord(0, 2, "NOUN", "root"),),))
    assert Tagger(pipeline)(gold) is gold


def test_the_name_says_which_pipeline_and_version(pipeline):
    assert Tagger(pipeline).name.startswith("en_pipeline 0.0.0") or Tagger(pipeline).name.startswith("en_")
    assert Tagger("none").name == "none"


def test_none_means_no_words(caplog):
    document = CorpusDocument("d", TEXT)
    assert Tagger("none")(document) is document
    assert not caplog.text


def test_a_named_pipeline_must_be_installed():
    with pytest.raises(CorpusError, match=r"the pipeline xx_none is not installed \(pip install"):
        Tagger("xx_none")


def test_without_spacy_there_is_one_warning(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "spacy", None)
    tagger = Tagger("auto")
    document = CorpusDocument("d", TEXT)
    assert tagger(document) is document
    tagger(document)
    assert caplog.text.count("no words and no UPOS: spaCy is not installed") == 1
    assert tagger.name == "none"
