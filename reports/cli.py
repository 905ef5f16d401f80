"""The `report` command and its arguments: run a study and render its report."""

from __future__ import annotations

import argparse
from pathlib import Path

from actstore.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study, the folder of runs and `--dry-run`."""
    parser.add_argument("study", type=Path, help="a study file, e.g. studies/default.toml")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs (default runs)")
    parser.add_argument(
        "--dry-run", action="store_true", help="show the steps and what is done, and what is missing; run nothing"
    )


def run(options: argparse.Namespace) -> None:
    """Run the steps of a study that are not done yet; the last one renders its report."""
    from reports.pipeline import run as run_steps
    from reports.study import check_study, load_study

    study = load_study(options.study)
    check_study(study)  # before hours of work, and in a dry run too
    folder = options.runs / study.name
    run_steps(study, options.study, folder, dry=options.dry_run)
    if not options.dry_run:
        print(f"report: {folder / 'report' / 'index.html'}")


COMMAND = Command(
    "report",
    "run a study step by step and render its report; finished steps are not run again",
    add_arguments,
    run,
    ("actstore report studies/default.toml --runs runs",),
)
