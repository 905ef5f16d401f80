"""The campaign: `python -m tests.campaign --kills 500 --flips 2000 --inputs 2000 --pairs 200 --crashes 300 --seed 1`.

Prints one table, and every failure with the number of its trial; `--only PART:NUMBER` runs one
trial again, `--keep FOLDER` keeps what it leaves.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.campaign import flips, inputs, kills, pairs_of_processes, power_loss
from tests.campaign.children import settle_environment, warm_up
from tests.campaign.runs import prepare
from tests.campaign.trials import Part, Tally, run_part

PARTS: dict[str, tuple[Part, int]] = {
    "kills": (kills.PART, 500),
    "flips": (flips.PART, 2000),
    "inputs": (inputs.PART, 2000),
    "pairs": (pairs_of_processes.PART, 200),
    "crashes": (power_loss.PART, 300),
}
"""Option → the part, and how many harms its long form tries."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=(__doc__ or "").partition("\n")[0])
    for name, (_, n) in PARTS.items():
        default = int(os.environ.get(f"CAMPAIGN_{name.upper()}", n))
        parser.add_argument(
            f"--{name}", type=int, default=default, metavar="N", help=f"how many to try ({default}; 0 for none)"
        )
    parser.add_argument("--seed", type=int, default=int(os.environ.get("CAMPAIGN_SEED", 1)), help="of all that is drawn")
    parser.add_argument("--workers", type=int, default=2, help="trials at a time (2)")
    parser.add_argument("--light", action="store_true", help="no whole studies, which take longest")
    parser.add_argument("--only", metavar="PART:NUMBER", action="append", default=[], help="these trials and no others")
    parser.add_argument("--keep", type=Path, help="folder to work in, and to keep failed trials in (a temporary one)")
    return parser


def table(tallies: Sequence[Tally]) -> str:
    """What was tried and what held, as Markdown."""
    rows = ["| part | tried | held | not held | seconds |", "|---|---:|---:|---:|---:|"]
    for tally in tallies:
        failed = min(len(tally.failures), tally.tried)
        rows.append(f"| {tally.part} | {tally.tried:,} | {tally.tried - failed:,} | {failed:,} | {tally.seconds:,.0f} |")
    return "\n".join(rows)


@contextmanager
def _room(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
            yield Path(folder)
    else:
        os.environ["CAMPAIGN_KEEP"] = "1"
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.absolute()


def main() -> int:
    """Run the campaign; 1 if anything did not hold."""
    options = _parser().parse_args()
    only: dict[str, list[int]] = {}
    for trial in options.only:
        name, _, number = trial.partition(":")
        only.setdefault(name, []).append(int(number))
    settle_environment()
    if options.light:
        os.environ["CAMPAIGN_LIGHT"] = "1"
    warm_up()
    tallies = []
    with _room(options.keep) as folder:
        os.environ["CAMPAIGN_LOGS"] = str(folder)
        prepare(folder / "prepared")
        for name, (part, _) in PARTS.items():
            n = getattr(options, name)
            if (name in only) if only else n:
                tallies.append(run_part(part, n, options.seed, folder, options.workers, only.get(name, ())))
                print(f"{name}: {tallies[-1].tried} tried, {tallies[-1].seconds:.0f} s", file=sys.stderr, flush=True)
    for tally in tallies:
        for failure in tally.failures:
            print(f"- {failure} (seed {options.seed})")
    print(table(tallies))
    return int(any(tally.failures for tally in tallies))


if __name__ == "__main__":
    sys.exit(main())
