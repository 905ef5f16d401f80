from __future__ import annotations

import gzip
import json
import os
import pickle
from pathlib import Path

import pytest

from actstore.errors import CorpusError, SettingError, UnknownNameError
from actstore.text.minimal_pairs import MinimalPair, critical_regions, read_pairs

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


def test_a_sample_is_drawn_by_seed_and_paradigm(tmp_path):
    def drawn(*names, seed=0):
        lines = [json.dumps(RECORD | {"UID": name, "sentence_good": f"{name} {i}"}) for name in names for i in range(50)]
        (tmp_path / "x.jsonl").write_text("\n".join(lines))
        return [pair.sentence_good for pair in read_pairs(str(tmp_path / "x.jsonl"), 5, seed)]

    assert drawn("a", "b")[:5] == drawn("a")
    assert drawn("a") != [f"a {i}" for i in range(5)]
    assert drawn("a", seed=1) != drawn("a")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not a JSON"),
        ('{"sentence_good": "x"}', "line 2: no field 'sentence_bad'"),
        ('{"sentence_good": "x", "sentence_bad": 3}', "line 2: not a JSON object with two sentences"),
        ('{"sentence_good": "x", "sentence_bad": " "}', "line 2: not a JSON object with two sentences"),
        (json.dumps(RECORD | {"phenomenon": "npi"}), "line 2: linguistics_term 'agreement' and phenomenon 'npi' differ"),
        (json.dumps(RECORD | {"paradigm": "x"}), "line 2: UID 'sv' and paradigm 'x' differ"),
        (json.dumps(RECORD | {"UID": 7}), "line 2: UID must be text, got 7"),
        (json.dumps(RECORD | {"linguistics_term": None}), "line 2: linguistics_term must be text, got None"),
        (json.dumps(RECORD | {"linguistics_term": "npi"}), "paradigm 'sv' has two phenomena, 'agreement' and 'npi'"),
        ('["a", "b"]', "line 2: not a JSON object with two sentences"),
        ("null", "line 2: not a JSON object"),
    ],
)
def test_malformed_records_are_named_by_line(tmp_path, line, message):
    (tmp_path / "x.jsonl").write_text(json.dumps(RECORD) + "\n" + line)
    with pytest.raises(CorpusError, match=message):
        read_pairs(str(tmp_path / "x.jsonl"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (r'{"sentence_good": "a \ud83d", "sentence_bad": "b"}', "line 2: has half a character"),
        (r'{"sentence_good": "a", "sentence_bad": "b", "UID": "\udc00"}', "line 2: has half a character"),
        ('{"id": ' + "9" * 5000 + "}", "line 2: has an integer of more than 4,300 digits"),
        ("[" * 100_000, "line 2: nests deeper than 64 levels"),
    ],
)
def test_records_out_of_bounds_are_named_or_left_out(tmp_path, caplog, line, message):
    (tmp_path / "x.jsonl").write_text(json.dumps(RECORD) + "\n" + line)
    with pytest.raises(CorpusError, match=message):
        read_pairs(str(tmp_path / "x.jsonl"))
    assert len(read_pairs(str(tmp_path / "x.jsonl"), skip_bad=True)) == 1
    assert "1 malformed records left out" in caplog.text


@pytest.mark.parametrize("per_paradigm", [-1, 0, 10**9])
def test_the_number_of_pairs_is_bounded(per_paradigm):
    with pytest.raises(SettingError, match="pairs_per_paradigm must be 1 to 1,000,000"):
        read_pairs("builtin", per_paradigm)


def test_more_pairs_than_the_grammar_has_are_refused():
    with pytest.raises(CorpusError, match=r"embedded minimal pairs: paradigm .* gives only \d+ distinct pairs"):
        read_pairs("builtin", 100_000)


@pytest.mark.parametrize("name", ["nowhere.jsonl", "pairs/blimp", "./blimp", "~nosuchuser/pairs"])
def test_a_path_that_does_not_exist(name):
    with pytest.raises(CorpusError, match=f"minimal pairs {name}: no such file or folder"):
        read_pairs(name)


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "x.jsonl")
    with pytest.raises(CorpusError, match="not a regular file"):
        read_pairs(str(tmp_path / "x.jsonl"))


@pytest.mark.parametrize("cases", [{("deep",): [("a", "b")]}, {"case": 5}, {"case": {"a": "b"}}])
def test_templates_of_another_form_are_refused(tmp_path, cases):
    (tmp_path / "x.pickle").write_bytes(pickle.dumps(cases))
    with pytest.raises(CorpusError, match="no mapping of cases to sentences"):
        read_pairs(str(tmp_path / "x.pickle"))


def test_a_pickle_that_would_take_all_memory_is_refused(tmp_path):
    (tmp_path / "x.pickle").write_bytes(b"\x80\x02}r" + (2**31).to_bytes(4, "little") + b".")
    with pytest.raises(CorpusError, match="it numbers an object 2147483648"):
        read_pairs(str(tmp_path / "x.pickle"))


