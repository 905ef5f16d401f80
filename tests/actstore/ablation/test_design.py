from __future__ import annotations

from pathlib import Path

import pytest

from actstore.ablation.design import CohortSpec, Design, conditions, load_design
from actstore.ablation.readouts.minimal_pairs import MinimalPairs
from actstore.config import TextConfig
from actstore.errors import ActstoreError, SelectionError, SettingError, UnknownNameError

DESIGNS = Path(__file__).parent.parent.parent.parent / "designs"


def labels(*specs, n_layers=8, interventions=("negative-zero",)):
    return [condition.label for condition in conditions(Design("m", interventions=interventions, cohorts=specs), n_layers, 512)]


@pytest.mark.parametrize("file", sorted(DESIGNS.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_designs_are_valid(file):
    assert len(conditions(load_design(file), 4, 512)) > 1


def test_a_design_unfolds_in_order():
    interventions = ("negative-zero", "positive-zero")
    specs = [
        CohortSpec(fraction=(0.01, 0.02), scope=("layer", "all")),
        CohortSpec("random", seeds=2),
        CohortSpec("perplexity-matched"),
    ]
    tops = ["top 1%", "top 1%, all layers", "top 2%", "top 2%, all layers"]
    assert labels(*specs, interventions=interventions) == [
        "none",
        *(f"{name} of {cohort}" for name in interventions for cohort in tops),
        *(f"{name} of random 1%, draw {seed}" for name in interventions for seed in (0, 1)),
        *(f"{name} of perplexity-matched 1%" for name in interventions),
    ]


def test_cohorts_may_have_their_own_interventions_statistics_and_checkpoints():
    spec = CohortSpec(statistic="mapping_difficulty", checkpoint=("same", "last", "64"), interventions=("both-zero",))
    assert labels(spec) == [
        "none",
        "both-zero of top 1%, by mapping_difficulty",
        "both-zero of top 1%, by mapping_difficulty, chosen at the last checkpoint",
        "both-zero of top 1%, by mapping_difficulty, chosen at step 64",
    ]


def targets(*specs, **options):
    """Label of each condition, without its intervention → label of the top cohort that it controls for."""
    target_labels = {}
    for condition in conditions(Design("m", cohorts=specs, **options), 8, 512)[1:]:
        target = condition.cohort.target
        target_labels[condition.label.removeprefix("negative-zero of ")] = target and target.label
    return target_labels


MATCHED = "perplexity-matched"
BOTH = ("layer", "all")


def test_a_control_is_for_the_top_cohort_of_its_own_scope():
    specs = (CohortSpec(scope=BOTH), CohortSpec("random", scope=BOTH, seeds=1), CohortSpec(MATCHED, scope=BOTH))
    assert targets(*specs) == {
        "top 1%": None,
        "top 1%, all layers": None,
        "random 1%, draw 0": "top 1%",
        "random 1%, all layers, draw 0": "top 1%, all layers",
        "perplexity-matched 1%": "top 1%",
        "perplexity-matched 1%, all layers": "top 1%, all layers",
    }


@pytest.mark.parametrize(("scope", "target"), [("layer", "top 1%"), ("all", "top 1%, all layers")])
def test_a_perplexity_matched_control_is_for_the_only_top_whatever_its_own_scope(scope, target):
    target_of = targets(CohortSpec(scope=(scope,)), CohortSpec(MATCHED, scope=BOTH), CohortSpec("bottom", scope=BOTH))
    assert target_of["perplexity-matched 1%"] == target
    assert target_of["perplexity-matched 1%, all layers"] == target
    assert target_of["bottom 1%"] == (target if scope == "layer" else None)
    assert target_of["bottom 1%, all layers"] == (target if scope == "all" else None)


def test_target_scope_decides_and_the_label_names_it():
    target_of = targets(
        CohortSpec(scope=BOTH), CohortSpec(MATCHED, scope=BOTH), CohortSpec(MATCHED, scope=("all",), target_scope="layer")
    )
    assert target_of["perplexity-matched 1%, all layers"] == "top 1%, all layers"
    assert target_of["perplexity-matched 1%, all layers, for the top of each layer"] == "top 1%"


def test_controls_are_for_the_same_fraction_layers_statistic_and_checkpoint():
    specs = (
        CohortSpec(fraction=(0.01, 0.02), layer_groups=2, checkpoint=("same", "last")),
        CohortSpec(statistic="std"),
        CohortSpec("random", fraction=(0.02,), layer_groups=2, checkpoint=("last",), seeds=1),
        CohortSpec("bottom"),
    )
    target_of = targets(*specs)
    for layers in ("layers 0 to 3", "layers 4 to 7"):
        control = f"random 2%, {layers}, chosen at the last checkpoint, draw 0"
        assert target_of[control] == f"top 2%, {layers}, chosen at the last checkpoint"
    assert target_of["bottom 1%"] is None, "there is no such top over all layers"


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (
            (CohortSpec(MATCHED),),
            "perplexity-matched 1% has no cohort to control for: add one of rule 'top' with the same",
        ),
        ((CohortSpec(fraction=(0.02,)), CohortSpec(MATCHED)), "no cohort to control for"),
        ((CohortSpec(), CohortSpec(MATCHED, target_scope="all")), "add one of rule 'top' and scope 'all' with the same"),
        (
            (CohortSpec(interventions=("both-zero",)), CohortSpec("random")),
            "random 1% is run under negative-zero and top 1%",
        ),
        ((CohortSpec(interventions=("both-zero",)), CohortSpec(MATCHED)), "add 'negative-zero' to the interventions of that"),
        ((CohortSpec(), CohortSpec("random", target_scope="all")), "leave it out of the random cohort"),
    ],
)
def test_controls_that_could_not_be_compared_are_refused(specs, message):
    with pytest.raises(SelectionError, match=message):
        targets(*specs)


