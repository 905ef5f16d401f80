"""Words and their surprisal: what a store keeps by token, as one row a word.

Owns the tables that models of surprisal are fitted to.
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
"""Begins the columns of a cohort's single draws."""
_CLASSES = dict.fromkeys(SCAFFOLDING, "scaffolding") | dict.fromkeys(CONTENT, "content")
_COLUMNS = ("document", "sentence", "upos", "deprel", "word_form", "position")


def word_table(store: xr.Dataset) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Words with all pieces scored, and their surprisal in every checkpoint and condition.

    Parameters
    ----------
    store : Dataset
        An ablation store.

    Returns
    -------
    words : DataFrame
        One row a word: `word`, `document`, `sentence`, `upos`, `deprel`, `word_form`, `position` (of
        its first piece in its window), `n_pieces`. Its attribute `n_left_out` counts the words with
        an unscored piece.
    surprisal : array (checkpoint, condition, word)
        Sum over the word's pieces, in nats.
    """
    tokens = pd.DataFrame({name: store[name].values for name in ("word", "is_scored", *_COLUMNS) if name in store.variables})
    tokens = tokens[tokens["word"] != NO_WORD]
    grouped = tokens.groupby("word", sort=True)
    words = grouped[[name for name in _COLUMNS if name in tokens]].first()
    words["n_pieces"] = grouped.size()
    complete = grouped["is_scored"].all()
    n_left_out = int((~complete).sum())
    words = words[complete].reset_index()
    words.attrs["n_left_out"] = n_left_out
    values = store["ablated_surprisal"].values[:, :, tokens.index].astype(float)
    order = np.searchsorted(words["word"].to_numpy(), tokens["word"].to_numpy())
    inside = complete.loc[tokens["word"]].to_numpy()
    surprisal = np.zeros((*values.shape[:2], len(words)))
    for index in np.ndindex(values.shape[:2]):
        surprisal[index] = np.bincount(order[inside], weights=values[index][inside], minlength=len(words))
    return words, surprisal


def surprisal_table(store: xr.Dataset) -> pd.DataFrame:
    """One row a word and condition: how its surprisal changed against the intact model.

    Parameters
    ----------
    store : Dataset
        An ablation store whose text has words; parts of speech where these are wanted.

    Returns
    -------
    DataFrame
        `checkpoint`, `condition` (intervention and cohort, for display), `intervention`, and what tells cohorts apart: `cohort` (for
        display), `rule`, `statistic`, `fraction`, `scope`, `first_layer`, `last_layer`, `chosen_at`, `target_scope`, `controls`
        (the top cohort that this one controls for, for display; empty for none);
        `is_matched` (0 where its perplexity was to be that cohort's and is not, 1 where it is, -1 elsewhere), `n_seeds`;
        `delta` and `surprisal` in nats a word (mean over the draws of a cohort drawn at random), `intact_surprisal`;
        `delta_draw_1`, … under each single draw, where there are several; of the word: `word`, `word_form`,
        `word_type` (the form in lower case), `upos`, `word_class` (scaffolding, content or other),
        `deprel` (these three empty where unknown), `log_frequency` (natural logarithm of the type's share of this text's words),
        `position` (of its first piece in its window), `n_pieces`, `document`, `sentence`. The attribute
        `n_left_out` counts words with an unscored piece, which have no row. Checkpoints that repeat
        earlier weights have none either.

    Raises
    ------
    StoreError
        If the text has no words, or a condition has no intact model to compare with.
    """
    words, surprisal = word_table(store)
    if words.empty:
        raise StoreError("the store's text has no words; extract from a tagged corpus or with spaCy (`--spacy PIPELINE`)")
    words["word_type"] = words["word_form"].str.lower()
    words["word_class"] = words["upos"].map(_CLASSES).fillna("other")
    for name in ("upos", "deprel"):
        words[name] = words[name].astype(object).where(words[name] != "")
    words["word_class"] = words["word_class"].where(words["upos"].notna())
    words["log_frequency"] = np.log(words.groupby("word_type")["word"].transform("size") / len(words))
    for name in ("word_form", "word_type", "upos", "word_class", "deprel"):
        words[name] = words[name].astype("category")
    repeats = store["duplicate_of"].values if "duplicate_of" in store.variables else np.full(store.sizes[CHECKPOINT], -1)
    frames = []
    for cohort in measured_cohorts(store):
        if cohort.is_intact or repeats[cohort.checkpoint_index] != NOT_A_DUPLICATE:
            continue
        intact, of_draws = cohort.intact(surprisal), cohort.of(surprisal)
        ablated = of_draws.mean(axis=0)
        labels: dict[str, Any] = {key: value for key, value in cohort.labels.items() if key != "n_neurons"}
        labels["condition"] = f"{labels['intervention']} of {labels['cohort']}"
        single = {f"{DRAW}{k}": of_draw - intact for k, of_draw in enumerate(of_draws, 1)} if len(of_draws) > 1 else {}
        values = {"delta": ablated - intact, "surprisal": ablated, "intact_surprisal": intact}
        frames.append(words.assign(**labels, **values, **single))
    if not frames:
        raise StoreError("the store holds the intact model alone; surprisal can change only in a condition that edits neurons")
    table = pd.concat(frames, ignore_index=True)
    labels_of = ["condition", "intervention", *COHORT, "controls"]
    for name in labels_of:
        if table[name].dtype == object:
            table[name] = table[name].astype("category")
    leading = ["checkpoint", *labels_of, "is_matched", "n_seeds", "delta", "surprisal", "intact_surprisal"]
    draws = [str(name) for name in table if str(name).startswith(DRAW)]
    table = table[leading + [str(name) for name in table if name not in (*leading, *draws)] + draws]
    table.attrs = dict(words.attrs)
    return table
