"""Study files: defaults, inheritance, and errors with their line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from actstore.ablation.readouts.minimal_pairs import MinimalPairs
from actstore.errors import ActstoreError
from actstore.selection.selection import Selection
from reports.__main__ import main
from reports.steps import steps_of
from reports.study import check_study, load_study
from tests.helpers import NO_TORCH

STUDIES = Path(__file__).parent.parent.parent / "studies"


@pytest.mark.parametrize("file", sorted(STUDIES.glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_studies_are_valid(file):
    study = load_study(file)
    assert study.name == file.stem
    assert all(ablation.n_conditions() > 1 for ablation in study.ablations)


GOOD = 'name = "s"\nmodels = ["m"]\n'


OUT_OF_BOUNDS = [
    ("[extraction_text]\nwindow = 0", "line 4: window must be 2 or more, as it holds BOS and a token, got 0"),
    ("[extraction_text]\nwindow = 1", "line 4: window must be 2 or more, as it holds BOS and a token, got 1"),
    ("[extraction_text]\ntokens = -1", "line 4: tokens must be 1 to 100,000,000, or all, got -1"),
    ("[selection]\nrandom_seeds = 1000000000", "line 4: random_seeds must be 0 to 1,000, got 1000000000"),
    ("[text]\nwindow = 1", "line 4: window must be 2 or more, as it holds BOS and a token, got 1"),
    ("[readouts.minimal_pairs]\nper_paradigm = -1", "line 4: per_paradigm must be 0 to 1,000,000, got -1"),
    (
        '[[ablations]]\nname = "a"\n[[ablations.cohorts]]\nrule = "random"\nseeds = 999999999999',
        "line 7: seeds must be 1 to 1,000, got 999999999999",
    ),
    (
        '[[ablations]]\nname = "a"\n[[ablations.cohorts]]\nlayer_groups = 1000000000',
        "line 6: layer_groups must be 0 to 1,000, got 1000000000",
    ),
]


@pytest.mark.parametrize(("text", "said"), OUT_OF_BOUNDS)
def test_settings_out_of_bounds_are_named_with_their_line(tmp_path, text, said):
    with pytest.raises(ActstoreError, match=re.escape(said)):
        load_study(write(tmp_path, GOOD + text))


def write(folder, text):
    (folder / "s.toml").write_text(text)
    return folder / "s.toml"


def test_defaults_fill_what_is_left_out(tmp_path):
    study = load_study(write(tmp_path, 'name = "s"\nmodels = "m"\n[selection]\nfraction = 0.5\n'))
    assert (study.models, study.checkpoints, study.selection.fraction, study.selection.random_seeds) == (("m",), "main", 0.5, 5)
    assert not study.has_training


def test_ablations_take_from_the_study_what_they_leave_out(tmp_path):
    text = """