def test_layers_are_cut_into_groups_single_and_cumulative():
    every = conditions(Design("m", cohorts=(CohortSpec(layer_groups=3, grouping=("single", "cumulative")),)), 8, 512)
    layers = [condition.cohort.layers for condition in every[1:]]
    assert layers == [(0, 1, 2), (3, 4, 5), (6, 7), (0, 1, 2, 3, 4, 5), ()], "no layers named: all of them"
    assert every[2].label == "negative-zero of top 1%, layers 3 to 5"


def test_a_condition_is_there_once():
    assert labels(CohortSpec(), CohortSpec()) == ["none", "negative-zero of top 1%"]
    with pytest.raises(SelectionError, match="two conditions are both"):
        labels(CohortSpec("matched", match=("mean",)), CohortSpec("matched", match=("std",)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "tops"}, "unknown rule 'tops': did you mean 'top'"),
        ({"scope": ("layers",)}, "unknown scope 'layers': did you mean 'layer'"),
        ({"rule": MATCHED, "target_scope": "layers"}, "unknown target_scope 'layers': did you mean 'layer'"),
        ({"grouping": ("cumulated",)}, "did you mean 'cumulative'"),
        ({"interventions": ("negativezero",)}, "did you mean 'negative-zero'"),
    ],
)
def test_unknown_names(options, message):
    with pytest.raises((SettingError, UnknownNameError), match=message):
        labels(CohortSpec(**options))


def test_more_groups_than_layers():
    with pytest.raises(SelectionError, match="8 layers cannot be cut into 9"):
        labels(CohortSpec(layer_groups=9))


