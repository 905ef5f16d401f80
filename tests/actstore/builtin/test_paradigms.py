from __future__ import annotations

from collections import Counter

import pytest

from actstore.builtin.discourse import part_of
from actstore.builtin.paradigms import PARADIGMS, minimal_pairs
from actstore.builtin.probes import multiple_choice


@pytest.fixture(scope="module")
def records():
    return minimal_pairs(20)


def test_enough_phenomena_and_paradigms(records):
    assert len(PARADIGMS) >= 10
    assert len({record["UID"] for record in records}) >= 20
    assert {"pp_attractor", "subject_relative_attractor", "object_relative_attractor"} <= set(
        PARADIGMS["agreement_across_attractor"]
    )
    assert set(Counter(record["UID"] for record in records).values()) == {20}


def test_records_have_blimps_fields(records):
    fields = {"sentence_good", "sentence_bad", "field", "linguistics_term", "UID", "simple_LM_method", "pairID"}
    assert all(set(record) >= fields for record in records)


def test_no_pair_is_in_the_training_text(records):
    assert {part_of(record["sentence_good"]) for record in records} == {"evaluation"}
    assert "train" not in {part_of(record["sentence_bad"]) for record in records}


def test_pairs_are_minimal(records):
    """One word is replaced, except where the paradigm is about order or scope."""
    reordered = {"noun_ellipsis", "subject_auxiliary_inversion"}
    for record in records:
        good, bad = record["sentence_good"].split(), record["sentence_bad"].split()
        assert len(good) == len(bad), record
        n_changed = sum(a != b for a, b in zip(good, bad, strict=True))
        if record["UID"] in reordered:
            assert sorted(w.lower().strip(",.?") for w in good) == sorted(w.lower().strip(",.?") for w in bad)
        else:
            assert n_changed == (2 if record["UID"] == "npi_scope" else 1), record


def test_pairs_repeat_by_seed(records):
    assert minimal_pairs(20) == records
    assert minimal_pairs(20, seed=1) != records


def test_too_many_pairs_are_refused():
    from actstore.builtin import paradigms

    with pytest.raises(ValueError, match="gives only 1 distinct pairs"):
        list(paradigms._records("p", "constant", lambda grammar: _constant(), 2, 0))


def _constant():
    from actstore.builtin.syntax import Sentence, Word

    index = next(i for i in range(1000) if part_of(f"x{i}.") == part_of(f"y{i}.") == "evaluation")
    good = Sentence((Word(f"x{index}", "X"), Word(".", "PUNCT")))
    return good, Sentence((Word(f"y{index}", "X"), Word(".", "PUNCT")))


def test_probes_have_one_right_option_of_four():
    for item in multiple_choice():
        assert len(set(item.options)) == 4
        assert 0 <= item.answer < 4
        if item.probe == "recall":
            code = item.options[item.answer].strip(" .")
            assert code in item.context
            assert not any(option.strip(" .") in item.context for option in item.options if option.strip(" .") != code)


def test_the_index_of_the_answer_is_evenly_spread():
    counts = Counter(item.answer for item in multiple_choice())
    assert max(counts.values()) < 0.32 * sum(counts.values())
