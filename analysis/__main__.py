"""The analysis from the command line: `python -m analysis`. Needs no torch."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from actstore.errors import run_reporting


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 2 on a problem the user can mend, 130 on Ctrl-C."""

    def action() -> None:
        from analysis.cli import parser, run  # takes seconds, in which a Ctrl-C must be answered too

        run(parser().parse_args(arguments))

    return run_reporting(action, "analysis")


if __name__ == "__main__":
    sys.exit(main())
