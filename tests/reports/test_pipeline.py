from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from tomllib import loads as load_toml

import pytest

from actstore.ablation.design import CohortSpec, Design, load_design
from actstore.ablation.readouts.minimal_pairs import MinimalPairs
from actstore.ablation.readouts.probes import Probes
from actstore.ablation.readouts.tasks import Tasks
from actstore.builtin import MODELS_FOLDER
from actstore.cli.main import main as actstore_main
from actstore.config import TextConfig
from actstore.errors import ActstoreError, StoreError
from actstore.files import alone
from actstore.selection.selection import Selection
from actstore.store.opening import open_store
from reports import pipeline, steps
from reports.pipeline import keys_of, run
from reports.steps import Step, steps_of
from reports.study import AblationStudy, Study, load_study

STUDY = Study("s", ("pico-neox",))


def writer(name: str, folder: Path, code: Path, *after: str) -> Step:
    """A step that appends a line to its output, so that runs can be counted."""
    out = folder / f"{name}.txt"
    script = f"p = __import__('pathlib').Path({str(out)!r}); p.parent.mkdir(exist_ok=True); p.write_text('x')"
    return Step(name, (sys.executable, "-c", script), (str(code),), (out,), after)


@pytest.fixture
def chain(tmp_path, monkeypatch):
    """a → b, and c alone; each with its own source file."""
    files = {name: tmp_path / f"{name}.py" for name in "abc"}
    for file in files.values():
        file.write_text("1")
    folder = tmp_path / "runs"
    steps = [writer("a", folder, files["a"]), writer("b", folder, files["b"], "a"), writer("c", folder, files["c"])]
    monkeypatch.setattr(pipeline, "steps_of", lambda *_: steps)
    return files, folder


def test_only_what_depends_on_a_change_is_redone(chain):
    files, folder = chain
    study_file = Path("s.toml")
    assert run(STUDY, study_file, folder) == ["a", "b", "c"]
    assert run(STUDY, study_file, folder) == []
    files["b"].write_text("2")
    assert run(STUDY, study_file, folder) == ["b"]
    files["a"].write_text("2")
    assert run(STUDY, study_file, folder, dry=True) == ["a", "b"]
    assert run(STUDY, study_file, folder) == ["a", "b"]
    (folder / "c.txt").unlink()
    assert run(STUDY, study_file, folder) == ["c"]


def test_a_failed_step_stops_the_run_and_is_tried_again(chain, monkeypatch, tmp_path):
    _, folder = chain
    good = pipeline.steps_of()
    failing = replace(good[1], command=(sys.executable, "-c", "raise SystemExit(2)"))
    monkeypatch.setattr(pipeline, "steps_of", lambda *_: [good[0], failing, good[2]])
    with pytest.raises(ActstoreError, match="step 'b' failed"):
        run(STUDY, Path("s.toml"), folder)
    monkeypatch.setattr(pipeline, "steps_of", lambda *_: good)
    assert run(STUDY, Path("s.toml"), folder) == ["b", "c"]


@pytest.mark.parametrize("damage", ['{"a": 3', "", "[]", None])
def test_damage_to_the_list_of_steps_costs_no_work(chain, damage):
    _, folder = chain
    run(STUDY, Path("s.toml"), folder)
    for name in ("steps.json", "steps-copy.json"):
        file = folder / name
        text = file.read_text()
        file.write_text(text.replace('"seconds": 0', '"seconds": 1', 1) if damage is None else damage)
        assert run(STUDY, Path("s.toml"), folder) == []
        file.write_text(text)


def test_where_the_list_of_steps_and_its_copy_are_lost_every_step_is_run_again(chain, capsys):
    _, folder = chain
    run(STUDY, Path("s.toml"), folder)
    for name in ("steps.json", "steps-copy.json"):
        (folder / name).write_text("{")
    assert run(STUDY, Path("s.toml"), folder) == ["a", "b", "c"]
    assert "every step is run again" in capsys.readouterr().err
    assert run(STUDY, Path("s.toml"), folder) == []


def test_one_study_at_a_time_runs_in_a_folder(chain):
    _, folder = chain
    with alone(folder), pytest.raises(StoreError, match="being written by another process"):
        run(STUDY, Path("s.toml"), folder)
    assert run(STUDY, Path("s.toml"), folder) == ["a", "b", "c"]


