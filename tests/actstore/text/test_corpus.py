from __future__ import annotations

import itertools

import pytest

from actstore.errors import CorpusError, UnknownNameError
from actstore.text.corpus import read_corpus

CONLLU = """# newdoc = one
# sent_id = 1
1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tDo\tdo\tAUX\t_\t_\t3\taux\t_\t_
2\tn't\tnot\tPART\t_\t_\t3\tadvmod\t_\t_
3\tgo\tgo\tVERB\t_\t_\t0\troot\t_\tSpaceAfter=No
3.1\tgo\tgo\tVERB\t_\t_\t_\t_\t_\t_
4\t.\t.\tPUNCT\t_\t_\t3\tpunct\t_\t_

# newdoc = two
1\tÉté\tété\tNOUN\t_\t_\t0\troot\t_\t_
"""


def test_builtin_words_lie_where_they_say():
    for document in itertools.islice(read_corpus("builtin"), 20):
        for sentence in document.sentences:
            assert document.text[sentence[-1].start : sentence[-1].end] in ".?"
            assert all(document.text[word.start : word.end].strip() for word in sentence)
            assert [word.deprel for word in sentence].count("root") == 1


def test_conllu_keeps_surface_text_and_labels(tmp_path):
    file = tmp_path / "x.conllu"
    file.write_text(CONLLU)
    first, second = read_corpus(str(file))
    assert (first.name, first.text) == ("one", "Don't go.")
    words = [(first.text[w.start : w.end], w.upos) for w in first.sentences[0]]
    assert words == [("Don't", "AUX"), ("go", "VERB"), (".", "PUNCT")]
    assert second.text == "Été"


def test_depth_counts_the_arcs_to_the_root(tmp_path):
    heads = {"1": "2", "2": "4", "3": "2", "4": "0", "5": "6", "6": "5", "7": "_"}
    lines = ["\t".join((index, f"w{index}", "_", "X", "_", "_", head, "dep", "_", "_")) for index, head in heads.items()]
    (tmp_path / "a.conllu").write_text("\n".join(lines) + "\n\n")
    (document,) = read_corpus(str(tmp_path / "a.conllu"))
    assert [word.depth for word in document.sentences[0]] == [2, 1, 2, 0, -1, -1, -1]
    roots = [word.depth for sentence in next(read_corpus("builtin")).sentences for word in sentence if word.deprel == "root"]
    assert roots
    assert set(roots) == {0}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.txt", b" \n", "holds no text"),
        ("latin.txt", b"caf\xe9", "not UTF-8"),
        ("short.conllu", b"1\tword\n\n", "line 1: CoNLL-U needs 10"),
        ("x.conllu", b"x\tword" + 8 * b"\t_" + b"\n\n", "line 1: 'x' is not a CoNLL-U index"),
        ("zero.conllu", b"0\tword" + 8 * b"\t_" + b"\n\n", "line 1: '0' is not a CoNLL-U index"),
        ("odd.pdf", b"x", "cannot tell the form"),
    ],
)
def test_bad_files_are_refused_with_the_reason(tmp_path, name, content, message):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        list(read_corpus(str(file)))


def test_unknown_corpus_names_a_close_one():
    with pytest.raises(UnknownNameError, match="did you mean 'builtin'"):
        read_corpus("bultin")
