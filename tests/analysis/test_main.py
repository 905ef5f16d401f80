"""The analysis from the command line, on a real store."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from actstore.config import ExtractConfig, TextConfig
from actstore.extraction.run import extract
from actstore.selection.selection import Selection
from analysis import pair_contrasts
from analysis.__main__ import main
from analysis.results import DIFFERENTIATION, ENTANGLEMENT, PAIRS, load_dataset, load_table, save_dataset
from tests.conftest import CHECKPOINTS
from tests.helpers import QUIET


@pytest.fixture(scope="module")
def results(run_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "analysis"
    shutil.copytree(run_folder / "analysis", folder)
    store = ["--store", str(run_folder / "store.zarr"), "--results", str(folder)]
    assert main(["pairs", *store, "--pair-tokens", "800", "--top", "50"]) == 0
    assert main(["atlas", *store]) == 0
    assert main(["dynamics", *store]) == 0
    return folder


def test_every_table_with_intervals_has_their_clusters(results):
    tables = {path.name: load_table(path) for path in sorted(results.glob("*.csv"))}
    with_bounds = {name: table for name, table in tables.items() if any(str(column).endswith("_lower") for column in table)}
    assert {"perplexity.csv", "pair_signs.csv", "pair_labels.csv", "emergence.csv", "dissociation.csv"} <= set(with_bounds)
    for name, table in with_bounds.items():
        assert (table["n_clusters"] >= 1).all(), name
        assert table["cluster"].notna().all(), name
    tests = tables["paired_tests.csv"]
    flips = tests[tests["test"] == "sign flips"]
    np.testing.assert_allclose(flips["least_p"], np.minimum(2.0 ** (1 - flips["n_clusters"]), 1), rtol=1e-6)
    assert (tests.loc[tests["n_draws"] > 1, "test"] == "t").all()
    assert (flips["p"] >= flips["least_p"] * (1 - 1e-6)).all()


def test_every_statistic_of_every_neuron(results, store):
    statistics = load_dataset(results, ENTANGLEMENT)
    neurons = load_table(results / "neurons.csv")
    assert len(neurons) == 4 * 512
    for name in ("wasserstein_distance", "wasserstein_distance_all_positions", "skewness", "mapping_difficulty", "std"):
        last = statistics[name].sel(checkpoint=4000).values.ravel()
        np.testing.assert_allclose(neurons[name], last, rtol=1e-8)
    assert set(load_table(results / "explained_by_shape.csv")["layer"]) == {0, 1, 2, 3}
    assert "mapping_difficulty" in set(load_table(results / "rank_correlations.csv")["statistic"])


def test_pairs_and_their_signs(results):
    pairs, statistics = load_dataset(results, PAIRS), load_dataset(results, DIFFERENTIATION)
    assert pairs.attrs["n_tokens"] == 800
    assert statistics.attrs["n_top"] == 50
    signs = load_table(results / "pair_signs.csv")
    total = signs.groupby(["layer", "cohort", "pool"])["pair_frac"].sum()
    np.testing.assert_allclose(total, 1)
    assert (signs["pair_frac_lower"] <= signs["pair_frac_upper"]).all()
    labels = load_table(results / "pair_labels.csv")
    assert set(labels["feature"]) == {"upos", "deprel", "word_form"}
    assert (labels["n_similar"] >= 20).all()


def test_atlas_has_every_selected_neuron(results):
    cohort = Selection.load(results / "selections" / "top.json")
    table = load_table(results / "atlas.csv")
    assert list(zip(table["layer"], table["neuron"], strict=True)) == [(k, n) for k, of in cohort.neurons.items() for n in of]
    assert table["mi_depth"].notna().all()


def test_dynamics_tables(results):
    emergence = load_table(results / "emergence.csv")
    assert set(emergence["layer"]) == {-1, 0, 1, 2, 3}
    assert (emergence["step_to"] > 0).all()
    weights = load_table(results / "weights.csv")
    last = weights[weights["checkpoint"] == 4000]
    np.testing.assert_allclose(last["mean"], 0, atol=1e-6)
    assert (weights[weights["checkpoint"] == 0]["mean"] > 0.05).all()
    assert set(load_table(results / "overlap.csv")["checkpoint"]) == {0, 64, 4000}, "without the duplicate"
    cohorts = load_table(results / "cohorts.csv")
    assert len(cohorts) == 3 * 5 * 2 * 2
    assert set(cohorts["chosen_at"]) == {64, 4000}
    assert len(load_table(results / "negative_trajectory.csv")) == 3 * 5 * 2


def test_a_cohort_of_one_checkpoint_has_its_rows_once(results, run_folder, tmp_path):
    """As of two checkpoints, of which the middle one is the last."""
    shutil.copytree(results, tmp_path / "analysis")
    store = ["--store", str(run_folder / "store.zarr"), "--results", str(tmp_path / "analysis")]
    assert main(["dynamics", *store, "--early", "4000"]) == 0
    for name, n_layers in (("cohorts.csv", 5), ("weights.csv", 4)):
        table = load_table(tmp_path / "analysis" / name)
        assert set(table["chosen_at"]) == {4000}
        assert len(table) == 3 * n_layers * 2


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--rule", "bottom"], 20),
        (["--rule", "matched"], 20),
        (["--rule", "random", "--seed", "9"], 20),
        (["--statistic", "mapping_difficulty", "--scope", "all", "--fraction", "0.02"], 41),
    ],
)
def test_select(results, tmp_path, options, count):
    path = tmp_path / "chosen.json"
    assert main(["select", "--results", str(results), "--out", str(path), *options]) == 0
    assert Selection.load(path).n_neurons == count


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["select", "--statistic", "kurtosis"], "unknown statistic 'kurtosis': did you mean 'excess_kurtosis'"),
        (["select", "--rule", "tpo"], "unknown selection rule 'tpo': did you mean 'top'"),
        (["select", "--rule", "matched", "--match", "std", "skew"], "unknown statistic 'skew'"),
        (["select", "--checkpoint", "5"], "unknown checkpoint '5'"),
        (["pairs", "--store", "{store}", "--top", "100000"], "smaller n_top"),
        (["pairs", "--store", "{store}", "--pair-tokens", "2"], "are drawn; draw more"),
        (["atlas", "--store", "nowhere.zarr"], "no store at nowhere.zarr"),
        (["atlas", "--store", "{ablation}"], "is a store of `actstore ablate`, not a store of `actstore extract`"),
        (["pairs", "--store", "{results}"], "is statistics of `actstore entanglement`, not a store"),
        (["select", "--match", "std"], "takes no covariates"),
        (["select", "--out", "/proc/none/s.json"], "cannot write /proc/none/s.json"),
        (["dynamics", "--store", "{store}", "--selection", "none.json"], "cannot read the selection none.json"),
    ],
)
def test_problems_are_one_line_with_exit_code_2(results, run_folder, capsys, arguments, message):
    paths = {"{store}": run_folder / "store.zarr", "{ablation}": run_folder / "ablation.zarr"}
    paths["{results}"] = run_folder / "analysis" / "entanglement.zarr"
    arguments = [str(paths.get(argument, argument)) for argument in arguments]
    assert main([*arguments, "--results", str(results)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    """Stores of which there are no results: of another model, and of the same model over another text."""
    folder = tmp_path_factory.mktemp("strangers")
    extract(ExtractConfig("pico-llama", text=TextConfig(tokens=300)), folder / "llama.zarr", QUIET)
    extract(ExtractConfig("pico-neox", CHECKPOINTS, text=TextConfig(tokens=300)), folder / "text.zarr", QUIET)
    return folder


def refused(arguments, folder, capsys):
    """The message of a command that must fail, and must change nothing in a folder but its lock."""

    def contents():
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}

    before = contents()
    assert main(arguments) == 2
    assert contents() == before
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    return message


@pytest.mark.parametrize("command", ["pairs", "atlas", "dynamics"])
def test_a_store_of_another_model_or_text_is_refused(results, run_folder, strangers, command, capsys):
    llama = [command, "--store", str(strangers / "llama.zarr"), "--results", str(results)]
    assert "is of the model pico-neox, " in refused(llama, results, capsys)
    text = [command, "--store", str(strangers / "text.zarr"), "--results", str(results)]
    assert "is of another text than" in refused(text, results, capsys)


@pytest.mark.parametrize("command", ["pairs", "atlas", "dynamics"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "pico-llama"}, "is of the model pico-llama, "),
        ({"site": "layers.{layer}.up"}, "is of the site layers.{layer}.up, "),
        ({"n_neurons_per_layer": 600, "neurons": {0: (599,)}}, "is for layers of 600 neurons, "),
        ({"weights_fingerprint": "0" * 32}, "checkpoint 4000 of "),
        ({"provenance": {"corpus_fingerprint": "0" * 32}}, "is of another text than"),
    ],
)
def test_a_selection_of_another_origin_is_refused(results, run_folder, tmp_path, command, change, message, capsys):
    path = replace(Selection.load(results / "selections" / "top.json"), **change).save(tmp_path / "s.json")
    options = ["--store", str(run_folder / "store.zarr"), "--results", str(results), "--selection", str(path)]
    assert message in refused([command, *options], results, capsys)


def test_pairs_of_another_store_are_refused(results, run_folder, tmp_path, capsys):
    folder = tmp_path / "results"
    shutil.copytree(results, folder)
    pairs = load_dataset(folder, PAIRS)
    save_dataset(pairs.assign_attrs(site="layers.{layer}.up"), folder, PAIRS)
    command = ["atlas", "--store", str(run_folder / "store.zarr"), "--results", str(folder)]
    assert "pairs.zarr is of the site layers.{layer}.up, " in refused(command, folder, capsys)


def test_results_are_not_written_into_the_folder_of_another_model(results, run_folder, strangers, tmp_path, capsys):
    folder = tmp_path / "results"
    entanglement = ["entanglement", "--out", str(folder), "--random-seeds", "0", "--store"]
    assert main([*entanglement, str(strangers / "llama.zarr")]) == 0
    for command in ("tables", "surprisal"):
        arguments = [command, "--store", str(run_folder / "ablation.zarr"), "--out", str(folder)]
        assert "is of the model pico-neox, " in refused(arguments, folder, capsys)
    assert "is of the model pico-neox, " in refused([*entanglement, str(run_folder / "store.zarr")], folder, capsys)
    (folder / "entanglement.zarr" / "zarr.json").write_text("{")
    assert main([*entanglement, str(run_folder / "store.zarr")]) == 0, "damaged statistics are replaced"
    assert main([*entanglement, str(strangers / "text.zarr")]) == 0, "and so are those of another text"


def test_statistics_that_were_changed_are_refused(results, tmp_path, capsys):
    data = load_dataset(results, ENTANGLEMENT)
    save_dataset(data.assign_coords(layer=[-1, 0, 1, 2]), tmp_path, ENTANGLEMENT)
    assert "layer must hold ascending whole numbers from 0" in refused(["select", "--results", str(tmp_path)], tmp_path, capsys)


def test_a_selection_records_its_site(results):
    record = json.loads((results / "selections" / "top.json").read_text())
    assert (record["model"], record["site"]) == ("pico-neox", "gpt_neox.layers.{layer}.mlp.dense_h_to_4h")


def test_wrong_numbers_are_refused_by_the_parser(capsys):
    for arguments in (["--fraction", "2"], ["--fraction", "x"], ["--random-seeds", "-1"], ["--random-seeds", "10000000"]):
        with pytest.raises(SystemExit) as caught:
            main(["entanglement", "--store", "s", "--out", "o", *arguments])
        assert caught.value.code == 2
        assert arguments[0] in capsys.readouterr().err


def test_ablation_tables_and_the_printed_verdict(run_folder, tmp_path, capsys):
    store = str(run_folder / "ablation.zarr")
    options = ["--score", "critical", "--correction", "bh", "--margin", "0.5"]
    assert main(["tables", "--store", store, "--out", str(tmp_path), *options]) == 0
    message = capsys.readouterr().out
    assert "negative-zero of top 1% against random 1% (2 draws): cost of grammar less cost of the rest" in message
    assert "(bh): no effect beyond" in message
    for name in ("accuracy_by_paradigm", "paired_tests", "dissociation", "edited_by_layer"):
        assert (tmp_path / f"{name}.csv").is_file()
    assert main(["tables", "--store", store, "--out", str(tmp_path), "--score", "totl"]) == 2
    assert "did you mean 'total'" in capsys.readouterr().err


def test_surprisal_models_from_a_store_and_from_its_table(run_folder, tmp_path, capsys):
    store = str(run_folder / "ablation.zarr")
    assert main(["surprisal", "--store", store, "--out", str(tmp_path / "a"), "--replicates", "100"]) == 0
    message = capsys.readouterr().out
    assert "0 words left out" in message
    assert "negative-zero by upos" in message
    table = str(tmp_path / "a" / "surprisal_words.csv.gz")
    assert main(["surprisal", "--table", table, "--out", str(tmp_path / "b"), "--replicates", "100"]) == 0
    for name in ("means", "contrasts", "tests", "effects", "variances", "fits", "residuals", "spread"):
        from_store, from_table = (pd.read_csv(tmp_path / folder / f"surprisal_{name}.csv") for folder in "ab")
        pd.testing.assert_frame_equal(from_store, from_table, check_exact=False, rtol=1e-5, atol=1e-7)
    capsys.readouterr()
    formula = ["--formula", "delta ~ condition + n_pieces", "--random", "word_type", "document", "--slopes", "n_pieces"]
    assert main(["surprisal", "--table", table, "--out", str(tmp_path / "c"), *formula]) == 0
    assert "Mixed linear model" in capsys.readouterr().out
    assert set(pd.read_csv(tmp_path / "c" / "model_variances.csv")["effect"].fillna("")) == {"Intercept", "n_pieces", ""}
    for options, message in (
        (["--intervention", "negativ-zero"], "did you mean 'negative-zero'"),
        (["--formula", "delta ~ condtion"], "did you mean 'condition'"),
        (["--checkpoint", "7"], "unknown checkpoint '7'"),
    ):
        assert main(["surprisal", "--table", table, "--out", str(tmp_path / "c"), *options]) == 2
        assert message in capsys.readouterr().err
    fits = str(tmp_path / "a" / "surprisal_fits.csv")
    assert main(["surprisal", "--table", fits, "--out", str(tmp_path / "c")]) == 2
    assert "is no table of words: it lacks" in capsys.readouterr().err


def test_stores_of_the_other_kind_are_refused(run_folder, tmp_path, capsys):
    assert main(["tables", "--store", str(run_folder / "store.zarr"), "--out", str(tmp_path)]) == 2
    assert "is a store of `actstore extract`, not a store of `actstore ablate`" in capsys.readouterr().err
    assert main(["entanglement", "--store", str(run_folder / "ablation.zarr"), "--out", str(tmp_path)]) == 2
    assert "is a store of `actstore ablate`, not a store of `actstore extract`" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["~", "::x", "memory:"])
def test_a_results_folder_of_any_name_is_a_folder(run_folder, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    store = str(run_folder / "store.zarr")
    assert main(["entanglement", "--store", store, "--out", name, "--random-seeds", "0"]) == 0
    assert load_dataset(tmp_path / name, ENTANGLEMENT).sizes["neuron"] == 512


def test_results_are_not_written_into_a_store(run_folder, capsys):
    store = run_folder / "store.zarr"
    command = ["entanglement", "--store", str(store), "--out", str(store)]
    assert "is a store or dataset itself" in refused(command, store, capsys)


@pytest.mark.parametrize("options", [["--slopes", "condition"], ["--formula", "delta ~ x", "--random", "word", "word"]])
def test_options_of_a_formula_that_do_not_fit(tmp_path, capsys, options):
    assert main(["surprisal", "--table", "none.csv", "--out", str(tmp_path / "o"), *options]) == 2
    message = "--slopes belongs to --formula" if options[0] == "--slopes" else "--random names a column twice: word word"
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("abc", "fraction must be above 0 and at most 1, or auto, got 'abc'"),
        ("2", "fraction must be above 0 and at most 1, got 2"),
        ("1%", "write 1% as 0.01"),
    ],
)
def test_wrong_fractions_are_refused_by_the_parser(value, said, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["entanglement", "--store", "s.zarr", "--out", "x", "--fraction", value])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_a_fraction_that_fits_the_layers(run_folder, tmp_path):
    """Of layers of 512 neurons it is 5%; the tables of pairs and training then have that cohort."""
    store, results = ["--store", str(run_folder / "store.zarr")], str(tmp_path / "analysis")
    assert main(["entanglement", *store, "--out", results, "--fraction", "auto", "--random-seeds", "0"]) == 0
    selection = Selection.load(tmp_path / "analysis" / "selections" / "top.json")
    assert (selection.fraction, selection.n_neurons) == (0.05, 4 * 26)
    contrasts = load_table(tmp_path / "analysis" / "distance_contrasts.csv")
    assert contrasts["n_neurons"].tolist() == [4 * 26] * 2
    assert main(["dynamics", *store, "--results", results]) == 0
    overlap = load_table(tmp_path / "analysis" / "overlap.csv")
    shared = overlap.loc[overlap["checkpoint"] != overlap["other_checkpoint"], "overlap_frac"] * 26
    np.testing.assert_allclose(shared, shared.round(), atol=1e-9)


def test_contrasts_of_pairs_are_those_of_the_functions(results, store):
    table = load_table(results / "pair_contrasts.csv")
    selection = Selection.load(results / "selections" / "top.json")
    statistics = load_dataset(results, ENTANGLEMENT).sel(checkpoint=4000)
    expected = pair_contrasts(store, load_dataset(results, PAIRS), selection, statistics, n_top=50)
    pd.testing.assert_frame_equal(table, expected, check_dtype=False, rtol=1e-6)
    functional = load_table(results / "pair_functional.csv")
    assert len(functional) == 4 * 512
    assert functional["p_value"].notna().sum() == functional["selected"].sum() == selection.n_neurons


def test_the_rise_of_the_early_cohort(results, store):
    table = load_table(results / "rise.csv").set_index("against")
    cohorts = load_table(results / "cohorts.csv")
    early = cohorts[
        (cohorts["chosen_at"] == table["step_from"].iloc[0]) & (cohorts["layer"] >= 0) & (cohorts["cohort"] == "top")
    ]
    mean = early.groupby("checkpoint")["mean"].mean()
    assert table.loc["itself", "estimate"] == pytest.approx(mean.loc[4000] - mean.loc[table["step_from"].iloc[0]], rel=1e-6)