def test_modules_of_the_user_s_do_not_take_the_place_of_ours(tmp_path, monkeypatch):
    """As in a folder where somebody keeps an analysis.py and a reports/ of their own."""
    monkeypatch.chdir(tmp_path)
    for name in ("analysis.py", "reports/__init__.py", "actstore/__init__.py", "numpy.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('the wrong module')")
    out = tmp_path / "runs" / "help.txt"
    step = Step("help", (*steps._PYTHON, "analysis", "--help"), ("analysis.labels",), (out,))
    out.parent.mkdir()
    monkeypatch.setattr(pipeline, "steps_of", lambda *_: [step])
    assert run(STUDY, Path("s.toml"), tmp_path / "runs") == ["help"]


def test_a_dry_run_tells_what_is_done_and_what_it_took(chain, capsys):
    files, folder = chain
    run(STUDY, Path("s.toml"), folder, dry=True)
    assert capsys.readouterr().out.count("to run, not run yet") == 3
    assert not folder.exists()
    run(STUDY, Path("s.toml"), folder)
    files["b"].write_text("3")
    capsys.readouterr()
    run(STUDY, Path("s.toml"), folder, dry=True)
    out = capsys.readouterr().out
    assert out.count("up to date (took 0 s)") == 2
    assert "[2/3] b: to run, took 0 s last time" in out or "[2/3] b: to run, not run yet" in out


STORE = """
import pathlib, sys
store = pathlib.Path(sys.argv[1])
partial = pathlib.Path(f"{store}.partial")
partial.mkdir(parents=True, exist_ok=True)
(partial / ".actstore").touch()
block = partial / f"block-{len(list(partial.iterdir()))}"
block.write_text(CODE)
if len(list(partial.iterdir())) < 4:
    sys.exit(2)
partial.rename(store)
"""


@pytest.fixture
def storing(tmp_path, monkeypatch):
    """A step that writes one block of three a run, and says in each which code wrote it."""
    code = tmp_path / "code.py"
    store = tmp_path / "runs" / "store.zarr"

    def steps(*_):
        script = STORE.replace("CODE", repr(code.read_text()))
        return [Step("s", (sys.executable, "-c", script, str(store)), (str(code),), (store,), store=store)]

    monkeypatch.setattr(pipeline, "steps_of", steps)

    def again() -> bool:
        try:
            return run(STUDY, Path("s.toml"), tmp_path / "runs") == ["s"]
        except ActstoreError:
            return False

    return code, store, again


def blocks(store):
    return {file.read_text() for file in store.glob("block-*")}


def test_an_unfinished_store_is_not_gone_on_with_by_other_code(storing):
    code, store, again = storing
    code.write_text("old")
    assert [again(), again()] == [False, False]
    code.write_text("new")
    assert [again(), again(), again()] == [False, False, True]
    assert blocks(store) == {"new"}
    assert list(store.parent.glob("store*")) == [store]


def test_a_store_is_replaced_by_a_finished_one_alone(storing):
    code, store, again = storing
    code.write_text("old")
    assert [again(), again(), again()] == [False, False, True]
    code.write_text("new")
    assert not again()
    assert blocks(store) == {"old"}, "it is there while the new one is not whole"
    assert [again(), again()] == [False, True]
    assert blocks(store) == {"new"}


def test_keys_follow_the_study(tmp_path):
    def keys(study):
        return keys_of(steps_of(study, tmp_path / "s.toml", tmp_path))

    study = replace(STUDY, ablations=(AblationStudy("one", Design("pico-neox", cohorts=(CohortSpec(),))),))
    plain = keys(study)
    assert keys(study) == plain
    more_text = keys(replace(study, extraction_text=TextConfig(tokens=99)))
    assert all(more_text[name] != plain[name] for name in plain)
    design = replace(study.ablations[0].design, readouts=(Probes(),))
    other_pairs = keys(replace(study, ablations=(AblationStudy("one", design),)))
    assert {name for name in plain if other_pairs[name] != plain[name]} == {"ablate one", "tables of one", "report"}


