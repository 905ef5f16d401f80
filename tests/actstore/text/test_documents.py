from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actstore import bounds
from actstore.errors import CorpusError
from actstore.text.documents import UNKNOWN_DEPTH, check_length, depths
from tests.reference import whole_file_readers

HEADS = st.integers(0, 30).flatmap(lambda n: st.lists(st.integers(-1, n + 1), min_size=n, max_size=n))


@given(HEADS)
def test_depths_are_those_of_climbing_word_by_word(heads):
    assert depths(heads) == whole_file_readers.depths(heads)


def test_a_long_chain_is_climbed_once():
    class Counted(list):
        n_lookups = 0

        def __getitem__(self, index):
            Counted.n_lookups += 1
            return super().__getitem__(index)

    n = 20_000
    heads = Counted(range(n))  # each word's head is the word before it
    assert depths(heads) == list(range(n))
    assert Counted.n_lookups < 10 * n
    assert depths([2, 3, 1, 0, 2]) == [UNKNOWN_DEPTH] * 3 + [0, UNKNOWN_DEPTH], "a circle, a root, a way into the circle"


def test_the_longest_document_is_allowed_and_no_longer_one():
    check_length(bounds.LONGEST_DOCUMENT, "a.txt line 9", "cut it")
    with pytest.raises(CorpusError, match=r"^a.txt line 9: the document has more than 8,388,608 characters; cut it$"):
        check_length(bounds.LONGEST_DOCUMENT + 1, "a.txt line 9", "cut it")
