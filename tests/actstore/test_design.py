from __future__ import annotations

from pathlib import Path

import pytest

from actstore.design import CohortSpec, Design, Text, conditions, load_design
from actstore.errors import ActstoreError, SelectionError, UnknownNameError

DESIGNS = Path(__file__).parent.parent.parent / "designs"


def labels(*specs, n_layers=8, interventions=("negative-zero",)):
    return [state.label for state in conditions(Design("m", interventions=interventions, cohorts=specs), n_layers)]


@pytest.mark.parametrize("file", sorted(DESIGNS.glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_designs_are_valid(file):
    assert len(conditions(load_design(file), 4)) > 1


def test_a_design_unfolds_in_order():
    assert labels(
        CohortSpec(fraction=(0.01, 0.02), scope=("layer", "all")), CohortSpec("random", seeds=2), CohortSpec("perplexity-matched"),
        interventions=("negative-zero", "positive-zero"),
    ) == [
        "none",
        *(f"{name}/top-{rest}" for name in ("negative-zero", "positive-zero") for rest in ("0.01", "0.01-all", "0.02", "0.02-all")),
        *(f"{name}/random-0.01-s{seed}" for name in ("negative-zero", "positive-zero") for seed in (0, 1)),
        "negative-zero/perplexity-matched-0.01", "positive-zero/perplexity-matched-0.01",
    ]  # fmt: skip


def test_cohorts_may_have_their_own_interventions_statistics_and_checkpoints():
    spec = CohortSpec(statistic="mapping_difficulty", checkpoint=("same", "last", "64"), interventions=("both-zero",))
    assert labels(spec) == [
        "none",
        "both-zero/top-0.01-mapping_difficulty",
        "both-zero/top-0.01-mapping_difficulty-atlast",
        "both-zero/top-0.01-mapping_difficulty-at64",
    ]


def test_layers_are_cut_into_groups_single_and_cumulative():
    states = conditions(Design("m", cohorts=(CohortSpec(layer_groups=3, grouping=("single", "cumulative")),)), 8)
    layers = [state.cohort.layers for state in states[1:]]
    assert layers == [(0, 1, 2), (3, 4, 5), (6, 7), (0, 1, 2, 3, 4, 5), tuple(range(8))]
    assert states[2].label == "negative-zero/top-0.01-layers3to5"


def test_a_condition_is_there_once():
    assert labels(CohortSpec(), CohortSpec()) == ["none", "negative-zero/top-0.01"]
    with pytest.raises(SelectionError, match="two conditions are both"):
        labels(CohortSpec("matched", match=("mean",)), CohortSpec("matched", match=("std",)))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (CohortSpec("tops"), "rule of a cohort 'tops': did you mean 'top'"),
        (CohortSpec(scope=("layers",)), "scope of a cohort"),
        (CohortSpec(grouping=("cumulated",)), "did you mean 'cumulative'"),
        (CohortSpec(interventions=("negativezero",)), "did you mean 'negative-zero'"),
    ],
)
def test_unknown_names(spec, said):
    with pytest.raises(UnknownNameError, match=said):
        labels(spec)


def test_more_groups_than_layers():
    with pytest.raises(SelectionError, match="8 layers cannot be cut into 9"):
        labels(CohortSpec(layer_groups=9))


def test_a_file_is_read_with_single_values_and_paths_beside_it(tmp_path):
    (tmp_path / "pairs.jsonl").touch()
    (tmp_path / "d.toml").write_text(
        'model = "m"\ninterventions = "both-zero"\n[text]\ntokens = 99\n[readouts]\npairs = ["builtin", "pairs.jsonl"]\n'
        '[[cohorts]]\nfraction = 0.05\n[[cohorts]]\nrule = "random"\nseeds = 3\n'
    )
    design = load_design(tmp_path / "d.toml")
    assert design.interventions == ("both-zero",)
    assert design.text == Text(tokens=99)
    assert design.readouts.pairs == ("builtin", str(tmp_path / "pairs.jsonl"))
    assert design.cohorts == (CohortSpec(fraction=(0.05,)), CohortSpec("random", seeds=3))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('modell = "m"', "did you mean 'model'"),
        ("[text]\n", "lacks model"),
        ('model = "m"\n[[cohorts]]\nfractions = 0.1', r"key of \[\[cohorts\]\].*did you mean 'fraction'"),
        ('model = "m"\n[[cohorts]]\nfraction = ["a"]', "fraction must be float"),
        ('model = "m"\n[readouts]\nskip_bad = 1', "skip_bad must be bool"),
        ('model = "m"\ncohorts = 3', "must be a table"),
        ("model = m", "not valid TOML"),
    ],
)
def test_wrong_keys_and_values(tmp_path, text, said):
    (tmp_path / "d.toml").write_text(text)
    with pytest.raises(ActstoreError, match=said):
        load_design(tmp_path / "d.toml")
