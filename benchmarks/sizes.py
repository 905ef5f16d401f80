"""The sizes that a benchmark runs at."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def parsed(parser: argparse.ArgumentParser, arguments: Sequence[str] | None, **smallest: object) -> argparse.Namespace:
    """The options of a benchmark; with `--quick`, the smallest sizes that still run all of it, where no others are named."""
    parser.add_argument("--quick", action="store_true", help="the smallest sizes: to see that it runs, not how fast")
    if parser.parse_args(arguments).quick:
        parser.set_defaults(**smallest)
    return parser.parse_args(arguments)
