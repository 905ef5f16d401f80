from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from actstore.ablation.applied import applied
from actstore.ablation.design import FILE, CohortSpec, Design
from actstore.ablation.readouts.minimal_pairs import MinimalPairs
from actstore.ablation.readouts.probes import Probes
from actstore.ablation.run import ablate
from actstore.ablation.state import State
from actstore.cli.main import main
from actstore.config import RunConfig, TextConfig
from actstore.errors import ActstoreError, SelectionError, StoreError, UnknownNameError
from actstore.model import scoring, sources
from actstore.model.interventions import intervention
from actstore.selection.choosing import select
from actstore.selection.selection import Selection
from actstore.store.configuration import partial_path
from actstore.store.opening import open_store
from actstore.store.resumable import Outcome
from actstore.verification import verify
from analysis.results import load_dataset, save_dataset
from tests.actstore.extraction.test_resume import contents

EVERY = {layer: tuple(range(512)) for layer in range(4)}
SHORT = TextConfig(corpus="builtin", tokens=300)
NOTHING = ()
UP_SITE = "model.layers.{layer}.mlp.up_proj"
NEOX_SITE = "gpt_neox.layers.{layer}.mlp.dense_h_to_4h"


def saved(path, **change):
    selection = Selection(EVERY, "top", "wasserstein_distance", 1.0, "pico-neox", NEOX_SITE, "", -1, 512)
    return str(replace(selection, **change).save(path))


@pytest.fixture(scope="module")
def statistics(run_folder):
    return str(run_folder / "analysis" / "entanglement.zarr")


@pytest.fixture(scope="module")
def design(statistics):
    cohorts = (
        CohortSpec(fraction=(0.01, 0.02), interventions=("negative-zero", "mean-ablate-negative", "sign-flip")),
        CohortSpec("random", seeds=2),
        CohortSpec(statistic="mapping_difficulty", checkpoint=("last",)),
        CohortSpec(layer_groups=2, fraction=(0.01,)),
    )
    return Design(
        "pico-neox",
        "64,4000",
        statistics,
        text=SHORT,
        readouts=(MinimalPairs(per_paradigm=1), Probes(("facts",))),
        cohorts=cohorts,
    )


