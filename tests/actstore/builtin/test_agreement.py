"""The agreement templates: as many pairs as the original has, and, where its files are at hand, the same ones."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from actstore.builtin.agreement import CONSTRUCTIONS

ORIGINAL = Path(__file__).parents[4] / "shared" / "data" / "tse"
SIZES = {
    "simple_agrmt": 140,
    "sent_comp": 1680,
    "vp_coord": 840,
    "long_vp_coord": 400,
    "subj_rel": 11_200,
    "prep_anim": 16_800,
    "prep_inanim": 5040,
    **{f"obj_rel_{comp}{where}_anim": 11_200 for comp in ("", "no_comp_") for where in ("across", "within")},
    **{f"obj_rel_{comp}{where}_inanim": 10_080 for comp in ("", "no_comp_") for where in ("across", "within")},
}


def test_sizes():
    assert {name: len(set(pairs())) for name, pairs in CONSTRUCTIONS.items()} == SIZES
    assert all(len(list(pairs())) == SIZES[name] for name, pairs in CONSTRUCTIONS.items())


def test_known_sentences():
    def has(name, good, bad):
        return (good, bad) in set(CONSTRUCTIONS[name]())

    assert has("sent_comp", "the bankers said the author laughs", "the bankers said the author laugh")
    assert has("prep_inanim", "the movies from the guard are good", "the movies from the guard is good")
    assert has(
        "obj_rel_no_comp_within_anim", "the author the taxi drivers like is old", "the author the taxi drivers likes is old"
    )
    assert has("subj_rel", "the authors that love the chef swim", "the authors that love the chef swims")


@pytest.mark.skipif(not ORIGINAL.is_dir(), reason="the original's sentences are not at hand")
@pytest.mark.parametrize("name", SIZES)
def test_the_same_pairs_as_the_original(name):
    with gzip.open(ORIGINAL / f"{name}_all.jsonl.gz", "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    original = Counter(
        tuple(record[key].lower().rstrip(".") for key in ("sentence_good", "sentence_bad")) for record in records
    )
    assert Counter(CONSTRUCTIONS[name]()) == original
