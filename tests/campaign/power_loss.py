"""Power loss: a run's writes are recorded, and the disk is rebuilt as it may be after a power loss at some moment.

Held: nothing that is read is wrong, no sealed block is lost or computed again, and the same
command ends in the bytes of an undisturbed run.
"""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from actstore.errors import ActstoreError
from actstore.store.ledger import Ledger
from actstore.store.opening import open_store
from analysis.results import load_dataset, load_table
from tests.campaign import flips
from tests.campaign.children import fork_steps, main_of, start, step_of, value_of
from tests.campaign.recording import Event, Recorder, after_power_loss
from tests.campaign.runs import RUNS, Run, drawn, must, unlike
from tests.campaign.trials import Count, Part

_SHARES = {"extract": 0.35, "ablate": 0.2, "entanglement": 0.15, "pairs": 0.1, "tables": 0.1, "study": 0.1}


def prepare(prepared: Path) -> None:
    """A recording of every run."""
    running = []
    for name in (path.name for path in sorted((prepared / "references").iterdir())):
        folder = prepared / "recorded" / name
        folder.mkdir(parents=True)
        RUNS[name].set_up(folder, prepared / "base")
        running.append(start(partial(_record, RUNS[name], folder, prepared / f"{name}.events"), folder))
    for child in running:
        must(child)


def _record(run: Run, folder: Path, to: Path) -> int:
    """Run a command, and its steps, with a recorder in its process; a seal counts as promised when it was added."""
    recorder, add = Recorder(folder), Ledger.add

    def add_and_note(ledger, seal):
        add(ledger, seal)
        recorder.note(f"{seal.checkpoint}-{seal.start}")

    Ledger.add = add_and_note
    recorder.install()
    subprocess.run = _step_here  # type: ignore[assignment]
    code = main_of(run.program)(run.arguments)
    to.write_bytes(pickle.dumps((recorder.n_before, recorder.events)))
    return code


def _step_here(arguments: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
    step = step_of(arguments)
    return subprocess.CompletedProcess(arguments, step()) if step else _run(arguments, **options)


_run = subprocess.run


def trial(rng: np.random.Generator, folder: Path, prepared: Path) -> Count:
    """One power loss."""
    run = RUNS[drawn(rng, _SHARES)]
    events: list[Event]
    n_before, events = pickle.loads((prepared / f"{run.name}.events").read_bytes())
    moment = int(rng.integers(n_before, len(events) + 1))
    promised = set(after_power_loss(events[:moment], rng, folder))
    (folder / "in").symlink_to(prepared / "base")
    label = f"{run.name}, power lost after event {moment} of {len(events)}"
    problems = value_of(lambda: _wrong_on_disk(run, folder, prepared), folder)
    problems += _resumed(run, folder, prepared, promised)
    return Count(1, [f"{label}: {problem}" for problem in problems])


def _wrong_on_disk(run: Run, folder: Path, prepared: Path) -> list[str]:
    """What can be read from the outcome but was not written."""
    ours, theirs = folder / run.outcome, prepared / "references" / run.name / run.outcome
    problems = []
    for name in _readable(ours):
        if not (theirs / name).exists():  # a store of a study before it is put in place
            continue
        try:
            if _read(ours / name) != _read(theirs / name):
                problems.append(f"{run.outcome}/{name} is read with other values")
        except ActstoreError:
            pass
        except Exception as error:
            problems.append(f"reading {run.outcome}/{name} ends in {type(error).__name__}: {error}")
    return problems


def _readable(outcome: Path) -> list[str]:
    """Stores, datasets and tables of an outcome under their final names, relative to it."""
    if outcome.suffix == ".zarr":
        return ["."] if outcome.exists() else []
    names = [path.relative_to(outcome) for end in ("*.csv", "*.zarr") for path in outcome.rglob(end)]
    return [str(name) for name in names if "report" not in name.parts and ".partial" not in str(name)]


def _read(path: Path) -> object:
    if path.suffix == ".csv":
        return load_table(path).to_csv()
    return flips.values_of(open_store(path).load() if (path / "token_id").exists() else load_dataset(path.parent, path.stem))


def _resumed(run: Run, folder: Path, prepared: Path, promised: set[str]) -> list[str]:
    """What is wrong after the same command is run again."""
    sealed = {path.stem for path in (folder / f"{run.outcome}.partial" / "ledger").glob("*.json")}
    is_finished = (folder / run.outcome).exists()
    lost = promised - sealed if run.writes_store and not is_finished else set()
    problems = [f"{len(lost)} sealed blocks are lost"] if lost else []
    log = folder / "added.json"
    ended = start(lambda: _run_noting_seals(run, log), folder).wait()
    if ended.code:
        return [*problems, ended.story]
    repeated = set(json.loads(log.read_text())) & promised & sealed
    if repeated and not is_finished:
        problems.append(f"{len(repeated)} sealed blocks are computed again")
    log.unlink()
    shutil.rmtree(folder / "logs", ignore_errors=True)
    changed = unlike(run, folder, prepared)
    return problems + ([f"other bytes: {', '.join(changed[:3])}"] if changed else [])


def _run_noting_seals(run: Run, log: Path) -> int:
    """Run it again, and record which blocks it seals."""
    add, added = Ledger.add, []

    def add_and_note(ledger, seal):
        add(ledger, seal)
        added.append(f"{seal.checkpoint}-{seal.start}")

    Ledger.add = add_and_note
    fork_steps()
    code = main_of(run.program)(run.arguments)
    log.write_text(json.dumps(added))
    return code


PART = Part("crashes", prepare, trial)
