"""A study gives the same numbers at any number of threads, in any folder, and each time it is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.actstore.extraction.test_resume import contents

STUDY = """
name = "small"
models = ["pico-neox"]
checkpoints = "0,64,4000"

[extraction_text]
tokens = 1000

[pairs]
tokens = 800
top = 40

[text]
tokens = 600

[readouts.minimal_pairs]
per_paradigm = 1

[readouts.probes]
names = ["facts"]

[[ablations]]
name = "all-in-one"
surprisal = true

[[ablations.cohorts]]
rule = "top"
fraction = 0.05

[[ablations.cohorts]]
rule = "random"
fraction = 0.05
seeds = 2

[[ablations.cohorts]]
rule = "matched"
fraction = 0.05
match = ["mean", "std"]

[[ablations.cohorts]]
rule = "perplexity-matched"
fraction = 0.05
"""
OLDER_PROCESSOR = {"MKL_ENABLE_INSTRUCTIONS": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "OPENBLAS_CORETYPE": "Haswell"}
"""Instructions with which products of matrices depend most on the number of threads; all x86 processors of today have them."""


def finished(folder: Path, n_threads: int) -> Path:
    """The folder of the study, run by its own command."""
    folder.mkdir(parents=True)
    (folder / "small.toml").write_text(STUDY)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(n_threads))
    command = [sys.executable, "-m", "reports", str(folder / "small.toml"), "--runs", str(folder)]
    done = subprocess.run(command, env=os.environ | OLDER_PROCESSOR | threads, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "small"


def tables(run: Path) -> dict[str, bytes]:
    """Every table of a run: of its analyses, and as the report has it."""
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*.csv*"))}


def results(run: Path) -> dict[str, Any]:
    """What `results.json` holds, without the keys of the steps, which contain the folder."""
    content = json.loads((run / "report" / "results.json").read_text(encoding="utf-8"))
    del content["provenance"]["Steps"]
    return content


@pytest.mark.slow
def test_tables_are_equal_run_again_in_another_folder_by_more_threads(tmp_path):
    runs = [finished(tmp_path / "first", 1), finished(tmp_path / "some" / "where else", 2)]
    first, second = map(tables, runs)
    assert len(first) > 40
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    assert results(runs[0]) == results(runs[1])
    stores = [contents(run / "models" / "pico-neox" / "store.zarr") for run in runs]
    assert stores[0] == stores[1]
