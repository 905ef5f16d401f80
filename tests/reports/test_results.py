"""Results of a study: which model an ablation is of, and what may not be mixed."""

from __future__ import annotations

import shutil

import pytest

from actstore.errors import StoreError
from actstore.selection.selection import Selection
from analysis.results import save_selection
from reports.results import Results, Run, load_results
from reports.study import Study, load_study


def test_models_of_one_name_keep_their_own_ablations():
    runs = {folder: Run(folder, {}, {"model": "m"}, {}, folder) for folder in ("A--m", "B--m")}
    ablations = {name: Run(name, {}, {"model": "m"}, {}, model) for name, model in (("b", "B--m"), ("a", "A--m"))}
    results = Results(Study("s", ("A/m", "B/m")), runs, ablations, None)
    assert [run.name for run in results.of_main()] == ["a"]
    assert results.ablation(lambda run: True).name == "a"
    assert results.model_name(ablations["b"]) == "B--m"
    results = Results(Study("s", ("A/m",)), {"m": Run("m", {}, {"model": "A/m"}, {}, "m")}, {}, None)
    assert results.model_name(results.main) == "A/m"


def test_what_steps_of_other_models_left_is_refused(study_file, study_folder, tmp_path):
    study = load_study(study_file)
    shutil.copytree(study_folder, tmp_path / "runs")
    analysis = {name: tmp_path / "runs" / "models" / name / "analysis" for name in ("pico-neox", "pico-opt")}
    top = analysis["pico-neox"] / "selections" / "top.json"
    load_results(study, tmp_path / "runs")
    selection = Selection.load(top)
    save_selection(Selection.load(analysis["pico-opt"] / "selections" / "top.json"), analysis["pico-neox"], "top")
    with pytest.raises(StoreError, match=r"top\.json is of the model pico-opt, .* of pico-neox"):
        load_results(study, tmp_path / "runs")
    save_selection(selection, analysis["pico-neox"], "top")
    relu = tmp_path / "runs" / "ablations" / "relu" / "store.zarr"
    shutil.rmtree(relu)
    shutil.copytree(tmp_path / "runs" / "ablations" / "all-in-one" / "store.zarr", relu)
    with pytest.raises(StoreError, match=r"is of the model pico-neox, .* of pico-opt"):
        load_results(study, tmp_path / "runs")
    shutil.rmtree(analysis["pico-opt"] / "entanglement.zarr")
    shutil.copytree(analysis["pico-neox"] / "entanglement.zarr", analysis["pico-opt"] / "entanglement.zarr")
    with pytest.raises(StoreError, match=r"entanglement\.zarr is of the model pico-neox, .* of pico-opt"):
        load_results(study, tmp_path / "runs")
