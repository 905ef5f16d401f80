"""`python -m reports STUDY.toml`, as `actstore report`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from actstore.errors import run_reporting
from reports.cli import COMMAND


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study; 0 on success, 2 on a problem the user can mend, 130 on Ctrl-C."""

    def action() -> None:
        COMMAND.carry_out(parser().parse_args(arguments))

    return run_reporting(action, "reports")


def parser() -> argparse.ArgumentParser:
    """The arguments of the report."""
    parser = argparse.ArgumentParser(prog="python -m reports", description=f"{COMMAND.summary.capitalize()}.")
    COMMAND.add_to(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
