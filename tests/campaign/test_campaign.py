"""The campaign's short form: a few harms of every kind, of which none may do harm."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.campaign.children import ROOT

SHORT = {"kills": 6, "flips": 50, "inputs": 40, "pairs": 4, "crashes": 5}


@pytest.mark.slow
def test_a_few_harms_of_every_kind():
    numbers = [part for name, n in SHORT.items() for part in (f"--{name}", str(n))]
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaign", *numbers, "--light", "--seed", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    rows = re.findall(r"^\| (\w+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|", done.stdout, re.MULTILINE)
    assert [row[0] for row in rows] == list(SHORT), done.stdout + done.stderr
    assert all(int(tried) >= SHORT[name] for name, tried, _, _ in rows)
    assert done.returncode == 0, done.stdout
    assert all(held == tried and failed == "0" for _, tried, held, failed in rows)