@pytest.fixture(scope="module")
def whole(design, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "a.zarr"
    assert ablate(design, path, progress=False) is Outcome.WRITTEN
    return path


def test_labels_and_dims(ablation):
    assert ablation["ablated_surprisal"].dims == ("checkpoint", "condition", "token")
    cohorts = ["random 1%, draw 0", "random 1%, draw 1", "top 1%"]
    assert ablation["condition"].values.tolist() == ["none", *(f"negative-zero of {cohort}" for cohort in cohorts)]
    assert ablation["intervention"].values.tolist() == ["none", *["negative-zero"] * 3]
    assert ablation["selection_seed"].values.tolist() == [-1, 0, 1, -1]
    assert ablation["is_edited"].sum(["layer", "neuron"]).values.tolist() == [[0, 20, 20, 20]]
    assert ablation["log_probability_good"].sizes["pair"] == 42 * 3
    assert ablation["log_probability_option"].sizes["item"] == 520


def test_baseline_is_the_plain_model(ablation, neox, neox_tokenizer):
    sentences = [str(text) for text in ablation["sentence_good"].values[:12]]
    values = scoring.sequence_surprisals(neox, scoring.encode(neox_tokenizer, sentences, 256))
    expected = [-part.sum() for part in values]
    np.testing.assert_allclose(ablation["log_probability_good"].values[0, 0, :12], expected, atol=1e-3)
    surprisal = ablation["ablated_surprisal"].values[0, 0]
    np.testing.assert_allclose(ablation["perplexity"].values[0, 0], np.exp(np.nanmean(surprisal.astype(float))), rtol=1e-9)


def test_every_condition_changes_the_model(whole):
    for perplexity in open_store(whole)["perplexity"].values:
        assert len(set(perplexity.tolist())) == len(perplexity)


def text_perplexity(model, store):
    """Perplexity of a model over the text of a store, window by window."""
    windows = np.split(store["token_id"].values, np.flatnonzero(store["position"].values == 0)[1:])
    return np.exp(np.mean(np.concatenate(scoring.sequence_surprisals(model, windows)), dtype=float))


def test_a_condition_is_what_its_label_says(whole, statistics):
    """At every checkpoint its neurons are those that the statistics name, and its perplexity that of the edited model."""
    store, data = open_store(whole), xr.open_zarr(statistics).load()
    source = sources.resolve("pico-neox")
    for checkpoint_index, step in enumerate((64, 4000)):
        model = sources.load(source, step, torch.float32)
        by_distance = select(data["wasserstein_distance"].sel(checkpoint=step), 0.01).neurons
        by_difficulty = select(data["mapping_difficulty"].sel(checkpoint=4000), 0.01).neurons
        early = {layer: neurons for layer, neurons in by_distance.items() if layer < 2}
        for name, cohort, neurons in (
            ("negative-zero", "top 1%", by_distance),
            ("sign-flip", "top 1%", by_distance),
            ("negative-zero", "top 1%, by mapping_difficulty, chosen at the last checkpoint", by_difficulty),
            ("negative-zero", "top 1%, layers 0 to 1", early),
        ):
            row = store.isel(checkpoint=checkpoint_index).sel(condition=f"{name} of {cohort}")
            edited = np.argwhere(row["is_edited"].values)
            expected = [(layer, neuron) for layer in sorted(neurons) for neuron in neurons[layer]]
            assert sorted(map(tuple, edited.tolist())) == expected
            with applied(model, intervention(name), neurons):
                assert float(row["perplexity"]) == pytest.approx(text_perplexity(model, store), rel=1e-5)


def test_the_means_of_mean_ablation_are_the_stores(store, statistics):
    """`negative_mean` is that of the pre-activations in the store."""
    values = store["preactivation"].sel(checkpoint=4000, layer=2).values.astype(float)[store["position"].values > 0]
    expected = np.array([column[column < 0].mean() for column in values.T])
    negative_mean = xr.open_zarr(statistics)["negative_mean"].sel(checkpoint=4000, layer=2).values
    np.testing.assert_allclose(negative_mean, expected, rtol=1e-9)


def test_a_matched_control_reaches_the_perplexity_of_its_target(statistics, tmp_path):
    matched = CohortSpec(
        "perplexity-matched", fraction=(0.2,), scope=("layer", "all"), tolerance=0.01, interventions=("both-zero",)
    )
    cohorts = (
        CohortSpec(fraction=(0.2,), scope=("layer", "all"), interventions=("both-zero",)),
        matched,
        replace(matched, scope=("all",), target_scope="layer"),
    )
    ablate(
        Design("pico-neox", statistics=statistics, text=SHORT, readouts=NOTHING, cohorts=cohorts),
        tmp_path / "a",
        progress=False,
    )
    store = open_store(tmp_path / "a").isel(checkpoint=0)
    _, top, top_of_all, by_layer, of_all, of_all_for_layer = (store.isel(condition=index) for index in range(6))
    assert store["target_scope"].values.tolist() == ["", "", "", "layer", "all", "layer"]
    assert store["is_matched"].values.tolist() == [-1, -1, -1, 1, 0, 1]
    for control, target in ((by_layer, top), (of_all, top_of_all), (of_all_for_layer, top)):
        assert float(control["target_perplexity"]) == pytest.approx(float(target["perplexity"]), rel=1e-9)
        assert not (control["is_edited"] & target["is_edited"]).any()
    for control in (by_layer, of_all_for_layer):
        assert float(control["perplexity"]) == pytest.approx(float(top["perplexity"]), rel=0.01)
    counts = by_layer["is_edited"].sum("neuron").values
    assert len(set(counts.tolist())) == 1, "as many of each layer"
    assert counts[0] > 0.2 * 512
    assert len(set(of_all_for_layer["is_edited"].sum("neuron").values.tolist())) > 1, "ranked over all layers"
    # The top over all layers takes a whole layer: all other neurons together do less than it, and the store says so.
    assert float(of_all["perplexity"]) < 0.5 * float(of_all["target_perplexity"])
    assert int(of_all["is_edited"].sum()) == 2048 - round(0.2 * 2048)


def test_a_control_takes_the_lowest_neurons_that_its_target_leaves(statistics, tmp_path):
    """Its scope says where its neurons come from: here the bottom over all layers, without the top of each layer."""
    cohorts = (CohortSpec(fraction=(0.1,)), CohortSpec("perplexity-matched", fraction=(0.1,), scope=("all",), tolerance=0.01))
    ablate(
        Design("pico-neox", statistics=statistics, text=SHORT, readouts=NOTHING, cohorts=cohorts),
        tmp_path / "a",
        progress=False,
    )
    _, top, control = open_store(tmp_path / "a")["is_edited"].values[0]
    distance = xr.open_zarr(statistics)["wasserstein_distance"].sel(checkpoint=4000).values
    assert distance[control].max() < distance[~control & ~top].min()


def test_controls_of_selection_files_are_for_the_selected(ablation):
    assert ablation["target_scope"].values.tolist() == ["", "layer", "layer", ""]


def test_an_interrupted_run_continues_to_the_same_store(design, whole, tmp_path, monkeypatch):
    path, reads = tmp_path / "a.zarr", []
    original = State.read

    def interrupted(self, condition):
        reads.append(condition.label)
        if len(reads) == 8:
            raise KeyboardInterrupt
        return original(self, condition)

    monkeypatch.setattr(State, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ablate(design, path, progress=False)
    assert not path.exists()
    with pytest.raises(StoreError, match=r"tokens|text"):
        ablate(replace(design, text=replace(SHORT, tokens=400)), path, progress=False)
    n_before = len(reads)
    data = partial_path(path) / "data"
    (data / "perplexity" / "c" / "0" / "1").unlink()
    damaged = data / "ablated_surprisal" / "c" / "0" / "3" / "0"
    damaged.write_bytes(damaged.read_bytes()[:-20] + bytes(20))
    (data / "sentence_good" / "c" / "0").write_bytes(b"")
    assert ablate(design, path, progress=False) is Outcome.WRITTEN
    n_tasks = open_store(path)["perplexity"].size
    assert len(reads) - n_before == n_tasks - 7 + 2, "tasks whose files are whole are not computed again"
    assert contents(path) == contents(whole)
    assert ablate(design, path, progress=False) is Outcome.ALREADY_COMPLETE
    assert verify(path) == []


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_shares_make_the_same_store(design, whole, tmp_path, order):
    path = tmp_path / "a.zarr"
    outcomes = [ablate(design, path, worker=(number, 3), progress=False) for number in order]
    assert outcomes == [Outcome.SHARE_DONE, Outcome.SHARE_DONE, Outcome.WRITTEN]
    assert contents(path) == contents(whole)
    assert not partial_path(path).exists()


def test_changed_statistics_are_another_run(design, statistics, tmp_path):
    small = replace(design, checkpoints="64", readouts=NOTHING, cohorts=(CohortSpec(),))
    ablate(small, tmp_path / "a", progress=False)
    changed = load_dataset(Path(statistics).parent, "entanglement")
    changed["std"] += 1
    save_dataset(changed, tmp_path, "entanglement")
    with pytest.raises(StoreError, match="statistics_digest"):
        ablate(replace(small, statistics=str(tmp_path / "entanglement.zarr")), tmp_path / "a", progress=False)


def test_the_model_is_loaded_once_a_checkpoint(design, tmp_path, monkeypatch):
    loaded = []
    original = sources.load
    monkeypatch.setattr(sources, "load", lambda source, step, *rest: loaded.append(step) or original(source, step, *rest))
    ablate(replace(design, readouts=NOTHING), tmp_path / "a", progress=False)
    assert loaded == [64, 4000]


def test_relu_model_under_negative_zero_changes_by_exactly_zero(tmp_path):
    step = sources.choose_checkpoints(sources.resolve("pico-opt"), "main")[0]
    fingerprint = sources.weights_fingerprint(sources.load(sources.resolve("pico-opt"), step, torch.float32))
    site = "model.decoder.layers.{layer}.fc1"
    path = saved(tmp_path / "s.json", model="pico-opt", site=site, checkpoint=step, weights_fingerprint=fingerprint)
    design = Design(
        "pico-opt",
        text=TextConfig("builtin-evaluation", tokens=800),
        readouts=(MinimalPairs(per_paradigm=1),),
        cohorts=(CohortSpec(FILE, selection=(path,)),),
    )
    ablate(design, tmp_path / "a.zarr", progress=False)
    store = open_store(tmp_path / "a.zarr")
    for name in ("ablated_surprisal", "log_probability_good", "log_probability_bad"):
        intact, ablated = store[name].values[0]
        np.testing.assert_array_equal(intact, ablated)


def test_text_alone(tmp_path):
    path = saved(tmp_path / "s.json", neurons={0: (1,)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cohorts = (CohortSpec(FILE, selection=(path,)),)
        ablate(Design("pico-neox", "64", text=SHORT, readouts=NOTHING, cohorts=cohorts), tmp_path / "a.zarr", progress=False)
    assert "log_probability_good" not in open_store(tmp_path / "a.zarr")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "pico-llama"}, "made on pico-llama, this is pico-neox"),
        ({"n_neurons_per_layer": 600}, "layers of 600 neurons"),
        ({"neurons": {9: (0,)}}, "up to layer 9"),
        ({"checkpoint": 64, "weights_fingerprint": "other"}, "other weights"),
        ({"site": UP_SITE}, r"made at the site .*up_proj, the design's is gpt_neox\.layers.*dense_h_to_4h"),
    ],
)
def test_selections_that_do_not_fit(tmp_path, change, message):
    path = saved(tmp_path / "s.json", **change)
    cohorts = (CohortSpec(FILE, selection=(path,)),)
    with pytest.raises(SelectionError, match=message):
        ablate(Design("pico-neox", "64", text=SHORT, readouts=NOTHING, cohorts=cohorts), tmp_path / "a", progress=False)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"statistics": ""}, "needs statistics"),
        ({"statistics": "nowhere.zarr"}, r"cannot read the statistics nowhere\.zarr"),
        ({"model": "pico-llama", "checkpoints": "main"}, "made on pico-neox, this is pico-llama"),
        ({"checkpoints": "512"}, "checkpoint in .*'512'"),
        ({"cohorts": (CohortSpec(statistic="wasserstein"),)}, "did you mean 'wasserstein_distance'"),
        ({"cohorts": (CohortSpec(checkpoint=("65",)),)}, "'65'"),
        ({"cohorts": (CohortSpec(fraction=(0.0001,)),)}, "rounds to none"),
        (
            {"cohorts": (CohortSpec(fraction=(1.0,)), CohortSpec("perplexity-matched", fraction=(1.0,)))},
            "top 100% leaves no neurons to match perplexity with; take a smaller fraction",
        ),
        (
            {"cohorts": (CohortSpec(fraction=(0.998,), scope=("all",)), CohortSpec("perplexity-matched", fraction=(0.998,)))},
            'top 99.8%, all layers leaves no neurons .* in one layer; take a smaller fraction or scope = "all"',
        ),
        ({"cohorts": (CohortSpec("perplexity-matched"),)}, "has no cohort to control for"),
        ({"cohorts": (CohortSpec("file"),)}, "needs selection"),
        ({"cohorts": (CohortSpec(interventions=("negativ-zero",)),)}, "did you mean 'negative-zero'"),
        ({"readouts": (MinimalPairs(sources=("nowhere",)), Probes())}, "unknown minimal pairs"),
        ({"text": TextConfig("builtin-evaluation", window=999)}, "exceeds the context"),
        ({"run": RunConfig(device="cuda:999")}, "cannot be used"),
    ],
)
def test_designs_are_checked_before_anything_runs(design, tmp_path, monkeypatch, change, message):
    monkeypatch.setattr(sources, "load", None)
    with pytest.raises(ActstoreError, match=message):
        ablate(replace(design, **change), tmp_path / "a", progress=False)
    assert not list(tmp_path.iterdir())