name = "s"
models = ["a", "b"]
[run]
device = "cuda"
[text]
tokens = 7
window = 64
[readouts.minimal_pairs]
sources = ["blimp"]
[[ablations]]
name = "one"
model = "b"
text.tokens = 9
[[ablations.cohorts]]
rule = "random"
seeds = 3
"""
    (ablation,) = load_study(write(tmp_path, text)).ablations
    design = ablation.design
    assert (design.model, design.run.device, design.text.tokens, design.text.window) == ("b", "cuda", 9, 64)
    assert design.readouts == (MinimalPairs(("blimp",)),)
    assert ablation.n_conditions() == 4


COHORTS = '[[ablations]]\nname = "a"\n[[ablations.cohorts]]\n[[ablations.cohorts]]\nrule = "random"\nfraction = [0.1, 0.2]\n'


@pytest.mark.parametrize(
    ("selection", "expected"),
    [("", 0.01), ("[selection]\nfraction = 0.03\n", 0.03), ('[selection]\nfraction = "auto"\n', "auto")],
)
def test_cohorts_take_the_fraction_of_the_study(tmp_path, selection, expected):
    """Where they say none of their own."""
    study = load_study(write(tmp_path, GOOD + selection + COHORTS))
    assert study.selection.fraction == expected
    assert [spec.fraction for spec in study.ablations[0].design.cohorts] == [(expected,), (0.1, 0.2)]
    assert study.ablations[0].n_conditions() == 1 + 1 + 2 * 5
    steps = {step.name: step for step in steps_of(study, tmp_path / "s.toml", tmp_path)}
    command = steps["entanglement m"].command
    assert command[command.index("--fraction") + 1] == str(expected)


def test_one_table_of_cohorts_takes_the_fraction_too(tmp_path):
    text = '[selection]\nfraction = 0.03\n[[ablations]]\nname = "a"\n[ablations.cohorts]\nrule = "top"\n'
    (ablation,) = load_study(write(tmp_path, GOOD + text)).ablations
    assert ablation.design.cohorts[0].fraction == (0.03,)


def test_files_beside_the_study_are_found(tmp_path):
    (tmp_path / "c.txt").write_text("x")
    study = load_study(
        write(
            tmp_path,
            'name = "s"\nmodels = ["m"]\n[extraction_text]\ncorpus = "c.txt"\n[[ablations]]\nname = "a"\ntext.corpus = "c.txt"\n[[ablations.cohorts]]\n',
        )
    )
    assert study.extraction_text.corpus == study.ablations[0].design.text.corpus == str((tmp_path / "c.txt").resolve())


def test_the_site_is_that_of_every_ablation(tmp_path):
    text = 'name = "s"\nmodels = ["m"]\n[run]\nsite = "l.{layer}.up"\n[[ablations]]\nname = "a"\n[[ablations.cohorts]]\n'
    study = load_study(write(tmp_path, text))
    assert study.run.site == study.ablations[0].design.run.site == "l.{layer}.up"
    extraction, ablation = (
        next(step for step in steps_of(study, tmp_path / "s.toml", tmp_path) if step.name == name)
        for name in ("extract m", "ablate a")
    )
    assert extraction.command[extraction.command.index("--site") + 1] == "l.{layer}.up"
    assert 'site = "l.{layer}.up"' in ablation.file[1]


def test_selection_files_beside_the_study_are_found(tmp_path):
    chosen = Selection({0: (1,)}, "mine", "by hand", 0.5, "m", "site", "", 0, 2).save(tmp_path / "mine.json")
    cohorts = '[[ablations.cohorts]]\nrule = "file"\nselection = "mine.json"\n'
    (ablation,) = load_study(write(tmp_path, GOOD + '[[ablations]]\nname = "a"\n' + cohorts)).ablations
    assert ablation.design.cohorts[0].selection == (str(chosen.resolve()),)
    chosen.unlink()
    with pytest.raises(ActstoreError, match=r"'a': cannot read the selection mine\.json"):
        load_study(tmp_path / "s.toml")


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "..", ".hidden", "-rf", "a/b", "a\\\\b", "", "x" * 101])
def test_names_are_no_paths(tmp_path, name):
    """Of a study and of an ablation: they become folders that are written to, and replaced."""
    with pytest.raises(ActstoreError, match=r"name .*must be at most 100 letters, digits"):
        load_study(write(tmp_path, f'name = "{name}"\nmodels = ["m"]\n'))
    with pytest.raises(ActstoreError, match=r"name of an ablation must be at most 100 letters, digits"):
        load_study(write(tmp_path, f'name = "s"\nmodels = ["m"]\n[[ablations]]\nname = "{name}"\n[[ablations.cohorts]]\n'))


ABLATION = '[[ablations]]\nname = "a"\n[[ablations.cohorts]]\n'
OVER_TRAINING = '[[ablations]]\nname = "a"\ncheckpoints = "0,64,4000"\n[[ablations.cohorts]]\n'


@pytest.mark.parametrize("options", [["--dry-run"], []], ids=["dry", "real"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('models = ["pico-neox", "pico-nexo"]', "unknown model 'pico-nexo': did you mean 'pico-neox'"),
        ('models = ["{folder}"]', "holds neither a config.json nor step*/ folders"),
        ('models = ["pico-neox"]\ncheckpoints = "5000"', "5000"),
        ('models = ["./models/mine"]', "no such file or folder"),
        ('models = ["pico-neox"]\n[extraction_text]\ncorpus = "bultin"', "unknown corpus 'bultin': did you mean 'builtin'"),
        ('models = ["pico-neox"]\n[extraction_text]\ncorpus = "none.txt"', "corpus none.txt: no such file"),
        ('models = ["pico-neox"]\n[text]\ncorpus = "none.conllu"\n' + ABLATION, "'a': corpus none.conllu: no such file"),
        (
            'models = ["pico-neox"]\n[readouts.minimal_pairs]\nsources = ["blimp", "none.jsonl"]\n' + ABLATION,
            "'a': minimal pairs none.jsonl: no such file",
        ),
        (
            'models = ["pico-neox"]\n[readouts.tasks]\nnames = ["piqa"]\nfolder = "none"\n' + ABLATION,
            "'a': there is no task folder none",
        ),
        (
            'models = ["pico-neox"]\n[readouts.tasks]\nnames = ["lambda_opneai"]\n' + ABLATION,
            "'a': unknown task 'lambda_opneai'",
        ),
        ('models = ["pico-neox"]\n[extraction_text]\nspacy = "no_pipeline"', "download no_pipeline)"),
        ('models = ["pico-neox"]\n[text]\nspacy = "no_pipeline"\n' + ABLATION, "download no_pipeline)"),
        (
            'models = ["pico-neox"]\n' + ABLATION + 'rule = "file"\nselection = "none.json"\n',
            "cannot read the selection none.json",
        ),
        (
            'models = ["pico-neox"]\n' + OVER_TRAINING,
            "'a': it chooses neurons at steps 0, 64 of pico-neox, of which nothing is extracted; name them in the checkpoints",
        ),
    ],
)
def test_what_is_not_there_is_named_before_anything_runs(tmp_path, capsys, text, said, options):
    study = write(tmp_path, 'name = "s"\n' + text.replace("{folder}", str(tmp_path)))
    assert main([str(study), "--runs", str(tmp_path / "runs"), *options]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("checkpoints", "cohort"),
    [("main", 'checkpoint = "last"\n'), ("main", 'checkpoint = "4000"\n'), ("0,64,4000", ""), ("all", "")],
)
def test_neurons_may_be_chosen_at_any_checkpoint_that_is_extracted(tmp_path, checkpoints, cohort):
    text = f'name = "s"\nmodels = ["pico-neox"]\ncheckpoints = "{checkpoints}"\n' + OVER_TRAINING + cohort
    check_study(load_study(write(tmp_path, text)))


@pytest.mark.parametrize("file", sorted(STUDIES.glob("*.toml")), ids=lambda p: p.stem)
def test_what_shipped_studies_name_is_there_without_torch_or_a_download(file, tmp_path):
    code = f"""{NO_TORCH}
