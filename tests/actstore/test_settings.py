"""Settings files: what is wrong in them is one line that names the file, and the line where it is."""

from __future__ import annotations

import pytest

from actstore.ablation.design import CohortSpec, load_design
from actstore.errors import ActstoreError
from actstore.settings import located, read_toml
from reports.study import load_study

DESIGN = 'model = "m"\n'
STUDY = 'name = "s"\nmodels = ["m"]\n'
ABLATION = STUDY + '[[ablations]]\nname = "a"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = " + "[" * 5000 + "]" * 5000, "nests too deep"),
        ("x = " + "{a = " * 3000 + "1" + "}" * 3000, "nests too deep"),
        ("x = " + "9" * 5000, "an integer of more than 4,300 digits"),
    ],
)
def test_what_python_cannot_read_is_one_line(tmp_path, text, said):
    path = tmp_path / "s.toml"
    path.write_text(text)
    with pytest.raises(ActstoreError, match=said):
        read_toml(path, "design")


def test_a_byte_order_mark_is_no_key(tmp_path):
    (tmp_path / "s.toml").write_text("\ufeffx = 1\n")
    assert read_toml(tmp_path / "s.toml", "design") == {"x": 1}


def test_the_line_is_the_one_with_the_value(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text("[selection]\nfraction = 0.1\n[cohorts]\nfraction = 2\n[more]\na.fraction = nan\n")
    assert [located(path, "fraction", value) for value in (None, 0.1, 2, float("nan"), 7)] == [
        f"{path}, line {number}" for number in (2, 2, 4, 6, 2)
    ]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("seeds = -3", "seeds must be 1 to 1,000, got -3"),
        ("seeds = 0", "seeds must be 1 to 1,000, got 0"),
        ("tolerance = nan", "tolerance must be above 0 and finite, got nan"),
        ("tolerance = 0.0", "tolerance must be above 0 and finite, got 0"),
        ("tolerance = inf", "tolerance must be above 0 and finite, got inf"),
        ("fraction = nan", "fraction must be above 0 and at most 1, got nan"),
        ("fraction = [0.1, 2]", "fraction must be above 0 and at most 1, got 2"),
        ("fraction = []", "fraction must name at least one"),
        ('fraction = "most"', "fraction must be above 0 and at most 1, or auto, got 'most'"),
        ('fraction = ["auto", 2]', "fraction must be above 0 and at most 1, got 2"),
        ("grouping = []", "grouping must name at least one"),
    ],
)
def test_a_cohort_is_refused_alike_in_a_design_and_in_a_study(tmp_path, setting, said):
    path = tmp_path / "s.toml"
    path.write_text(DESIGN + "[[cohorts]]\n" + setting)
    with pytest.raises(ActstoreError, match=rf"s\.toml, line 3: {said}"):
        load_design(path)
    for brackets in ("[[ablations.cohorts]]", "[ablations.cohorts]"):
        path.write_text(ABLATION + brackets + "\n" + setting)
        with pytest.raises(ActstoreError, match=rf"s\.toml, line 6: {said}"):
            load_study(path)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("tokens = -1", "tokens must be 1 to 100,000,000, or all, got -1"),
        ("window = 1", "window must be 2 or more"),
        ('documents = "sentence"', "unknown documents 'sentence'.*Choose from: file"),
    ],
)
def test_a_text_is_refused_alike_in_a_design_and_in_a_study(tmp_path, setting, said):
    path = tmp_path / "s.toml"
    for text, load, line in (
        (DESIGN + "[text]\n", load_design, 3),
        (STUDY + "[extraction_text]\n", load_study, 4),
        (STUDY + "[text]\n", load_study, 4),
        (ABLATION + "[ablations.text]\n", load_study, 6),
    ):
        path.write_text(text + setting)
        with pytest.raises(ActstoreError, match=rf"s\.toml, line {line}: {said}"):
            load(path)


@pytest.mark.parametrize("value", ['"x"', "[1]", "3"])
def test_what_must_be_a_table_is_named(tmp_path, value):
    path = tmp_path / "s.toml"
    for text, load in ((DESIGN, load_design), (STUDY, load_study), (ABLATION, load_study)):
        for key in ("text", "readouts"):
            path.write_text(f"{text}{key} = {value}\n")
            with pytest.raises(ActstoreError, match=rf"line \d: .*{key}.* must be a table, got"):
                load(path)
    for text, load in ((DESIGN, load_design), (ABLATION, load_study)):
        path.write_text(f"{text}cohorts = {value}\n")
        with pytest.raises(ActstoreError, match=r"line \d: .*cohorts.* must be a table, or several in double brackets"):
            load(path)


def test_one_table_of_cohorts_is_enough(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(ABLATION + '[ablations.cohorts]\nrule = "random"\nseeds = 2\n')
    assert load_study(path).ablations[0].design.cohorts == (CohortSpec("random", seeds=2),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DESIGN + '[run]\ncompute_dtype = "float64"', "line 3: unknown compute_dtype 'float64': did you mean 'float16'"),
        (DESIGN + '[readouts.probes]\nnames = ["fact"]', "line 3: unknown names 'fact': did you mean 'facts'"),
        (DESIGN + "interventions = []", "line 2: interventions must name at least one"),
    ],
)
def test_names_of_a_design_are_checked_when_it_is_read(tmp_path, text, said):
    (tmp_path / "d.toml").write_text(text)
    with pytest.raises(ActstoreError, match=said):
        load_design(tmp_path / "d.toml")
