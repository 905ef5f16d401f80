"""A table of words is accepted as it was written, and every change is refused by name."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from actstore.errors import StoreError
from analysis.results import load_table, save_table
from analysis.surprisal.word_checks import check_words
from analysis.surprisal.words import surprisal_table


@pytest.fixture(scope="module")
def words(ablation, tmp_path_factory):
    path = tmp_path_factory.mktemp("words") / "surprisal_words.csv.gz"
    save_table(surprisal_table(ablation), path)
    return load_table(path)


def test_a_table_as_written_is_accepted(words):
    pd.testing.assert_frame_equal(check_words(words, Path("w.csv")), words)
    check_words(words.assign(mine=1.0, upos=None), Path("w.csv"))


def at_first(name, value):
    def change(table):
        changed = table.copy()
        changed[name] = changed[name].astype(object)
        changed.loc[changed.index[0], name] = value
        return changed.infer_objects()

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns=["delta", "word_type"]), "it lacks word_type, delta"),
        (lambda t: t.iloc[:0], "it has no row"),
        (at_first("rule", None), "rule must be there in every row"),
        (at_first("delta", "much"), "delta must be a finite number"),
        (at_first("delta", float("nan")), "delta must be a finite number"),
        (at_first("surprisal", float("inf")), "surprisal must be a finite number"),
        (at_first("checkpoint", "4000"), "checkpoint must be a whole number from -1"),
        (at_first("checkpoint", 0.5), "checkpoint must be a whole number from -1"),
        (at_first("n_pieces", 0), "n_pieces must be a whole number from 1"),
        (at_first("document", -1), "document must be a whole number from 0"),
        (at_first("delta", 5.0), "delta is not surprisal less intact_surprisal"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "a word has two rows under one condition"),
    ],
)
def test_each_change_is_named(words, change, message):
    with pytest.raises(StoreError, match=rf"w\.csv is no table of words: {message}"):
        check_words(change(words), Path("w.csv"))
