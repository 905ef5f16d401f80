"""The notebooks run from top to bottom on the fixture's store, draw, and compute what they say."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from actstore.selection.selection import Selection
from actstore.store.opening import open_store

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
MARKER = re.compile(r"^# %%( \[markdown\])?$", re.MULTILINE)

# Runs a notebook as its own process would, then says what was drawn, whether torch came in, and the values asked for.
RUNNER = """
import json, runpy, sys
import matplotlib.pyplot as plt
from tests.reports.legible import texts_over_each_other
script, report, *wanted = sys.argv[1:]
names = runpy.run_path(script)
overlaps = [texts_over_each_other(plt.figure(number)) for number in plt.get_fignums()]
axes = [ax for number in plt.get_fignums() for ax in plt.figure(number).axes if ax.get_label() != "<colorbar>"]
plt.close("all")
json.dump({
    "labels": [[ax.get_xlabel(), ax.get_ylabel()] for ax in axes],
    "overlaps": sum(overlaps, []),
    "torch": "torch" in sys.modules,
    "values": {name: eval(name, names) for name in wanted},
}, open(report, "w"))
"""


@pytest.fixture
def run_notebook(run_folder, tmp_path):
    """Run the notebook of a number on the fixture's store; the values are those of expressions over its names."""

    def run(number, *wanted):
        script = next(path for path in NOTEBOOKS if path.name.startswith(f"{number:02d}_"))
        settings = {"MPLBACKEND": "Agg", "MPLCONFIGDIR": tmp_path / "mpl", "PYTHONPATH": ROOT}
        settings["ACTSTORE_STORE"] = run_folder / "store.zarr"
        report = tmp_path / "report.json"
        done = subprocess.run(
            [sys.executable, "-c", RUNNER, str(script), str(report), *wanted],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=os.environ | {name: str(path) for name, path in settings.items()},
        )
        assert done.returncode == 0, done.stderr
        result = json.loads(report.read_text())
        assert result["labels"]
        assert result["overlaps"] == []
        assert all(y for _, y in result["labels"])
        assert any(x for x, _ in result["labels"])
        assert result["torch"] == (number > 3)
        return result

    return run


def cells_of(script):
    """(kind, lines) of every cell."""
    text = script.read_text()
    starts = list(MARKER.finditer(text))
    ends = [match.start() for match in starts[1:]] + [len(text)]
    assert text[: starts[0].start()] == ""
    return [
        ("markdown" if match[1] else "code", text[match.end() : end].strip()) for match, end in zip(starts, ends, strict=True)
    ]