import socket
socket.socket.connect = None
from actstore.ablation import preflight
from actstore.ablation.readouts.tasks import Tasks
preflight.check_tagger = lambda pipeline: None  # spaCy's pipelines and the harness bring torch
Tasks.check = lambda self: None
from reports.__main__ import main
assert main([{str(file)!r}, "--runs", {str(tmp_path)!r}, "--dry-run"]) == 0
assert "torch" not in sys.modules and "transformers" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('models = ["m"]', "lacks name"),
        ('name = "s"\nmodel = "m"', "line 2: unknown key 'model': did you mean 'models'"),
        (GOOD + "[selection]\nfracton = 0.1", r"line 4: unknown key of \[selection\] 'fracton': did you mean 'fraction'"),
        (GOOD + '[extraction_text]\ntokens = "many"', "line 4: tokens must be 1 to 100,000,000, or all, got 'many'"),
        (GOOD + "selection = 3", r"\[selection\] must be a table"),
        ("name = x\n", "not valid TOML.*line 1"),
        ('name = "a b"\nmodels = ["m"]', "line 1: name must be at most 100 letters"),
        ('name = "s"\nmodels = []', "line 2: models must name at least one"),
        (GOOD + '[ablations]\nname = "a"', "line 3: write .*double brackets"),
        (GOOD + '[[ablations]]\nchekpoints = "main"', "needs a name"),
        (
            GOOD + '[[ablations]]\nname = "a"\nchekpoints = "main"',
            "line 5: unknown key of .*'a'.* 'chekpoints': did you mean 'checkpoints'",
        ),
        (GOOD + '[[ablations]]\nname = "a"\nmodel = "x"', "line 5: .*'x', which is not among the study's models"),
        (GOOD + '[[ablations]]\nname = "a"\nstatistics = "x"', "line 5: statistics is set for the whole study"),
        ('name = "s"\nmodels = ["A/m", "A/m"]', "line 2: models names 'A/m' twice"),
        ('name = "s"\nmodels = ["A/m", "B/m", "A--m"]', "line 2: the models A/m and A--m would share the folder A--m"),
        (GOOD + '[[ablations]]\nname = "a"\nrun.site = "l.{layer}.b"', "run is set for the whole study; leave it out of"),
        (GOOD + '[[ablations]]\nname = "a"\nsurprisal = 1', "line 5: surprisal must be true or false"),
        (GOOD + ABLATION + ABLATION, "two ablations have one name"),
        (GOOD + '[[ablations]]\nname = "a"', r"\[\[ablations\]\] 'a' edits nothing: add \[\[ablations.cohorts\]\]"),
        (GOOD + '[run]\ndevice = "gpu"', "line 4: device must be cpu, cuda, cuda:1, mps or xpu, got 'gpu'"),
        (GOOD + '[run]\nsite = "model.layers.0.mlp"', r"line 4: site must have \{layer\} where"),
        (
            GOOD + '[[ablations]]\nname = "a"\n[[ablations.cohorts]]\nrule = "tpo"',
            "line 6: unknown rule 'tpo': did you mean 'top'",
        ),
        (
            GOOD + '[[ablations]]\nname = "a"\n[[ablations.cohorts]]\ninterventions = "negatve-zero"',
            "did you mean 'negative-zero'",
        ),
    ],
)
def test_wrong_keys_and_values_are_named_with_their_line(tmp_path, text, said):
    with pytest.raises(ActstoreError, match=said):
        load_study(write(tmp_path, text))


def test_a_missing_study_is_named(tmp_path):
    with pytest.raises(ActstoreError, match=r"cannot read the study .*none\.toml"):
        load_study(tmp_path / "none.toml")
