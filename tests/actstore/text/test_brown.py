from __future__ import annotations

import os
import zipfile

import pytest

from actstore.errors import CorpusError
from actstore.text.brown import is_brown_name, parse
from actstore.text.corpus import read_corpus

UNIVERSAL = set("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split())


def tagged(text):
    document = parse("ca99", text)
    return [(document.text[w.start : w.end], w.upos) for sentence in document.sentences for w in sentence]


def upos(text):
    return " ".join(tag for _, tag in tagged(text))


def test_text_is_spaced_as_in_print():
    first = "``/`` Well/uh ,/, no/rb ''/'' ,/, he/pps said/vbd (/( twice/rb )/) ;/."
    document = parse("ca99", f"\n\n\t{first}\n\tIt's/pps+bez over/rp ./.\n\n\tNew/jj paragraph/nn ./.\n")
    assert document.text == '"Well, no", he said (twice); It\'s over.\nNew paragraph.'
    assert len(document.sentences) == 3
    forms = [document.text[w.start : w.end] for w in document.sentences[0]]
    assert forms == ['"', "Well", ",", "no", '"', ",", "he", "said", "(", "twice", ")", ";"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1/2/cd cup/nn", "NUM NOUN"),
        ("Oak/nn-tl Street/nn-tl-hl runs/vbz", "PROPN PROPN VERB"),
        ("sine/fw-in qua/fw-wdt non/fw-*", "X X X"),
        ("the/at king's/nn$ men/nns", "DET NOUN NOUN"),
        ("I'm/ppss+bem here/rb ./.", "PRON ADV PUNCT"),
        ("they/ppss can't/md* go/vb", "PRON AUX VERB"),
        ("mine/pp$$ is/bez not/* his/pp$", "PRON AUX PART PRON"),
        ("she/pps gave/vbd up/rp because/cs of/in it/ppo", "PRON VERB ADP SCONJ ADP PRON"),
    ],
)
def test_tags_that_map_by_themselves(text, expected):
    assert upos(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("we/ppss have/hv seen/vbn", "AUX"),
        ("we/ppss have/hv never/rb really/rb seen/vbn", "AUX"),
        ("we/ppss have/hv bread/nn", "VERB"),
        ("they/ppss did/dod not/* go/vb", "AUX"),
        ("they/ppss did/dod it/ppo", "VERB"),
        ("they/ppss didn't/dod* ./.", "AUX"),
    ],
)
def test_have_and_do_by_what_follows(text, expected):
    assert upos(text).split()[1] == expected


def test_an_inverted_subject_is_skipped():
    assert upos("Had/hvd the/at rain/nn stopped/vbn ?/.").split()[0] == "AUX"
    assert upos("Why/wrb does/doz it/pps rain/vb ?/.").split()[1] == "AUX"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("this/dt old/jj house/nn", "DET"), ("this/dt is/bez old/jj", "PRON"), ("which/wdt came/vbd", "PRON")],
)
def test_determiner_or_pronoun_by_what_follows(text, expected):
    assert upos(text).split()[0] == expected


def test_tokens_that_are_not_brown_are_named():
    with pytest.raises(CorpusError, match="ca99: 'plain' is not word/tag"):
        parse("ca99", "some/dti plain text/nn")
    with pytest.raises(CorpusError, match="'zz' is no tag of the Brown corpus"):
        parse("ca99", "some/zz")


def test_names():
    assert is_brown_name("ca01")
    assert is_brown_name("cr09")
    assert not any(map(is_brown_name, ["cats.txt", "ca1", "cs01", "ca01.txt"]))


def test_a_folder_with_the_corpus_own_lists(tmp_path):
    (tmp_path / "ca01").write_text("\n\tOne/cd ./.\n")
    (tmp_path / "cb02").write_text("\n\tTwo/cd ./.\n")
    (tmp_path / "cats.txt").write_text("ca01 news\n")
    (tmp_path / "README").write_text("about")
    documents = list(read_corpus(str(tmp_path), None))
    assert [(d.name, d.text) for d in documents] == [("ca01", "One."), ("cb02", "Two.")]


@pytest.mark.skipif("ACTSTORE_BROWN" not in os.environ, reason="ACTSTORE_BROWN names no brown.zip")
def test_the_whole_corpus():
    path = os.environ["ACTSTORE_BROWN"]
    documents = list(read_corpus(path, None))
    words = [(d.text[w.start : w.end], w.upos) for d in documents for s in d.sentences for w in s]
    assert (len(documents), len(words)) == (500, 1_161_192)
    assert {tag for _, tag in words} <= UNIVERSAL
    assert not [form for form, _ in words if form != form.strip() or not form]
    n_files = sum(is_brown_name(name.rpartition("/")[2]) for name in zipfile.ZipFile(path).namelist())
    assert n_files == 500