def test_the_command_takes_a_design_or_selections(design, statistics, tmp_path, capsys):
    (tmp_path / "d.toml").write_text(
        f'model = "pico-neox"\ncheckpoints = "64"\nstatistics = {json.dumps(statistics)}\n'
        "[text]\ntokens = 300\n[readouts]\n[[cohorts]]\n"
    )
    store = str(tmp_path / "a.zarr")
    assert main(["ablate", str(tmp_path / "d.toml"), "--store", store, "--quiet"]) == 0
    assert main(["ablate", str(tmp_path / "d.toml"), "--store", store, "--quiet"]) == 0
    assert "already complete" in capsys.readouterr().out
    selection = saved(tmp_path / "s.json", neurons={0: (1,)})
    command = "ablate --model pico-neox --tokens 300 --pairs none --probes recall --intervention both-zero scale:0.5 --quiet"
    assert main([*command.split(), "--selection", selection, "--store", str(tmp_path / "b.zarr")]) == 0
    ablation = open_store(tmp_path / "b.zarr")
    assert ablation["intervention"].values.tolist() == ["none", "both-zero", "scale:0.5"]
    assert set(ablation["probe"].values) == {"recall"}
    capsys.readouterr()
    assert main(["ablate", "--store", store]) == 2
    assert "name a design file, or --model and --selection" in capsys.readouterr().err


