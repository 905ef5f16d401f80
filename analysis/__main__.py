"""The commands of the analysis without the rest: `python -m analysis`. Needs no torch."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from actstore.cli.command import parser_of
from actstore.errors import run_reporting


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 2 on a problem the user can mend, 130 on Ctrl-C."""

    def action() -> None:
        options = parser().parse_args(arguments)
        options.run(options)

    return run_reporting(action, "analysis")


def parser() -> argparse.ArgumentParser:
    """All commands of the analysis with their arguments."""
    from analysis.cli import COMMANDS  # takes seconds, in which a Ctrl-C must be answered too

    examples = [example for command in COMMANDS for example in command.examples]
    return parser_of("python -m analysis", "Compute statistics of stores; no model and no torch needed.", COMMANDS, examples)


if __name__ == "__main__":
    sys.exit(main())
