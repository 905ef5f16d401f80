"""Runs that two texts share: planted runs are found to the token, and nothing else is."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.kernels.runs import shared_runs

RNG = np.random.default_rng(0)


def by_hand(ids, document, reference_ids, reference_document, length):
    """The same by comparing all pairs of runs."""

    def runs(ids, document, size):
        return {i: tuple(ids[i : i + size]) for i in range(len(ids) - size + 1) if len(set(document[i : i + size])) == 1}

    shared = np.zeros(len(ids), bool)
    for number in set(document):
        inside = [i for i, d in enumerate(document) if d == number]
        size = min(len(inside), length)
        in_reference = set(runs(reference_ids, reference_document, size).values())
        for start, run in runs(ids, document, size).items():
            if document[start] == number and run in in_reference:
                shared[start : start + size] = True
    return shared


def test_a_planted_run_is_found_to_the_token():
    ids, reference = RNG.integers(0, 50_000, 2000), RNG.integers(0, 50_000, 3000)
    document = np.repeat([3, 8], 1000)
    reference[700:740] = ids[1200:1240]
    reference[100:131] = ids[10:41]  # one token too short
    is_shared = shared_runs(ids, document, reference, np.zeros(3000, int), 32)
    assert np.flatnonzero(is_shared).tolist() == list(range(1200, 1240))


def test_a_run_lies_in_one_document_of_each_text():
    ids = RNG.integers(0, 50_000, 100)
    halves = np.repeat([0, 1], 50)
    assert not shared_runs(ids, halves, ids[30:70], np.zeros(40, int), 32).any()
    assert not shared_runs(ids[30:70], np.zeros(40, int), ids, halves, 32).any()


def test_a_short_document_is_one_run():
    reference = np.arange(100)
    ids, document = np.array([5, 6, 7, 40, 41, 43, 9]), np.array([0, 0, 0, 1, 1, 1, 2])
    assert shared_runs(ids, document, reference, np.zeros(100, int), 32).tolist() == [True] * 3 + [False] * 3 + [True]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=25),
    st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=0, max_size=25),
    st.integers(1, 5),
)
def test_it_equals_comparing_all_pairs_of_runs(rows, reference_rows, length):
    def arrays(rows):
        return np.array([i for i, _ in rows], np.int64), np.cumsum([new for _, new in rows]).astype(np.int64)

    texts = (*arrays(rows), *arrays(reference_rows))
    np.testing.assert_array_equal(shared_runs(*texts, length), by_hand(*texts, length))