BESIDE = {
    "--model": ["pico-neox"],
    "--selection": ["s.json"],
    "--statistics": ["e.zarr"],
    "--checkpoints": ["main"],
    "--site": [NEOX_SITE],
    "--intervention": ["both-zero"],
    "--corpus": ["builtin"],
    "--tokens": ["16384"],
    "--window": ["128"],
    "--seed": ["0"],
    "--documents": ["line"],
    "--spacy": ["none"],
    "--pairs": ["builtin"],
    "--pairs-per-paradigm": ["1"],
    "--probes": ["facts", "recall"],
    "--device": ["cpu"],
    "--compute-dtype": ["float32"],
}
"""Each option that has no meaning beside a design file → values for it."""


def test_options_beside_a_design_are_refused_by_name(tmp_path, capsys):
    (tmp_path / "d.toml").write_text('model = "pico-neox"\n[[cohorts]]\n')
    command = ["ablate", str(tmp_path / "d.toml"), "--store", str(tmp_path / "a.zarr")]
    with pytest.raises(SystemExit):
        main(["ablate", "--help"])
    group = capsys.readouterr().out.partition("without a design file:")[2]
    assert set(re.findall(r"^  (--[a-z-]+)", group, re.MULTILINE)) == set(BESIDE)
    for option, values in BESIDE.items():
        assert main([*command, option, *values]) == 2
        assert f"{option}: not beside a design file; write it into {tmp_path / 'd.toml'}" in capsys.readouterr().err
    assert main([*command, "--seed", "0", "--corpus", "builtin"]) == 2
    assert "--seed, --corpus: not beside" in capsys.readouterr().err
    assert not (tmp_path / "a.zarr").exists()


