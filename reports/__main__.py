"""A study from its file to its report: `python -m reports STUDY.toml`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from actstore.errors import run_reporting


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reports",
        description="Run a study step by step and render its report; finished steps are not run again.",
        epilog="example:\n  python -m reports studies/default.toml --runs runs",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", type=Path, help="a study file, e.g. studies/default.toml")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs (default runs)")
    parser.add_argument(
        "--dry-run", action="store_true", help="show the steps and what is done, and what is missing; run nothing"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study; 0 on success, 2 on a problem the user can mend, 130 on Ctrl-C."""

    def action() -> None:
        from reports.pipeline import run  # takes a second, in which a Ctrl-C must be answered too
        from reports.study import check_study, load_study

        options = _parser().parse_args(arguments)
        study = load_study(options.study)
        check_study(study)  # before hours of work, and in a dry run too
        folder = options.runs / study.name
        run(study, options.study, folder, dry=options.dry_run)
        if not options.dry_run:
            print(f"report: {folder / 'report' / 'index.html'}")

    return run_reporting(action, "reports")


if __name__ == "__main__":
    sys.exit(main())
