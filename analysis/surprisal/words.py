"""Words and their surprisal: the tokens of a store as one row a word.

Owns the tables to which models of surprisal are fitted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from actstore.errors import StoreError
from actstore.store.schema import CHECKPOINT, NO_WORD, NOT_A_DUPLICATE
from analysis.conditions import COHORT, measured_cohorts

SCAFFOLDING = ("DET", "ADP", "AUX", "PART", "PRON", "CCONJ", "SCONJ", "PUNCT")
CONTENT = ("NOUN", "PROPN", "VERB", "ADJ", "ADV", "NUM")
DRAW = "delta_draw_"
"""Prefix of the columns of a cohort's single draws."""
_CLASSES = dict.fromkeys(SCAFFOLDING, "scaffolding") | dict.fromkeys(CONTENT, "content")
_COLUMNS = ("document", "sentence", "upos", "deprel", "word_form", "position")
_CONDITION = ["condition", "intervention", *COHORT, "controls"]
_LEADING = ["checkpoint", *_CONDITION, "is_matched", "n_seeds", "delta", "surprisal", "intact_surprisal"]
"""First columns of the table, in this order."""


def word_table(store: xr.Dataset) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Words whose pieces all have a surprisal, and the words' surprisal at every checkpoint and condition.

    Parameters
    ----------
    store : Dataset
        An ablation store.

    Returns
    -------
    words : DataFrame
        One row a word: `word`, `document`, `sentence`, `upos`, `deprel`, `word_form`, `position` (of
        its first piece in its window), `n_pieces` (tokens). Its attribute `n_left_out` counts the words with
        an unscored piece.
    surprisal : array (checkpoint, condition, word)
        Sum over the word's pieces, in nats.
    """
    tokens = pd.DataFrame({name: store[name].values for name in ("word", "is_scored", *_COLUMNS) if name in store.variables})
    tokens = tokens[tokens["word"] != NO_WORD]
    grouped = tokens.groupby("word", sort=True)
    words = grouped[[name for name in _COLUMNS if name in tokens]].first()
    words["n_pieces"] = grouped.size()
    is_complete = grouped["is_scored"].all()
    words = words[is_complete].reset_index()
    words.attrs["n_left_out"] = int((~is_complete).sum())
    tokens = tokens[is_complete.loc[tokens["word"]].to_numpy()]
    row = np.searchsorted(words["word"].to_numpy(), tokens["word"].to_numpy())
    values = store["ablated_surprisal"].values[:, :, tokens.index].astype(float)
    surprisal = np.zeros((*values.shape[:2], len(words)))
    for index in np.ndindex(values.shape[:2]):
        surprisal[index] = np.bincount(row, weights=values[index], minlength=len(words))
    return words, surprisal


def surprisal_table(store: xr.Dataset) -> pd.DataFrame:
    """One row a word and condition: how its surprisal changed against the intact model.

    Parameters
    ----------
    store : Dataset
        An ablation store whose text has words, and parts of speech if the table is to have them.

    Returns
    -------
    DataFrame
        - Of the condition: `checkpoint`, `condition` (intervention and cohort, for display), `intervention`, `cohort` (for
          display), `rule`, `statistic`, `fraction`, `scope`, `first_layer`, `last_layer`, `chosen_at`, `target_scope`,
          `controls` (the top cohort that this one controls for, for display; empty for none), `is_matched` (for a cohort
          that was to be matched on perplexity, 1 if it is and 0 if not; -1 for others), `n_seeds`.
        - Surprisal in nats a word: `delta` and `surprisal` (means over the draws of a cohort drawn at random),
          `intact_surprisal`, and `delta_draw_1`, … under each single draw, where there are several.
        - Of the word: `word`, `word_form`, `word_type` (the form in lower case), `upos`, `word_class` (scaffolding,
          content or other) and `deprel` (these three empty where unknown), `log_frequency` (natural logarithm of the
          type's share of this text's words), `position` (of its first piece in its window), `n_pieces`, `document`,
          `sentence`.

        Words with an unscored piece, which the attribute `n_left_out` counts, have no row, and neither have checkpoints
        that repeat earlier weights.

    Raises
    ------
    StoreError
        If the text has no words, or a condition has no intact model to compare with.
    """
    words, surprisal = word_table(store)
    if words.empty:
        raise StoreError("the store's text has no words; extract from a tagged corpus or with spaCy (`--spacy PIPELINE`)")
    words = _with_types(words)
    repeats = store["duplicate_of"].values if "duplicate_of" in store.variables else np.full(store.sizes[CHECKPOINT], -1)
    frames = []
    for cohort in measured_cohorts(store):
        if cohort.is_intact or repeats[cohort.checkpoint_index] != NOT_A_DUPLICATE:
            continue
        labels: dict[str, Any] = {key: value for key, value in cohort.labels.items() if key != "n_neurons"}
        labels["condition"] = f"{labels['intervention']} of {labels['cohort']}"
        frames.append(words.assign(**labels, **_changes(cohort.of(surprisal), cohort.intact(surprisal))))
    if not frames:
        raise StoreError("the store holds the intact model alone; surprisal can change only in a condition that edits neurons")
    table = pd.concat(frames, ignore_index=True)
    for name in set(_CONDITION) - {"fraction", "first_layer", "last_layer"}:
        table[name] = table[name].astype("category")
    draws = [str(name) for name in table if str(name).startswith(DRAW)]
    table = table[[*_LEADING, *(str(name) for name in table if name not in (*_LEADING, *draws)), *draws]]
    table.attrs = dict(words.attrs)
    return table


def _with_types(words: pd.DataFrame) -> pd.DataFrame:
    """Words with their type, class and frequency; unknown labels are empty."""
    words["word_type"] = words["word_form"].str.lower()
    words["word_class"] = words["upos"].map(_CLASSES).fillna("other")
    for name in ("upos", "deprel"):
        words[name] = words[name].astype(object).where(words[name] != "")
    words["word_class"] = words["word_class"].where(words["upos"].notna())
    words["log_frequency"] = np.log(words.groupby("word_type")["word"].transform("size") / len(words))
    for name in ("word_form", "word_type", "upos", "word_class", "deprel"):
        words[name] = words[name].astype("category")
    return words


def _changes(of_draws: NDArray[np.float64], intact: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Columns of surprisal under the draws (draw, word) of a condition and in the intact model (word,)."""
    surprisal = of_draws.mean(axis=0)
    columns = {"delta": surprisal - intact, "surprisal": surprisal, "intact_surprisal": intact}
    if len(of_draws) > 1:
        columns |= {f"{DRAW}{number}": of_draw - intact for number, of_draw in enumerate(of_draws, 1)}
    return columns
