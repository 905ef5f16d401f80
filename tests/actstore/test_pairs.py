from __future__ import annotations

import gzip
import json

import pytest

from actstore.errors import CorpusError, UnknownNameError
from actstore.pairs import read_pairs

RECORD = {"sentence_good": "The boy sleeps.", "sentence_bad": "The boy sleep.", "linguistics_term": "agreement", "UID": "sv"}


def test_files_plain_and_zipped_are_read_in_order(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(RECORD) + "\n\n" + json.dumps(RECORD | {"UID": "sv2"}) + "\n")
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        file.write(json.dumps({"sentence_good": "a b", "sentence_bad": "b a"}))
    pairs = read_pairs(str(tmp_path))
    assert [(pair.phenomenon, pair.paradigm) for pair in pairs] == [("agreement", "sv"), ("agreement", "sv2"), ("b", "b")]


def test_limit_counts_by_paradigm(tmp_path):
    lines = [json.dumps(RECORD | {"UID": uid}) for uid in "aabbab"]
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    assert [pair.paradigm for pair in read_pairs(str(tmp_path / "x.jsonl"), 2)] == ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("line", "said"),
    [("{", "line 2: not a JSON"), ('{"sentence_good": "x"}', "line 2: no field 'sentence_bad'"),
     ('{"sentence_good": "x", "sentence_bad": 3}', "line 2: not a JSON object with two sentences")],
)  # fmt: skip
def test_malformed_records_are_named_by_line(tmp_path, line, said):
    (tmp_path / "x.jsonl").write_text(json.dumps(RECORD) + "\n" + line)
    with pytest.raises(CorpusError, match=said):
        read_pairs(str(tmp_path / "x.jsonl"))


def test_nothing_to_read(tmp_path):
    with pytest.raises(CorpusError, match="no minimal pair"):
        read_pairs(str(tmp_path))
    with pytest.raises(UnknownNameError, match="builtin"):
        read_pairs("buildin")