def test_steps_are_those_that_the_study_needs(tmp_path):
    def names(study):
        return [step.name for step in steps_of(study, tmp_path / "s.toml", tmp_path)]

    assert names(STUDY) == ["extract pico-neox", "entanglement pico-neox", "pairs pico-neox", "atlas pico-neox", "report"]
    ablation = AblationStudy("a", Design("pico-neox", cohorts=(CohortSpec(),)), surprisal=True)
    many = replace(STUDY, models=("pico-neox", "some/Model_1B.gguf"), checkpoints="all", ablations=(ablation,))
    first = [f"{name} pico-neox" for name in ("extract", "entanglement", "pairs", "atlas", "dynamics")]
    second = [f"{name} Model_1B" for name in ("extract", "entanglement", "pairs")]
    assert names(many) == [*first, *second, "ablate a", "tables of a", "surprisal of a", "report"]


def test_a_users_selections_and_tasks_enter_the_key_of_an_ablation(tmp_path):
    chosen = Selection({0: (1,)}, "mine", "by hand", 0.5, "pico-neox", "site", "", 0, 2)
    file, folder = chosen.save(tmp_path / "mine.json"), tmp_path / "tasks"
    folder.mkdir()
    design = Design(
        "pico-neox",
        readouts=(MinimalPairs(), Probes(), Tasks(("mine",), folder=str(folder))),
        cohorts=(CohortSpec("file", selection=(str(file),)),),
    )
    study = replace(STUDY, ablations=(AblationStudy("a", design),))

    def key():
        return keys_of(steps_of(study, tmp_path / "s.toml", tmp_path))["ablate a"]

    keys = [key()]
    replace(chosen, neurons={0: (0,)}).save(file)
    keys.append(key())
    (folder / "task.yaml").write_text("task: mine")
    keys.append(key())
    assert len(set(keys)) == 3


def test_two_models_of_one_base_name_share_nothing(tmp_path):
    """Step names, keys, outputs, and the stores that the steps write: each model has its own."""
    for owner, source in (("x", "pico-neox"), ("y", "pico-llama")):
        shutil.copytree(MODELS_FOLDER / source, tmp_path / owner / "m")
    models = tuple(str(tmp_path / owner / "m") for owner in "xy")
    design = Design(models[1], cohorts=(CohortSpec(),))
    study = replace(STUDY, models=models, extraction_text=TextConfig(tokens=300), ablations=(AblationStudy("a", design),))
    steps = steps_of(study, tmp_path / "s.toml", tmp_path / "runs")
    assert len({step.name for step in steps}) == len(steps)
    assert len(set(keys_of(steps).values())) == len(steps)
    outputs = [path for step in steps for path in step.outputs]
    assert len(set(outputs)) == len(outputs)
    ablate = next(step for step in steps if step.name == "ablate a")
    (entanglement,) = ablate.after
    statistics = load_toml(ablate.file[1])["statistics"]
    assert statistics in [str(path.resolve()) for step in steps if step.name == entanglement for path in step.outputs]
    stores = []
    for step in [step for step in steps if step.name.startswith("extract")]:
        assert actstore_main([*step.command[step.command.index("actstore") + 1 :], "--quiet"]) == 0
        stores.append(open_store(step.outputs[0]))
    assert [store.attrs["family"] for store in stores] == ["gpt_neox", "llama"]


def test_the_design_of_an_ablation_is_written_for_its_command(study_folder, results):
    design = load_design(study_folder / "ablations" / "all-in-one" / "design.toml")
    asked = results.designs["all-in-one"].design
    assert replace(design, statistics="") == asked
    assert design.statistics == str((study_folder / "models" / "pico-neox" / "analysis" / "entanglement.zarr").resolve())


def test_a_finished_study_is_not_run_again(study_file, study_folder):
    assert run(load_study(study_file), study_file, study_folder) == []


def test_a_users_corpus_enters_the_key(tmp_path):
    corpus = tmp_path / "c.txt"
    corpus.write_text("one")
    study = replace(STUDY, extraction_text=TextConfig(str(corpus)))
    before = keys_of(steps_of(study, tmp_path / "s.toml", tmp_path))
    corpus.write_text("two")
    assert keys_of(steps_of(study, tmp_path / "s.toml", tmp_path))["extract pico-neox"] != before["extract pico-neox"]
