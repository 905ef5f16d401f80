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
    if options.store:
        store = opened(options.store, "ablate", *OF_AN_ABLATION)
        check_folder(options, store)
        table = surprisal_table(store)
        save_tables(options.out, {"surprisal_words": table}, suffix=".csv.gz")
        print(f"{options.out}: {table['word'].nunique():,} words × {table['condition'].nunique()} conditions, "
              f"{table.attrs['n_left_out']} words left out (a piece is not scored)")  # fmt: skip
    else:
        table = check_words(load_table(options.table), options.table)
    for name in ("intervention", "checkpoint"):
        if (value := getattr(options, name)) is not None:
            if value not in set(table[name]):
                raise UnknownNameError(name, value, sorted(set(table[name])))
            table = table[table[name] == value]
    if options.formula is not None:
        _fit_formula(table, options)
        return
    tables = surprisal_effects(table, options.seed, options.replicates)
    for over, column in (("checkpoint", "checkpoint"), ("layers", "last_layer")):
        if table[column].nunique() > 1:
            tables[f"surprisal_over_{over}"] = surprisal_curves(table, over, seed=options.seed)
    save_tables(options.out, tables)
    print(f"{options.out}: {', '.join(tables)}")
    for _, row in tables["surprisal_fits"].iterrows():
        notes = [f"slopes {row['slopes']}", *([row["flags"]] if row["flags"] else [])]
        notes.append(f"{row['n_disagreeing']} of {row['n_effects']} effects whose intervals disagree")
        print(f"  {row['intervention']} by {row['by']}: {row['n_rows']:,} rows; {'; '.join(notes)}")


def _fit_formula(table: pd.DataFrame, options: argparse.Namespace) -> None:
    random = {name: options.slopes if name == options.random[-1] else [] for name in options.random}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)  # the summary begins with them
        model = fit_surprisal_model(table, options.formula, random, n_replicates=options.replicates, seed=options.seed)
    save_tables(options.out, {"model_effects": model.fixed_effects(), "model_variances": model.variance_components(),
                        "model_tests": model.tests(), "model_fit": model.overview()})  # fmt: skip
    print(model)
