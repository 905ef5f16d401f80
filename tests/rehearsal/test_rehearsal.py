"""The rehearsal itself: studies made small, and one run whole from a shelf of stand-ins."""

from __future__ import annotations

import gzip
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from actstore.builtin.discourse import documents
from actstore.builtin.paradigms import minimal_pairs
from reports.study import load_study
from tests.rehearsal.__main__ import small
from tests.rehearsal.shelf import PYTHIA_STEPS, add_blimp, add_stand_ins, add_wikitext
from tests.rehearsal.stand_ins import SHAPES, random_model

ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "studies").glob("*.toml"))
STUDY = """
name = "tried"
models = ["pythia-1b"]
checkpoints = "0,143000"

[extraction_text]
corpus = "wikitext2-validation"
documents = "section"
spacy = "none"
tokens = 2048

[text]
corpus = "wikitext2"
documents = "section"
spacy = "none"
tokens = 1024

[readouts.minimal_pairs]
sources = ["blimp", "tse"]
per_paradigm = 2

[readouts.tasks]
names = ["arc_easy", "arc_challenge", "piqa", "hellaswag", "winogrande", "sciq", "openbookqa"]
limit = 3

[[ablations]]
name = "first"

[[ablations.cohorts]]
rule = "top"
"""


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_small_study_is_the_same_but_for_sizes(path, tmp_path):
    (tmp_path / path.name).write_text(small(path.read_text()))
    real, reduced = load_study(path), load_study(tmp_path / path.name)
    assert (reduced.run.device, reduced.extraction_text.tokens, reduced.text.tokens) == ("cpu", 8192, 8192)
    assert (reduced.models, reduced.checkpoints) == (real.models, real.checkpoints)
    for ours, theirs in zip(reduced.ablations, real.ablations, strict=True):
        assert ours.n_conditions() == theirs.n_conditions()
        assert [readout.name for readout in ours.design.readouts] == [readout.name for readout in theirs.design.readouts]
        sizes = {readout.per_paradigm for readout in ours.design.readouts if readout.name == "minimal_pairs"}
        assert sizes <= {5}


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_no_study_measures_on_the_text_that_it_chooses_on(path):
    study = load_study(path)
    assert all(ablation.design.text.corpus != study.extraction_text.corpus for ablation in study.ablations)


def test_the_stand_in_of_pythia_has_the_checkpoints_that_its_study_names():
    study = load_study(ROOT / "studies" / "pythia-1b.toml")
    listed = [design.checkpoints for design in (a.design for a in study.ablations) if design.checkpoints != "main"]
    named = {int(step) for spec in [*listed, study.checkpoints] for step in spec.split(",") if step.isdecimal()}
    assert named <= set(PYTHIA_STEPS)


def test_a_random_model_is_that_of_its_seed():
    first, again, another = (random_model("opt", seed) for seed in (0, 0, 1))
    weights = [model.get_input_embeddings().weight.numpy() for model in (first, again, another)]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.allclose(weights[0], weights[2])
    assert first.config.num_hidden_layers == SHAPES["opt"]["num_hidden_layers"]


def texts_of(folder):
    """Files in the forms of WikiText-2 and BLiMP, from the embedded language."""
    folder.mkdir()
    for name, part in (("test", "evaluation"), ("valid", "extraction")):
        lines = [f" = {d.name} = \n\n {d.text} \n\n" for d in itertools.islice(documents(part, 0), 40)]
        (folder / f"{name}.txt.gz").write_bytes(gzip.compress("".join(lines).encode()))
    for paradigm, records in itertools.groupby(minimal_pairs(3), key=lambda record: record["UID"]):
        (folder / f"{paradigm}.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, records)).encode()))


@pytest.mark.slow
def test_a_study_runs_whole_from_a_shelf(tmp_path):
    for module in ("lm_eval", "pyarrow"):
        pytest.importorskip(module)
    shelf, source = tmp_path / "shelf", tmp_path / "source"
    texts_of(source)
    add_wikitext(shelf, source)
    add_blimp(shelf, source)
    add_stand_ins(shelf, source)
    (tmp_path / "tried.toml").write_text(STUDY)
    command = (sys.executable, "-m", "tests.rehearsal", tmp_path / "tried.toml", "--shelf", shelf, "--runs", tmp_path / "runs")
    subprocess.run(command, check=True, cwd=ROOT)
    results = tmp_path / "runs" / "tried"
    assert (results / "report" / "index.html").stat().st_size > 10_000
    by_paradigm = pd.read_csv(next(results.rglob("accuracy_by_paradigm.csv")))
    assert {"simple_agrmt", "subj_rel"} <= set(by_paradigm["paradigm"])
    assert set(pd.read_csv(next(results.rglob("tasks.csv")))["task"]) >= {"arc_easy", "winogrande", "sciq"}