def test_the_command_edits_the_site_that_it_names(tmp_path, capsys):
    """A gated model's up projection: selection, option and store agree on the site, and the edit is there."""
    selection = saved(tmp_path / "s.json", model="pico-llama", site=UP_SITE, neurons={0: (1, 7), 2: (500,)})
    options = "--model pico-llama --tokens 300 --pairs none --probes none --intervention both-zero --quiet"
    command = ["ablate", *options.split(), "--selection", selection, "--store"]
    assert main([*command, str(tmp_path / "gate.zarr")]) == 2
    message = "at the site model.layers.{layer}.mlp.up_proj, the design's is model.layers.{layer}.mlp.gate_proj"
    assert message in capsys.readouterr().err
    assert main([*command, str(tmp_path / "up.zarr"), "--site", UP_SITE]) == 0
    store = open_store(tmp_path / "up.zarr")
    assert store.attrs["site"] == UP_SITE
    by_hand = sources.load(sources.resolve("pico-llama"), int(store["checkpoint"][0]), torch.float32)
    for layer, neurons in {0: [1, 7], 2: [500]}.items():
        by_hand.model.layers[layer].mlp.up_proj.weight[neurons] = 0
    intact, edited = store["perplexity"].values[0]
    assert edited == pytest.approx(text_perplexity(by_hand, store), rel=1e-5)
    assert abs(edited - intact) > 1e-4


