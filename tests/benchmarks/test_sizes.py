"""Every benchmark runs to its end at the smallest size, and what it compares agrees."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.sizes import parsed

ROOT = Path(__file__).parent.parent.parent
AGREEMENTS = {
    "analysis": (r"greatest difference between the two in 8 neurons: (\S+)", 1e-5),
    "minimal_pairs": (r"largest difference to one sentence at a time, of \d+: (\S+) nats", 1e-4),
}
LAST_LINES = {
    "extraction": "reading from the disk",
    "analysis": "greatest difference",
    "minimal_pairs": "changing the intervention",
    "coverage": "| model of surprisal, top less random, cluster-robust |",
    "mixed_models": "20,000 rows with robust intervals",
    "neurons": "files beside the page",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text())
)
def test_it_runs_to_its_end(name):
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--quick"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert LAST_LINES[name] in done.stdout.splitlines()[-1]
    if name in AGREEMENTS:
        pattern, bound = AGREEMENTS[name]
        difference = re.search(pattern, done.stdout)
        assert difference
        assert float(difference[1]) < bound


def test_quick_leaves_what_is_named():
    def new_parser() -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser()
        parser.add_argument("--tokens", type=int, default=100)
        parser.add_argument("--rounds", type=int, default=3)
        return parser

    assert parsed(new_parser(), [], tokens=1, rounds=1).tokens == 100
    options = parsed(new_parser(), ["--quick", "--tokens", "7"], tokens=1, rounds=1)
    assert (options.tokens, options.rounds) == (7, 1)
