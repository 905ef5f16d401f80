"""The tables of an ablation."""

from __future__ import annotations

import argparse

import pandas as pd
import xarray as xr

from analysis.ablation.overlap import text_overlap
from analysis.ablation.tables import ablation_tables
from analysis.belonging import check_belonging, origin_of
from analysis.commands.shared import OF_AN_ABLATION, check_folder, opened, save_tables


def run(options: argparse.Namespace) -> None:
    """Tables of an ablation into `--out`."""
    store = opened(options.store, "ablate", *OF_AN_ABLATION)
    check_folder(options, store)
    overlap = {"text_overlap": _overlap(options, store)} if options.extraction else {}
    tables = overlap | ablation_tables(store, options.score, options.correction, options.margin)
    save_tables(options.out, tables)
    print(f"{options.out}: {', '.join(tables)}")
    if "dissociation" in tables:
        _print_verdicts(tables["dissociation"])


def _print_verdicts(dissociation: pd.DataFrame) -> None:
    """One line for each comparison of a top cohort at the last checkpoint."""
    is_last = dissociation["checkpoint"] == dissociation["checkpoint"].max()
    for _, row in dissociation[is_last & (dissociation["rule"] == "top")].iterrows():
        against = row["against"] + (" (not matched on perplexity)" if row["is_matched"] == 0 else "")
        interval = f"[{row['interaction_lower']:+.4f}, {row['interaction_upper']:+.4f}]"
        print(
            f"  {row['intervention']} of {row['cohort']} against {against}: cost of grammar less cost of the rest "
            f"{row['interaction']:+.4f} {interval}, p {row['p_adjusted']:.3g} ({row['correction']}){_verdict(row)}"
        )


def _verdict(row: pd.Series) -> str:
    if row["is_double"]:
        return ": a double dissociation"
    return f": no effect beyond {row['equivalence_bound']:.4f}" if row["is_equivalent"] else ""


def _overlap(options: argparse.Namespace, store: xr.Dataset) -> pd.DataFrame:
    """How much of the ablation's text the extraction saw."""
    extraction = opened(options.extraction, "extract", "preactivation")
    check_belonging(origin_of(extraction, str(options.extraction)), origin_of(store, str(options.store), has_own_text=True))
    return text_overlap(extraction, store)
