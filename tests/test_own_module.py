"""A family, an intervention, a readout, a statistic and a figure of a user's own, from a module outside the package.

They work in designs, stores, `select`, tables and the report, by the command line and without it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import actstore
import analysis
from actstore import plugins
from actstore.ablation.design import CohortSpec, Design, conditions, load_design
from actstore.ablation.readout import READOUTS
from actstore.errors import ActstoreError, UnknownNameError
from actstore.model.families import FAMILIES, adapter_for
from actstore.model.interventions import INTERVENTIONS, intervention
from actstore.registry import kinds_of
from actstore.store import schema
from analysis.neurons.registry import STATISTICS
from analysis.results import load_dataset
from tests.helpers import isolate, tiny_model

OWN, FIGURE = (Path(__file__).with_name(f"own_{name}.py") for name in ("module", "figure"))
STUDY = """
name = "own"
models = ["pico-neox"]
plugins = ["mine.py", "my_figure"]

[extraction_text]
tokens = 1200

[pairs]
tokens = 400
top = 20

[text]
tokens = 600

[readouts.next_token]
prompts = ["The boy", "Near the"]

[[ablations]]
name = "one"
interventions = ["soften:0.5", "negative-zero"]

[[ablations.cohorts]]
rule = "top"
statistic = "determiner_gap"

[[ablations.cohorts]]
rule = "random"
statistic = "determiner_gap"
seeds = 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    shutil.copy(OWN, folder / "mine.py")
    shutil.copy(FIGURE, folder / "my_figure.py")
    (folder / "own.toml").write_text(STUDY)
    return folder


def command(folder, *arguments):
    """A command of its own process, where nothing was loaded before."""
    process = subprocess.run(
        [sys.executable, "-m", "actstore", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.fixture(scope="module")
def study(folder):
    command(folder, "report", "own.toml")
    return folder / "runs" / "own"


@pytest.mark.slow
def test_a_study_carries_all_of_them_to_its_report(study):
    store = actstore.open_store(study / "ablations" / "one" / "store.zarr")
    assert store["prompt"].values.tolist() == ["The boy", "Near the"]
    assert store["best_log_probability"].attrs["readout"] == "next_token"
    assert store["condition"].values.tolist()[1] == "soften:0.5 of top 1%, by determiner_gap"
    assert set(store.attrs["configuration"]["plugins"]) == {"mine"}
    statistics = load_dataset(study / "models" / "pico-neox" / "analysis", "entanglement")
    top = analysis.select(statistics["determiner_gap"].isel(checkpoint=-1), 0.01)
    edited = store["is_edited"].isel(checkpoint=0, condition=1)
    np.testing.assert_array_equal(edited, top.mask(edited["layer"].values))
    tables = study / "ablations" / "one" / "analysis"
    table = pd.read_csv(tables / "readouts.csv").set_index(["intervention", "rule"])
    values = store["best_log_probability"].isel(checkpoint=0).values
    row = table.loc[("soften:0.5", "top")]
    assert row["mean"] == pytest.approx(values[1].mean())
    assert row["delta"] == pytest.approx((values[1] - values[0]).mean(), abs=1e-6)
    assert (row["n_items"], row["readout"], row["units"]) == (2, "next_token", "nat")
    page = (study / "report" / "index.html").read_text()
    gap = float(statistics["determiner_gap"].isel(checkpoint=-1).max())
    assert f"The largest gap is {gap:.3f}." in page
    panels = json.loads((study / "report" / "results.json").read_text())["panels"]
    assert {"own-readouts", "gap-of-neurons"} <= {panel["key"] for panel in panels}


@pytest.mark.slow
def test_only_what_a_change_of_the_module_touches_is_run_again(study, folder):
    def to_run(name):
        """The steps that a change of a module makes necessary."""
        text = (folder / name).read_text()
        (folder / name).write_text(text + "\n# another comment\n")
        try:
            lines = command(folder, "report", "own.toml", "--dry-run").splitlines()
        finally:
            (folder / name).write_text(text)
        return [line.partition("] ")[2].partition(":")[0] for line in lines if "to run" in line]

    assert "to run" not in command(folder, "report", "own.toml", "--dry-run")
    assert to_run("my_figure.py") == ["report"]
    assert to_run("mine.py")[0] == "extract pico-neox", "it registers a family"


@pytest.mark.slow
def test_select_and_designs_know_them(study, folder):
    results = study / "models" / "pico-neox" / "analysis"
    command(folder, "select", "--results", str(results), "--statistic", "determiner_gap", "--out", "gap.json")
    chosen = actstore.Selection.load(folder / "gap.json")
    assert chosen.statistic == "determiner_gap"
    options = ["--model", "pico-neox", "--selection", "gap.json", "--tokens", "300", "--pairs", "none", "--probes", "none"]
    command(folder, "ablate", *options, "--intervention", "soften:0", "--plugin", "mine.py", "--store", "a.zarr", "--quiet")
    command(folder, "ablate", *options, "--intervention", "negative-zero", "--store", "b.zarr", "--quiet")
    ours, theirs = (actstore.open_store(folder / name)["ablated_surprisal"].isel(condition=1) for name in ("b.zarr", "a.zarr"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, err_msg="scaling the negative side by 0 is negative-zero")


@pytest.fixture
def own_module(monkeypatch):
    """Loaded in this process; what it registers is gone after the test."""
    for registry in (FAMILIES, INTERVENTIONS, READOUTS, STATISTICS):
        isolate(monkeypatch, registry)
    monkeypatch.setattr(schema, "FIELDS", dict(schema.FIELDS))
    monkeypatch.setattr(schema, "_OWNERS", dict(schema._OWNERS))
    plugins.load([str(OWN)])
    yield
    del sys.modules["own_module"]


def test_what_is_registered(own_module):
    assert kinds_of("own_module") == {"family", "intervention", "readout", "neuron statistic"}
    changed = intervention("soften:0.25").change(torch.tensor([-2.0, 1.0]))
    assert changed.tolist() == [-0.5, 1.0]
    with pytest.raises(ActstoreError, match="needs a factor"):
        intervention("soften")
    model = tiny_model("bloom", {"hidden_size": 16, "n_layer": 2, "n_head": 2, "vocab_size": 64})
    assert list(adapter_for(model).modules(model)) == list(adapter_for(model).activations(model)) == [0, 1]
    assert READOUTS["next_token"]().prompts == ("The boy",)


def test_a_design_names_them(own_module, tmp_path):
    shutil.copy(OWN, tmp_path / "own_copy.py")
    (tmp_path / "d.toml").write_text(
        'model = "pico-neox"\ninterventions = "soften:0.5"\n[readouts.next_token]\nprompts = "A"\n[[cohorts]]\n'
    )
    design = load_design(tmp_path / "d.toml")
    assert design.readouts[0].prompts == ("A",)
    assert conditions(design, 4, 512)[1].label == "soften:0.5 of top 1%"
    (tmp_path / "d.toml").write_text('model = "m"\n[readouts.next_token]\npromts = "A"\n')
    with pytest.raises(
        UnknownNameError, match=r"line 3: unknown key of \[readouts.next_token\] 'promts': did you mean 'prompts'"
    ):
        load_design(tmp_path / "d.toml")
    (tmp_path / "d.toml").write_text('model = "m"\nplugins = "own_copy.py"\n')
    with pytest.raises(ActstoreError, match="already registered by own_module"):
        load_design(tmp_path / "d.toml")
    with pytest.raises(UnknownNameError, match="unknown intervention 'soft'"):
        conditions(Design("m", interventions=("soft",), cohorts=(CohortSpec(),)), 4, 512)
