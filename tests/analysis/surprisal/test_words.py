"""One row a word, on a hand-made store whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

import analysis
from actstore.errors import StoreError
from tests.analysis.ablation.test_tables import planted


@pytest.fixture
def surprisal():
    values = np.random.default_rng(0).exponential(2, size=(1, 4, 200))
    values[..., ::5] = np.nan
    return values


def with_words(store):
    """Forms and positions: every document says "The cat." in its own spelling."""
    n = store.sizes["token"]
    forms = np.array((["", "The", "cats", "cats", ".", "", "the", "dog", "dog", "."]) * (n // 10), dtype=object)
    return store.assign_coords(word_form=("token", forms), position=("token", np.arange(n) % 5))


def test_words_sum_their_pieces_and_drop_unscored(surprisal):
    store = planted(surprisal)
    words, values = analysis.word_table(store)
    assert len(words) == 120
    assert words["n_pieces"].tolist()[:3] == [1, 2, 1]
    assert words.attrs["n_left_out"] == 0
    assert values[0, 0, 1] == pytest.approx(surprisal[0, 0, 2] + surprisal[0, 0, 3])
    store["is_scored"].values[3] = False
    words, values = analysis.word_table(store)
    assert len(words) == 119
    assert words.attrs["n_left_out"] == 1
    assert 1 not in words["word"].tolist()
    assert values.shape == (1, 4, 119)


def test_one_row_a_word_and_condition(surprisal):
    table = analysis.surprisal_table(with_words(planted(surprisal)))
    assert table["condition"].unique().tolist() == ["negative-zero of top", "negative-zero of random (2 draws)"]
    assert len(table) == 240
    first = table[table["word"] == 1].set_index("rule")
    pieces = surprisal[0, :, 2:4].sum(axis=1)
    assert first.loc["top", "delta"] == pytest.approx(pieces[1] - pieces[0])
    assert first.loc["random", "delta"] == pytest.approx((pieces[2] + pieces[3]) / 2 - pieces[0])
    assert first.loc["random", "n_seeds"] == 2
    assert first.loc["random", ["delta_draw_1", "delta_draw_2"]].tolist() == pytest.approx((pieces[2:] - pieces[0]).tolist())
    assert first.loc["top", ["delta_draw_1", "delta_draw_2"]].isna().all()
    assert first.loc["top", ["word_type", "word_form", "n_pieces", "position"]].tolist() == ["cats", "cats", 2, 2]
    assert set(table.loc[table["word_type"] == "the", "word_form"]) == {"The", "the"}


def test_frequency_is_of_the_type_and_classes_are_of_the_part_of_speech(surprisal):
    table = analysis.surprisal_table(with_words(planted(surprisal)))
    frequency = table.drop_duplicates("word_type").set_index("word_type")["log_frequency"]
    assert np.exp(frequency["the"]) == pytest.approx(1 / 3)
    assert np.exp(frequency["dog"]) == pytest.approx(1 / 6)
    classes = table.drop_duplicates("upos").set_index("upos")["word_class"].astype(str).to_dict()
    assert classes == {"DET": "scaffolding", "NOUN": "content", "PUNCT": "scaffolding"}


def test_unknown_parts_of_speech_are_empty(surprisal):
    store = with_words(planted(surprisal))
    store["upos"].values[1] = ""
    table = analysis.surprisal_table(store)
    assert table.loc[table["word"] == 0, ["upos", "word_class"]].isna().all(axis=None)
    assert table["upos"].isna().sum() == 2


def test_repeated_checkpoints_have_no_rows(surprisal):
    store = with_words(planted(surprisal)).assign_coords(duplicate_of=("checkpoint", [3]))
    with pytest.raises(StoreError, match="the intact model alone"):
        analysis.surprisal_table(store)


def test_a_store_without_its_baseline_or_words_is_refused(surprisal):
    store = with_words(planted(surprisal))
    with pytest.raises(StoreError, match="no intact model to compare with"):
        analysis.surprisal_table(store.isel(condition=[1, 2, 3]))
    with pytest.raises(StoreError, match="has no words"):
        analysis.surprisal_table(store.assign_coords(word=("token", np.full(200, -1))))


def test_on_a_real_ablation(ablation):
    table = analysis.surprisal_table(ablation)
    words, values = analysis.word_table(ablation)
    assert len(table) == len(words) * 2 * values.shape[0]
    assert table["word_class"].notna().all()
    top = table[table["rule"] == "top"]["delta"]
    change = analysis.perplexity_table(ablation).set_index("rule").loc["top", "perplexity_ratio"]
    n_tokens = int(ablation["is_scored"].sum())
    assert abs(top.sum() / n_tokens - np.log(change)) < 0.05
