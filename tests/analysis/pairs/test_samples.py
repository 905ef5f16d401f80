"""Stores, pairs and selections that do not fit together."""

from __future__ import annotations

import pytest

from actstore.errors import SelectionError
from analysis import find_pairs, pair_differentiation
from tests.analysis.pairs.helpers import selection, toy_store


def test_arguments_that_do_not_fit_are_refused():
    store = toy_store()
    pairs = find_pairs(store, n_neighbours=2)
    with pytest.raises(SelectionError, match="no layer of the selection is in the store"):
        pair_differentiation(store, pairs, selection({4: (0,)}))
    with pytest.raises(SelectionError, match="the selection is for layers of 99 neurons"):
        pair_differentiation(store, pairs, selection({0: (0,)}, 99))
    with pytest.raises(SelectionError, match="smaller n_top"):
        pair_differentiation(store, pairs, selection({0: (0,)}), n_top=10**6)