def test_statistics_of_another_site_are_refused(statistics, tmp_path):
    data = load_dataset(Path(statistics).parent, "entanglement")
    for holder in (data, *data.data_vars.values()):
        holder.attrs["site"] = UP_SITE
    save_dataset(data, tmp_path, "entanglement")
    design = Design("pico-neox", statistics=str(tmp_path / "entanglement.zarr"), text=SHORT, cohorts=(CohortSpec(),))
    with pytest.raises(SelectionError, match=r"the statistics .* made at the site .*up_proj, the design's is .*dense_h_to_4h"):
        ablate(design, tmp_path / "a", progress=False)


@pytest.mark.parametrize("cohort", [CohortSpec(), CohortSpec(checkpoint=("64",))])
def test_statistics_of_other_weights_are_refused(statistics, tmp_path, cohort):
    data = load_dataset(Path(statistics).parent, "entanglement")
    fingerprints = data["weights_fingerprint"].astype(object)
    fingerprints[-1] = "0" * 32
    save_dataset(data.assign_coords(weights_fingerprint=fingerprints), tmp_path, "entanglement")
    design = Design(
        "pico-neox", statistics=str(tmp_path / "entanglement.zarr"), text=SHORT, readouts=NOTHING, cohorts=(cohort,)
    )
    with pytest.raises(SelectionError, match="chosen on other weights of pico-neox step 4000"):
        ablate(design, tmp_path / "a", progress=False)


def test_unknown_intervention_of_the_command(tmp_path, capsys):
    selection = saved(tmp_path / "s.json", neurons={0: (1,)})
    options = ["--intervention", "negativezero", "--store", str(tmp_path / "b.zarr")]
    assert main(["ablate", "--model", "pico-neox", "--selection", selection, *options]) == 2
    assert "did you mean 'negative-zero'" in capsys.readouterr().err


def test_a_perplexity_that_is_not_finite_is_named(tmp_path):
    selection = saved(tmp_path / "s.json")
    cohorts = (CohortSpec(FILE, selection=(selection,), interventions=("scale:1e38",)),)
    with pytest.raises(ActstoreError, match=r"under scale:1e38 of top 100% .* perplexity is not finite"):
        ablate(Design("pico-neox", text=SHORT, readouts=NOTHING, cohorts=cohorts), tmp_path / "a", progress=False)


def test_negative_means_are_needed(tmp_path):
    selection = saved(tmp_path / "s.json", neurons={0: (1,)})
    cohorts = (CohortSpec(FILE, selection=(selection,), interventions=("mean-ablate-negative",)),)
    with pytest.raises((SelectionError, UnknownNameError), match="needs statistics"):
        ablate(Design("pico-neox", text=SHORT, readouts=NOTHING, cohorts=cohorts), tmp_path / "a", progress=False)
