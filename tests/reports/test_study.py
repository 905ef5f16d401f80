"""Study files: defaults, inheritance, and errors with their line."""

from __future__ import annotations

from pathlib import Path

import pytest

from actstore.errors import ActstoreError
from reports.study import load_study

STUDIES = Path(__file__).parent.parent.parent / "studies"


@pytest.mark.parametrize("file", sorted(STUDIES.glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_studies_are_valid(file):
    study = load_study(file)
    assert study.name == file.stem
    assert all(ablation.n_conditions() > 1 for ablation in study.ablations)


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
device = "cuda"
[text]
tokens = 7
window = 64
[readouts]
pairs = ["blimp"]
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
    assert (design.model, design.device, design.text.tokens, design.text.window) == ("b", "cuda", 9, 64)
    assert design.readouts.pairs == ("blimp",)
    assert ablation.n_conditions() == 4


def test_files_beside_the_study_are_found(tmp_path):
    (tmp_path / "c.txt").write_text("x")
    study = load_study(
        write(tmp_path, 'name = "s"\nmodels = ["m"]\ncorpus = "c.txt"\n[[ablations]]\nname = "a"\ntext.corpus = "c.txt"\n')
    )
    assert study.corpus == study.ablations[0].design.text.corpus == str((tmp_path / "c.txt").resolve())


GOOD = 'name = "s"\nmodels = ["m"]\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('models = ["m"]', "lacks name"),
        ('name = "s"\nmodel = "m"', "line 2: unknown key 'model': did you mean 'models'"),
        (GOOD + "[selection]\nfracton = 0.1", r"line 4: unknown key of \[selection\] 'fracton': did you mean 'fraction'"),
        (GOOD + 'tokens = "many"', "line 3: tokens must be int"),
        (GOOD + "selection = 3", r"\[selection\] must be a table"),
        ("name = x\n", "not valid TOML.*line 1"),
        ('name = "a b"\nmodels = ["m"]', "line 1: name must be letters"),
        ('name = "s"\nmodels = []', "line 2: models must name at least one"),
        (GOOD + '[ablations]\nname = "a"', "line 3: write .*double brackets"),
        (GOOD + '[[ablations]]\nchekpoints = "main"', "needs a name"),
        (
            GOOD + '[[ablations]]\nname = "a"\nchekpoints = "main"',
            "line 5: unknown key of .*'a'.* 'chekpoints': did you mean 'checkpoints'",
        ),
        (GOOD + '[[ablations]]\nname = "a"\nmodel = "x"', "line 5: .*'x', which is not among the study's models"),
        (GOOD + '[[ablations]]\nname = "a"\nstatistics = "x"', "line 5: the study computes the statistics"),
        (GOOD + '[[ablations]]\nname = "a"\nsurprisal = 1', "line 5: surprisal must be true or false"),
        (GOOD + '[[ablations]]\nname = "a"\n[[ablations]]\nname = "a"', "two ablations have one name"),
        (
            GOOD + '[[ablations]]\nname = "a"\n[[ablations.cohorts]]\nrule = "tpo"',
            "'a': unknown rule of a cohort 'tpo': did you mean 'top'",
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
