from __future__ import annotations

import gzip
import io
import json
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actstore import bounds
from actstore.errors import CorpusError, UnknownNameError
from actstore.text.corpus import read_corpus
from actstore.text.formats import BOUNDARIES, conllu, plain
from tests.reference import whole_file_readers

WIKITEXT = "\n = Alpha = \n\n First text . \n\n = = Part = = \n\n More text . \n\n = Beta = \n\n Other text . \n"
CONLLU = "# newdoc id = d1\n1\tDogs\t_\tNOUN\t_\t_\t2\tnsubj\t_\t_\n2\tbark\t_\tVERB\t_\t_\t0\troot\t_\tSpaceAfter=No\n\n"


BLANKS = st.sampled_from([" ", "\t", "\r", "\u2028", "\x0b", "\u3000", ""])
TEXT_LINES = st.lists(
    st.sampled_from([" = A = ", " = = B = = ", "a b", " = C =", " =  = ", "é漢", " = ", "a = "]) | BLANKS, max_size=12
)
PLAIN_TEXTS = st.builds(lambda lines, end: "\n".join(lines) + end, TEXT_LINES, st.sampled_from(["", "\n", "\n\n"]))
DATA = Path(__file__).parents[4] / "shared" / "data"


@st.composite
def conllu_files(draw):
    """Well-formed CoNLL-U with multiword tokens, empty nodes, comments, and ends of lines that only Python recognises."""
    lines = []
    for _ in range(draw(st.integers(0, 4))):
        lines += draw(st.sampled_from([[], ["# newdoc"], ["# newdoc id = d"], ["# text"], [""]]))
        index = 1
        for _ in range(draw(st.integers(0, 4))):
            kind = draw(st.sampled_from(["word", "multiword", "empty"]))
            size = 2 if kind == "multiword" else 1
            rows = [f"{index}-{index + 1}"] if size == 2 else []
            rows += [f"{index}.1"] if kind == "empty" else []
            rows += [str(index + i) for i in range(size)]
            for row in rows:
                head, space = draw(st.sampled_from("0123x")), draw(st.sampled_from(["_", "SpaceAfter=No"]))
                form = draw(st.sampled_from(["dog", "é", "a\u00a0b", "."]))
                lines.append("\t".join((row, form, "_", "X", "_", "_", head, "dep", "_", space)))
            index += size
        lines += draw(st.sampled_from([[""], ["", ""], [" "]]))
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines)


@given(PLAIN_TEXTS, st.sampled_from(list(BOUNDARIES)))
def test_plain_text_read_by_lines_equals_that_of_a_whole_file(text, boundary):
    documents = [(document.name, document.text) for document in plain("a.txt", io.StringIO(text), boundary)]
    assert [document for document in documents if document[1].strip()] == whole_file_readers.plain("a.txt", text, boundary)


@given(conllu_files())
def test_conllu_read_by_lines_equals_that_of_a_whole_file(text):
    assert list(conllu("a.conllu", io.StringIO(text, newline="\n"))) == whole_file_readers.conllu("a.conllu", text)


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared texts are not here")
def test_real_texts_read_by_lines_equal_those_of_a_whole_file():
    file = DATA / "ewt" / "en_ewt-ud-dev.conllu.gz"
    name, text = file.name, gzip.decompress(file.read_bytes()).decode()
    documents = whole_file_readers.conllu(name, text)
    assert list(read_corpus(str(file), None)) == documents
    order = np.random.default_rng(3).permutation(len(documents))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "HELD_TEXT", 20_000)
        assert list(read_corpus(str(file), 3)) == [documents[i] for i in order]
    file = DATA / "wikitext2" / "valid.txt.gz"
    text = gzip.decompress(file.read_bytes()).decode()
    for boundary in BOUNDARIES:
        read = [(document.name, document.text) for document in read_corpus(str(file), None, boundary)]
        assert read == whole_file_readers.plain(file.name, text, boundary)


def test_only_one_document_is_in_memory(tmp_path):
    (tmp_path / "a.txt").write_text("The dog sees the cat.\n" * 50_000)
    tracemalloc.start()
    assert sum(1 for _ in read_corpus(str(tmp_path / "a.txt"), None, "line")) == 50_000
    assert tracemalloc.get_traced_memory()[1] < 400_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.txt",
            "some words\n" * 10,
            r"a\.txt line 6: the document has more than 60 characters; cut .* --documents paragraph",
        ),
        ("a.jsonl", json.dumps({"text": "x" * 61}), r"a\.jsonl line 1: the document has .*several records"),
        ("a.conllu", "1\tdog" + 8 * "\t_" + "\n" + 9 * ("2\tdog" + 8 * "\t_" + "\n"), r"line \d: .*end every sentence"),
        ("a.conllu", 20 * ("1\tdog" + 8 * "\t_" + "\n\n"), r"a\.conllu line 32: .*begin its documents with # newdoc"),
        ("ca01", "a/at\tdog/nn\n" * 10, r"ca01 line 6: the document has more than 60 characters"),
    ],
)
def test_a_document_that_is_too_long_is_named_with_its_location(tmp_path, monkeypatch, name, text, message):
    monkeypatch.setattr(bounds, "LONGEST_DOCUMENT", 60)
    (tmp_path / name).write_text(text)
    with pytest.raises(CorpusError, match=message):
        texts(tmp_path / name)