def test_a_file_is_read_with_single_values_and_paths_beside_it(tmp_path):
    (tmp_path / "pairs.jsonl").touch()
    (tmp_path / "d.toml").write_text(
        'model = "m"\ninterventions = "both-zero"\n[text]\ntokens = 99\n[readouts.minimal_pairs]\n'
        'sources = ["builtin", "pairs.jsonl"]\n'
        '[[cohorts]]\nfraction = 0.05\n[[cohorts]]\nrule = "random"\nseeds = 3\n'
    )
    design = load_design(tmp_path / "d.toml")
    assert design.interventions == ("both-zero",)
    assert design.text == TextConfig("builtin-evaluation", tokens=99)
    assert design.readouts == (MinimalPairs(sources=("builtin", str(tmp_path / "pairs.jsonl"))),)
    assert design.cohorts == (CohortSpec(fraction=(0.05,)), CohortSpec("random", seeds=3))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('modell = "m"', "did you mean 'model'"),
        ("[text]\n", "lacks model"),
        ('model = "m"\n[[cohorts]]\nfractions = 0.1', r"key of \[\[cohorts\]\].*did you mean 'fraction'"),
        ('model = "m"\n[[cohorts]]\nfraction = ["a"]', "or auto, got"),
        ('model = "m"\n[readouts.minimal_pairs]\nskip_bad = 1', "skip_bad must be bool"),
        ('model = "m"\ncohorts = 3', "must be a table, or several in double brackets"),
        ("model = m", "not valid TOML"),
    ],
)
def test_wrong_keys_and_values(tmp_path, text, message):
    (tmp_path / "d.toml").write_text(text)
    with pytest.raises(ActstoreError, match=message):
        load_design(tmp_path / "d.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[text]\nwindow = 0", "line 3: window must be 2 or more, as it holds BOS and a token, got 0"),
        ("[readouts.minimal_pairs]\nper_paradigm = -1", "line 3: per_paradigm must be 0 to 1,000,000, got -1"),
        ("[readouts.minimal_pairs]\nseed = -1", "line 3: seed must be 0 to "),
        ('[[cohorts]]\nrule = "random"\nseeds = 999999999999', "line 4: seeds must be 1 to 1,000, got 999999999999"),
        ('[[cohorts]]\nrule = "random"\nseeds = -3', "line 4: seeds must be 1 to 1,000, got -3"),
        ("[[cohorts]]\nlayer_groups = 99999999999", "line 3: layer_groups must be 0 to 1,000"),
    ],
)
def test_settings_out_of_bounds_are_named_with_their_line(tmp_path, text, message):
    (tmp_path / "d.toml").write_text('model = "m"\n' + text)
    with pytest.raises(ActstoreError, match=f"d.toml, {message}"):
        load_design(tmp_path / "d.toml")


@pytest.mark.parametrize(("n_neurons", "percent"), [(512, "5%"), (1536, "2%"), (8192, "1%")])
def test_a_fraction_that_fits_the_layers(n_neurons, percent):
    """It is chosen when the size of the layers is known, and then a number like any other."""
    design = Design("m", cohorts=(CohortSpec(fraction=("auto",)), CohortSpec("random", fraction=("auto",), seeds=1)))
    _, top, control = conditions(design, 8, n_neurons)
    assert (top.label, control.label) == (f"negative-zero of top {percent}", f"negative-zero of random {percent}, draw 0")
    assert control.cohort.target == top.cohort
    assert isinstance(top.cohort.fraction, float)


def test_a_fraction_that_fits_is_a_condition_once():
    spec = CohortSpec(fraction=(0.01, "auto", 0.05))
    assert labels(spec) == ["none", "negative-zero of top 1%", "negative-zero of top 5%"]


def test_fractions_in_a_file(tmp_path):
    (tmp_path / "d.toml").write_text('model = "m"\n[[cohorts]]\nfraction = ["auto", 0.2]\n')
    design = load_design(tmp_path / "d.toml")
    assert design.cohorts[0].fraction == ("auto", 0.2)
    assert [condition.cohort.fraction for condition in conditions(design, 4, 512)[1:]] == [0.05, 0.2]
    with pytest.raises(SelectionError, match="30% of 40 neurons is fewer than 16"):
        conditions(design, 4, 40)