def test_there_are_five():
    assert [path.name[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05"]
    listed = (ROOT / "notebooks" / "README.md").read_text()
    assert all(path.name in listed for path in NOTEBOOKS)


@pytest.mark.parametrize("script", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_alternate_and_a_title_comes_first(script):
    cells = cells_of(script)
    assert [kind for kind, _ in cells] == ["markdown", "code"] * (len(cells) // 2)
    assert cells[0][1].startswith("# # ")
    for kind, body in cells:
        if kind == "markdown":
            assert all(line.startswith("#") for line in body.splitlines())
        else:
            assert ast.parse(body).body


def test_tour(run_notebook, store):
    result = run_notebook(1, "int(final.sizes['token'])", "float(words['surprisal'].sum())", "sentence.neuron.values.tolist()")
    n_text, total, neurons = result["values"].values()
    assert n_text == int((store["position"] > 0).sum())
    inside = (store["is_scored"] & (store["word"] >= 0)).values
    assert total == pytest.approx(float(store["surprisal"].isel(checkpoint=-1).values[inside].sum()), rel=1e-4)
    assert len(set(neurons)) == 2
    assert len(result["labels"]) == 2
    assert all(x for x, _ in result["labels"])


def test_wasserstein_neuron(run_notebook, run_folder):
    result = run_notebook(
        2,
        "[layer, neuron, share]",
        "contexts[['preactivation_a', 'preactivation_b']].values.tolist()",
        "{str(k): list(v) for k, v in cohort.neurons.items()}",
        "float(bins['density'].sum() * (edges[1] - edges[0]))",
    )
    (layer, neuron, share), ends, cohort, mass = result["values"].values()
    assert cohort == {str(k): list(v) for k, v in Selection.load(run_folder / "analysis/selections/top.json").neurons.items()}
    assert neuron in cohort[str(layer)]
    assert layer > 0
    assert 0 <= share <= 1
    assert len(ends) > 0
    assert (np.array(ends) < 0).all()
    assert mass == pytest.approx(1)
    assert len(result["labels"]) == 4


def test_dynamics(run_notebook, store):
    steps = store["checkpoint"].values[store["duplicate_of"].values < 0].tolist()
    result = run_notebook(
        3,
        "sorted(set(map(int, trajectory['checkpoint'])))",
        "emerged['layer'].tolist()",
        "overlap.overlap_frac.sel(checkpoint=4000, other_checkpoint=4000).values.tolist()",
        "turned.query('checkpoint == 4000')['mean'].abs().max()",
    )
    covered, layers, own, left_to_turn = result["values"].values()
    assert covered == steps
    assert layers == [0, 1, 2, 3, -1]
    assert own == [1, 1, 1, 1]
    assert left_to_turn == pytest.approx(0, abs=1e-9)
    assert len(result["labels"]) == 3


def test_own_statistic(run_notebook, run_folder, tmp_path):
    result = run_notebook(
        4,
        "statistics.next_surprisal.values.tolist()",
        "statistics.far_negative_frac.max().item()",
        "of_all['n_pairs'].tolist()",
        "bounds.isna().any().any().item()",
    )
    correlations, furthest, n_pairs, is_unbounded = result["values"].values()
    assert 0.2 < np.max(correlations) <= 1
    assert 0 < furthest < 0.25  # Chebyshev's bound
    assert correlations[1][7] == pytest.approx(next_surprisal(open_store(run_folder / "store.zarr"), 1, 7), abs=1e-9)
    assert n_pairs[0] > 100
    assert len(n_pairs) == 2
    assert not is_unbounded
    chosen, control = (Selection.load(tmp_path / f"runs/next_surprisal/{rule}.json") for rule in ("top", "random"))
    assert chosen.n_neurons == control.n_neurons == 20
    assert chosen.statistic == "next_surprisal"
    assert not (chosen.mask(range(4)) & control.mask(range(4))).any()
    edited = open_store(tmp_path / "runs/next_surprisal/ablation.zarr")["is_edited"].squeeze("checkpoint")
    assert (edited[1:].values == [chosen.mask(range(4)), control.mask(range(4))]).all()
    assert not edited[0].any()


def next_surprisal(store, layer, neuron):
    """The notebook's statistic of one neuron, window by window."""
    final = store.isel(checkpoint=-1).sel(layer=layer, neuron=neuron)
    values, coming = [], []
    for _, window in final[["preactivation", "surprisal"]].load().groupby("window"):
        values += window["preactivation"].values[1:-1].tolist()
        coming += window["surprisal"].values[2:].tolist()
    return abs(spearmanr(values, coming).statistic)


def test_own_intervention(run_notebook, ablation, tmp_path):
    result = run_notebook(5, "list(edits.values())", "means['word_class'].tolist()", "labels", "margins.values.tolist()")
    edits, classes, labels, margins = result["values"].values()
    assert edits == ["negative-zero of top 1%", "floor:-0.75 of top 1%"]
    assert set(classes) == {"content", "scaffolding"}
    assert {*edits} < {*labels}
    assert (np.array(margins) > 1).all()  # the model knows agreement, whatever 1% of its neurons do
    own = open_store(tmp_path / "runs/floor/ablation.zarr")
    surprisal = own["ablated_surprisal"].squeeze("checkpoint")
    assert own["agreement_margin"].dims == ("checkpoint", "condition", "subject")
    # The text and the neurons are those of the fixture: what was computed there must come out here.
    for condition in ("none", edits[0]):
        stored = ablation["ablated_surprisal"].sel(checkpoint=4000, condition=condition)
        np.testing.assert_allclose(surprisal.sel(condition=condition), stored, atol=1e-4)
    for condition in ("none", edits[0]):
        changed = surprisal.sel(condition=edits[1])
        assert not np.allclose(changed, surprisal.sel(condition=condition), atol=1e-3, equal_nan=True)
