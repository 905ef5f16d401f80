"""Parts of speech that were planted in the furthest pairs."""

from __future__ import annotations

from analysis import find_pairs, pair_labels
from tests.analysis.pairs.helpers import planted_store, selection, toy_store


def test_a_planted_part_of_speech_is_found():
    store = planted_store()
    pairs = find_pairs(store, n_neighbours=3)
    labels = pair_labels(store, pairs, selection({0: (5,)}), n_top=60).set_index(["feature", "value"])
    assert labels.loc[("upos", "DET"), "q_value"] < 1e-4
    assert labels.loc[("upos", "DET"), "log_odds"] > 2
    assert labels.loc[("upos", "NOUN"), "log_odds"] < -2
    assert abs(labels.loc[("upos", "DET"), "log_odds_rest"]) < 0.5


def test_no_frequent_value_gives_no_row():
    store = toy_store()
    table = pair_labels(store, find_pairs(store, n_neighbours=3), selection({0: (1,)}), min_count=10**6, n_permutations=9)
    assert table.empty
    assert {"layer", "feature", "value", "log_odds", "p_value", "q_value", "n_clusters"} <= set(table)
