from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from actstore.errors import ActstoreError
from reports import pipeline
from reports.pipeline import Step, keys_of, run, steps_of
from reports.study import Study

STUDY = Study("s", "pico-neox")


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


def test_keys_follow_the_study(tmp_path):
    def keys(study):
        return keys_of(steps_of(study, tmp_path / "s.toml", tmp_path))

    plain = keys(STUDY)
    assert keys(STUDY) == plain
    more_text = keys(replace(STUDY, tokens=99))
    assert all(more_text[name] != plain[name] for name in plain)
    other_pairs = keys(replace(STUDY, ablation=replace(STUDY.ablation, pairs="none")))
    assert {name for name in plain if other_pairs[name] != plain[name]} == {"ablate", "ablation tables", "report"}


def test_a_users_corpus_enters_the_key(tmp_path):
    corpus = tmp_path / "c.txt"
    corpus.write_text("one")
    study = replace(STUDY, corpus=str(corpus))
    before = keys_of(steps_of(study, tmp_path / "s.toml", tmp_path))
    corpus.write_text("two")
    assert keys_of(steps_of(study, tmp_path / "s.toml", tmp_path))["extract"] != before["extract"]
