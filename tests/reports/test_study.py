from __future__ import annotations

from pathlib import Path

import pytest

from actstore.errors import ActstoreError
from reports.study import load_study

STUDIES = Path(__file__).parent.parent.parent / "studies"


@pytest.mark.parametrize("file", sorted(STUDIES.glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_studies_are_valid(file):
    assert load_study(file).name == file.stem


def test_defaults_fill_what_is_left_out(tmp_path):
    (tmp_path / "s.toml").write_text('name = "s"\nmodel = "m"\n[selection]\nfraction = 0.5\n')
    study = load_study(tmp_path / "s.toml")
    assert (study.checkpoints, study.selection.fraction, study.selection.random_seeds) == ("main", 0.5, 5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('model = "m"', "lacks name"),
        ('name = "s"\nmodell = "m"', "did you mean 'model'"),
        ('name = "s"\nmodel = "m"\n[ablation]\npair = "x"', r"key of \[ablation\].*did you mean 'pairs'"),
        ('name = "s"\nmodel = "m"\ntokens = "many"', "tokens must be int"),
        ('name = "s"\nmodel = "m"\nselection = 3', r"\[selection\] must be a table"),
        ("name = x\n", "not valid TOML.*line 1"),
    ],
)
def test_wrong_keys_and_values_are_named(tmp_path, text, said):
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(ActstoreError, match=said):
        load_study(tmp_path / "s.toml")


def test_a_missing_study_is_named(tmp_path):
    with pytest.raises(ActstoreError, match=r"cannot read the study .*none\.toml"):
        load_study(tmp_path / "none.toml")
