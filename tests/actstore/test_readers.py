from __future__ import annotations

import gzip
import json
import zipfile

import pytest

from actstore.corpus import read_corpus
from actstore.errors import CorpusError, UnknownNameError

WIKITEXT = "\n = Alpha = \n\n First text . \n\n = = Part = = \n\n More text . \n\n = Beta = \n\n Other text . \n"
CONLLU = "# newdoc id = d1\n1\tDogs\t_\tNOUN\t_\t_\t2\tnsubj\t_\t_\n2\tbark\t_\tVERB\t_\t_\t0\troot\t_\tSpaceAfter=No\n\n"


def texts(path, **options):
    return [document.text for document in read_corpus(str(path), None, **options)]


@pytest.mark.parametrize(
    ("boundary", "n_documents"), [("file", 1), ("article", 2), ("paragraph", 6), ("line", 6)]
)  # fmt: skip
def test_what_a_document_of_plain_text_is(tmp_path, boundary, n_documents):
    (tmp_path / "w.txt").write_text(WIKITEXT)
    found = texts(tmp_path / "w.txt", boundary=boundary)
    assert len(found) == n_documents
    assert "".join("".join(found).split()) == "".join(WIKITEXT.split()), "no text is lost"


def test_an_article_begins_at_a_first_level_heading(tmp_path):
    (tmp_path / "w.txt").write_text(WIKITEXT)
    alpha, beta = texts(tmp_path / "w.txt", boundary="article")
    assert "Part" in alpha
    assert beta.startswith(" = Beta = ")


def test_an_unknown_boundary_offers_the_known(tmp_path):
    (tmp_path / "w.txt").write_text("a")
    with pytest.raises(UnknownNameError, match="did you mean 'paragraph'"):
        texts(tmp_path / "w.txt", boundary="paragraphs")


def test_json_lines_with_and_without_names(tmp_path):
    lines = [{"text": "one", "id": 7}, {"text": "two"}, {"text": " "}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    documents = list(read_corpus(str(tmp_path / "a.jsonl"), None))
    assert [(d.name, d.text) for d in documents] == [("7", "one"), ("a.jsonl:2", "two")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2 is not JSON"),
        ('{"body": "x"}', 'line 2 has no "text"'),
        ("[1]", "line 2"),
        (r'{"text": "a \ud83d b"}', "line 2 has half a character"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, said):
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n' + line)
    with pytest.raises(CorpusError, match=said):
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
    ("name", "raw"), [("a.txt.gz", b"no gzip"), ("a.zip", b"no zip"), ("a.txt.gz", gzip.compress(b"x" * 999)[:-9])]
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


def test_an_unknown_form_lists_the_known(tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    with pytest.raises(CorpusError, match=r"cannot tell the form of .*a\.pdf; expected \.txt, \.jsonl, \.conllu"):
        texts(tmp_path / "a.pdf")


def test_the_seed_orders_documents_and_loses_none(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(f"text {i}" for i in range(50)))
    own, first, again, other = (
        [d.text for d in read_corpus(str(tmp_path / "a.txt"), seed, "line")] for seed in (None, 0, 0, 1)
    )
    assert own == [f"text {i}" for i in range(50)]
    assert first == again != other
    assert sorted(first) == sorted(other) == sorted(own)


def test_an_endless_corpus_needs_an_end():
    with pytest.raises(CorpusError, match=r"endless.*--tokens N"):
        read_corpus("builtin", None)