def test_malformed_records_are_left_out_and_counted_only_on_demand(tmp_path, caplog):
    (tmp_path / "x.jsonl").write_text("\n".join([json.dumps(RECORD), "{", json.dumps(RECORD), "3"]))
    assert len(read_pairs(str(tmp_path / "x.jsonl"), skip_bad=True)) == 2
    assert "2 malformed records left out" in caplog.text


SENTENCES = {"sentence_good": "The boy sleeps.", "sentence_bad": "The boy sleep."}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"phenomenon": "agreement", "paradigm": "sv"}, ("agreement", "sv")),
        ({"linguistics_term": "agreement", "UID": "sv"}, ("agreement", "sv")),
        ({"phenomenon": "agreement", "linguistics_term": "agreement", "UID": "sv"}, ("agreement", "sv")),
        ({"phenomenon": "agreement"}, ("agreement", "x/agreement")),
        ({"paradigm": "sv"}, ("sv", "sv")),
        ({}, ("x", "x")),
        ({"field": "syntax", "pairID": "3", "simple_LM_method": True}, ("x", "x")),
    ],
)
def test_phenomenon_and_paradigm_have_two_names_each(tmp_path, names, expected):
    (tmp_path / "x.jsonl").write_text(json.dumps(SENTENCES | names))
    (pair,) = read_pairs(str(tmp_path / "x.jsonl"))
    assert (pair.phenomenon, pair.paradigm) == expected


def test_phenomena_of_a_file_are_paradigms_of_their_own(tmp_path):
    lines = [json.dumps(SENTENCES | {"phenomenon": name}) for name in ("npi", "agreement", "npi")]
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    (tmp_path / "y.jsonl").write_text(lines[0])
    expected = [("npi", "x/npi"), ("npi", "x/npi"), ("agreement", "x/agreement"), ("npi", "y/npi")]
    assert [(pair.phenomenon, pair.paradigm) for pair in read_pairs(str(tmp_path))] == expected


TEMPLATES = {"sing_MS": [("the boy laughs", "the boy laugh")], "plur_MS": [("boys laugh", "boys laughs"), ["a", "b", "c"]]}


def test_templates_are_read_from_a_pickle_of_plain_text(tmp_path):
    (tmp_path / "simple_agrmt.pickle").write_bytes(pickle.dumps(TEMPLATES))
    pairs = read_pairs(str(tmp_path))
    sentences = [(pair.sentence_good, pair.sentence_bad) for pair in pairs]
    assert sentences == [("the boy laughs", "the boy laugh"), ("boys laugh", "boys laughs"), ("a", "c")]
    assert {pair.paradigm for pair in pairs} == {"simple_agrmt"}


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_would_run_something_is_refused_and_nothing_runs(tmp_path, protocol):
    target = tmp_path / "ran"
    file = tmp_path / "x.pickle"
    file.write_bytes(pickle.dumps(TEMPLATES | {"evil": Evil(target)}, protocol))
    pickle.loads(file.read_bytes())
    assert target.exists(), "the usual reader runs it"
    target.unlink()
    with pytest.raises(CorpusError, match="Nothing of it was run"):
        read_pairs(str(file))
    assert not target.exists()


@pytest.mark.parametrize(
    "content", [b"", b"garbage", pickle.dumps([1, 2]), b"c__builtin__\neval\n(S'1'\ntR.", b"\x80\x02\x82\x01."]
)
def test_pickles_of_another_form(tmp_path, content):
    (tmp_path / "x.pickle").write_bytes(content)
    with pytest.raises(CorpusError):
        read_pairs(str(tmp_path / "x.pickle"))


@pytest.mark.parametrize(
    ("good", "bad", "regions"),
    [
        ("The boy sleeps.", "The boy sleep.", ("sleeps.", "sleep.")),
        ("The boys near him sleep now.", "The boys near him sleeps now.", ("sleep", "sleeps")),
        ("Who did he see after leaving?", "Who did he leave after seeing?", ("see after leaving?", "leave after seeing?")),
        ("He has never slept here", "He has slept here", ("never slept", "slept")),
        ("He slept", "He slept ever", ("", "ever")),
        ("Same here", "Same here", ("", "")),
        ("b a", "a", ("b a", "a")),
    ],
)
def test_critical_regions(good, bad, regions):
    spans = critical_regions(MinimalPair(good, bad, "", ""))
    assert tuple(text[slice(*span)] for text, span in zip((good, bad), spans, strict=True)) == regions


def test_nothing_to_read(tmp_path):
    with pytest.raises(CorpusError, match="no minimal pair"):
        read_pairs(str(tmp_path))
    with pytest.raises(UnknownNameError, match="builtin"):
        read_pairs("buildin")
