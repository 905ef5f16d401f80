"""Mixed-effects models of surprisal, from an ablation or from a saved table of words."""

from __future__ import annotations

import argparse
import warnings

import pandas as pd

from actstore.errors import FitError, UnknownNameError
from analysis.commands.shared import OF_AN_ABLATION, check_folder, opened, save_tables
from analysis.results import load_table
from analysis.surprisal.fitting import fit_surprisal_model
from analysis.surprisal.mixed_model import FitWarning
from analysis.surprisal.models import surprisal_curves, surprisal_effects
from analysis.surprisal.word_checks import check_words
from analysis.surprisal.words import surprisal_table


def run(options: argparse.Namespace) -> None:
    """Models of surprisal and their tables, into `--out`."""
    if options.slopes and options.formula is None:
        raise FitError("--slopes belongs to --formula; name one, or leave --slopes out")
    if len({*options.random}) < len(options.random):
        raise FitError(f"--random names a column twice: {' '.join(options.random)}; name each once")
    words = _words_of_store(options) if options.store else check_words(load_table(options.table), options.table)
    words = _only_named(words, options)
    if options.formula is None:
        _fit_effects(words, options)
    else:
        _fit_formula(words, options)


def _words_of_store(options: argparse.Namespace) -> pd.DataFrame:
    """The table of words of an ablation, which is saved too."""
    store = opened(options.store, "ablate", *OF_AN_ABLATION)
    check_folder(options, store)
    words = surprisal_table(store)
    save_tables(options.out, {"surprisal_words": words}, suffix=".csv.gz")
    sizes = f"{words['word'].nunique():,} words × {words['condition'].nunique()} conditions"
    print(f"{options.out}: {sizes}, {words.attrs['n_left_out']} words left out (a piece is not scored)")
    return words


def _only_named(words: pd.DataFrame, options: argparse.Namespace) -> pd.DataFrame:
    """The rows of the intervention and the checkpoint that are named."""
    for column in ("intervention", "checkpoint"):
        value = getattr(options, column)
        if value is None:
            continue
        if value not in set(words[column]):
            raise UnknownNameError(column, value, sorted(set(words[column])))
        words = words[words[column] == value]
    return words


def _fit_effects(words: pd.DataFrame, options: argparse.Namespace) -> None:
    """The models of effects by part of speech, and curves over whatever varies."""
    tables = surprisal_effects(words, options.seed, options.replicates)
    for over, column in (("checkpoint", "checkpoint"), ("layers", "last_layer")):
        if words[column].nunique() > 1:
            tables[f"surprisal_over_{over}"] = surprisal_curves(words, over, seed=options.seed)
    save_tables(options.out, tables)
    print(f"{options.out}: {', '.join(tables)}")
    for _, row in tables["surprisal_fits"].iterrows():
        notes = [f"slopes {row['slopes']}", *([row["flags"]] if row["flags"] else [])]
        notes.append(f"{row['n_disagreeing']} of {row['n_effects']} effects whose intervals disagree")
        print(f"  {row['intervention']} by {row['by']}: {row['n_rows']:,} rows; {'; '.join(notes)}")


def _fit_formula(words: pd.DataFrame, options: argparse.Namespace) -> None:
    """The model of `--formula` alone."""
    random = {name: options.slopes if name == options.random[-1] else [] for name in options.random}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)  # the printed summary begins with these warnings
        model = fit_surprisal_model(words, options.formula, random, n_replicates=options.replicates, seed=options.seed)
    tables = {
        "model_effects": model.fixed_effects(),
        "model_variances": model.variance_components(),
        "model_tests": model.tests(),
        "model_fit": model.overview(),
    }
    save_tables(options.out, tables)
    print(model)
