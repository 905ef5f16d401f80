"""One of the programs with the campaign's small shards: `python -m tests.campaign.fresh PROGRAM ARGUMENTS`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run it; what is imported, and when, is as in the program itself."""
    program, *arguments = sys.argv[1:]
    if program == "actstore":
        from actstore.errors import run_reporting
        from tests.campaign.children import small_shards

        code = run_reporting(small_shards, program)
        if code:
            return code
    from tests.campaign.children import main_of

    return main_of(program)(arguments)


if __name__ == "__main__":
    sys.exit(main())
