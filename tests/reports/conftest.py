"""A small study of two embedded models, run once a session by its own command."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.pipeline import run
from reports.results import load_results
from reports.study import load_study

STUDY = """
name = "small"
models = ["pico-neox", "pico-opt"]
checkpoints = "0,64,4000"
tokens = 1500

[pairs]
tokens = 600
top = 20

[text]
tokens = 1500

[readouts]
pairs_per_paradigm = 2

[[ablations]]
name = "all-in-one"
checkpoints = "0,4000"
surprisal = true

[[ablations.cohorts]]
rule = "top"
fraction = [0.01, 0.02, 0.05]

[[ablations.cohorts]]
rule = "top"
interventions = ["positive-zero", "sign-flip"]

[[ablations.cohorts]]
rule = "random"
fraction = [0.01, 0.05]
seeds = 1

[[ablations.cohorts]]
rule = "top"
layer_groups = 2
grouping = ["single", "cumulative"]

[[ablations]]
name = "relu"
model = "pico-opt"

[ablations.readouts]
pairs = []
probes = []

[[ablations.cohorts]]
rule = "top"
interventions = ["negative-zero", "positive-zero"]
"""


@pytest.fixture(scope="session")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("study") / "small.toml"
    file.write_text(STUDY)
    return file


@pytest.fixture(scope="session")
def study_folder(study_file: Path) -> Path:
    """The folder of the finished run, report and all."""
    folder = study_file.parent / "runs"
    run(load_study(study_file), study_file, folder)
    return folder


@pytest.fixture(scope="session")
def results(study_file, study_folder):
    return load_results(load_study(study_file), study_folder)


@pytest.fixture(scope="session")
def report(study_folder) -> Path:
    return study_folder / "report"