@pytest.mark.parametrize("digits", [10, 5000])
def test_long_numbers_in_conllu(tmp_path, digits):
    row = "\t".join(("1", "dog", "_", "X", "_", "_", "9" * digits, "dep", "_", "_"))
    (tmp_path / "a.conllu").write_text(row + "\n\n")
    (document,) = read_corpus(str(tmp_path / "a.conllu"), None)
    assert document.sentences[0][0].depth == -1, "a head that is not there"
    (tmp_path / "a.conllu").write_text("9" * digits + row[1:] + "\n\n")
    with pytest.raises(CorpusError, match=r"line 1: '9+…?' is not a CoNLL-U index"):
        texts(tmp_path / "a.conllu")


def texts(path, **options):
    return [document.text for document in read_corpus(str(path), None, **options)]


@pytest.mark.parametrize(
    ("boundary", "n_documents"), [("file", 1), ("article", 2), ("section", 3), ("paragraph", 6), ("line", 6)]
)
def test_units_of_plain_text(tmp_path, boundary, n_documents):
    (tmp_path / "w.txt").write_text(WIKITEXT)
    documents = texts(tmp_path / "w.txt", boundary=boundary)
    assert len(documents) == n_documents
    assert "".join("".join(documents).split()) == "".join(WIKITEXT.split()), "no text is lost"


def test_an_article_begins_at_a_first_level_heading(tmp_path):
    (tmp_path / "w.txt").write_text(WIKITEXT)
    alpha, beta = texts(tmp_path / "w.txt", boundary="article")
    assert "Part" in alpha
    assert beta.startswith(" = Beta = ")


def test_a_section_begins_at_any_heading_and_has_text(tmp_path):
    (tmp_path / "w.txt").write_text(" = Alpha = \n\n = = One = = \n Text . \n More . \n\n = = = Two = = = \n\n Last . \n")
    first, second = texts(tmp_path / "w.txt", boundary="section")
    assert first == " = Alpha = \n\n = = One = = \n Text . \n More . \n\n", "a heading alone is no document"
    assert second.startswith(" = = = Two = = = ")


def test_an_unknown_boundary_names_a_close_one(tmp_path):
    (tmp_path / "w.txt").write_text("a")
    with pytest.raises(UnknownNameError, match="did you mean 'paragraph'"):
        texts(tmp_path / "w.txt", boundary="paragraphs")


def test_json_lines_with_and_without_names(tmp_path):
    lines = [{"text": "one", "id": 7}, {"text": "two"}, {"text": " "}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    documents = list(read_corpus(str(tmp_path / "a.jsonl"), None))
    assert [(d.name, d.text) for d in documents] == [("7", "one"), ("a.jsonl:2", "two")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is not JSON"),
        ('{"body": "x"}', 'line 2 has no "text"'),
        ("[1]", "line 2"),
        (r'{"text": "a \ud83d b"}', "line 2 has half a character"),
        ('{"text": "a", "id": ' + "[" * 100_000, "line 2 nests deeper than 64 levels"),
        ('{"text": "a", "id": ' + "9" * 5000 + "}", "line 2 has an integer of more than 4,300 digits"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, message):
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n' + line)
    with pytest.raises(CorpusError, match=message):
        texts(tmp_path / "a.jsonl")


def test_a_line_separator_inside_a_text_is_no_line_end(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one\u2028two"}\n', encoding="utf-8")
    assert texts(tmp_path / "a.jsonl") == ["one\u2028two"]


def test_packed_files_and_archives_read_as_the_plain_ones(tmp_path):
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "a.txt").write_text("Some text.")
    (plain / "b.conllu").write_text(CONLLU)
    (plain / "LICENSE").write_text("not a corpus")
    packed = tmp_path / "packed"
    packed.mkdir()
    for name in ("a.txt", "b.conllu"):
        (packed / f"{name}.gz").write_bytes(gzip.compress((plain / name).read_bytes()))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in plain.iterdir():
            archive.write(path, f"inside/{path.name}")
    assert texts(plain) == texts(packed) == texts(tmp_path / "all.zip") == ["Some text.", "Dogs bark"]


@pytest.mark.parametrize(
    ("name", "raw"),
    [("a.txt.gz", b"no gzip"), ("a.zip", b"no zip"), ("a.txt.gz", gzip.compress(b"x" * 999, mtime=0)[:-9])],
    ids=["other text", "no archive", "cut short"],
)
def test_a_damaged_archive_is_named(tmp_path, name, raw):
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(CorpusError, match=f"cannot read .*{name}"):
        texts(tmp_path / name)


def test_an_encrypted_archive_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.txt", "text")
    raw = bytearray((tmp_path / "a.zip").read_bytes())
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(header) + flags] |= 1
    (tmp_path / "a.zip").write_bytes(raw)
    with pytest.raises(CorpusError, match=r"cannot read .*a\.zip: .*encrypted"):
        texts(tmp_path / "a.zip")


def test_an_unknown_form_lists_the_valid_ones(tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    with pytest.raises(CorpusError, match=r"cannot tell the form of .*a\.pdf; expected \.txt, \.jsonl, \.conllu"):
        texts(tmp_path / "a.pdf")


def test_the_seed_orders_documents_and_loses_none(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(f"text {i}" for i in range(50)))
    unseeded, first, repeated, reseeded = (
        [d.text for d in read_corpus(str(tmp_path / "a.txt"), seed, "line")] for seed in (None, 0, 0, 1)
    )
    assert unseeded == [f"text {i}" for i in range(50)]
    assert first == repeated != reseeded
    assert sorted(first) == sorted(reseeded) == sorted(unseeded)


def test_an_endless_corpus_needs_an_end():
    with pytest.raises(CorpusError, match=r"endless.*--tokens N"):
        read_corpus("builtin", None)
