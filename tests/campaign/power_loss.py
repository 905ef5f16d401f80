"""Power loss: a run's writes are recorded, and the disk is rebuilt as it may be after power is lost at a moment of it.

Held: nothing that is read is wrong, no sealed block is lost or computed again, and the same
command ends in the bytes of an undisturbed run.
"""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np

from tests.campaign.children import main_of, start, value_of
from tests.campaign.recording import Event, Recorder, after_power_loss
from tests.campaign.runs import RUNS, Run, make_references, must, unlike
from tests.campaign.trials import Count, Part

_SHARES = {"extract": 0.4, "ablate": 0.25, "entanglement": 0.15, "pairs": 0.1, "tables": 0.1}


def prepare(prepared: Path) -> None:
    """Undisturbed runs, and a recording of each."""
    make_references(prepared, tuple(_SHARES))
    for name in _SHARES:
        folder = prepared / "recorded" / name
        folder.mkdir(parents=True)
        RUNS[name].set_up(folder, prepared / "base")
        must(start(lambda name=name, folder=folder: _record(RUNS[name], folder, prepared / f"{name}.events"), folder))


def _record(run: Run, folder: Path, to: Path) -> int:
    """Run a command with a recorder in its process; a seal counts as promised when it was added."""
    from actstore.ledger import Ledger

    recorder, add = Recorder(folder), Ledger.add

    def noted(ledger, seal):
        add(ledger, seal)
        recorder.note(f"{seal.checkpoint}-{seal.start}")

    Ledger.add = noted
    recorder.install()
    code = main_of(run.program)(run.arguments)
    to.write_bytes(pickle.dumps((recorder.n_before, recorder.events)))
    return code


def trial(rng: np.random.Generator, folder: Path, prepared: Path) -> Count:
    """One power loss."""
    run = RUNS[str(rng.choice(list(_SHARES), p=list(_SHARES.values())))]
    events: list[Event]
    n_before, events = pickle.loads((prepared / f"{run.name}.events").read_bytes())
    moment = int(rng.integers(n_before, len(events) + 1))
    promised = set(after_power_loss(events[:moment], rng, folder))
    (folder / "in").symlink_to(prepared / "base")
    at = f"{run.name}, power lost after event {moment} of {len(events)}"
    problems = value_of(lambda: _wrong_on_disk(run, folder, prepared), folder)
    problems += _resumed(run, folder, prepared, promised)
    return Count(1, [f"{at}: {problem}" for problem in problems])


def _wrong_on_disk(run: Run, folder: Path, prepared: Path) -> list[str]:
    """What can be read of the outcome and is not what was written."""
    from actstore.errors import ActstoreError
    from actstore.store import open_store
    from analysis.results import load_dataset, load_table
    from tests.campaign.flips import values_of

    ours, theirs = folder / run.outcome, prepared / "references" / run.name / run.outcome
    if not ours.exists():
        return []
    if run.writes_store:
        readers = {"": lambda path: values_of(open_store(path).load())}
    else:
        readers = {path.name: lambda root, name=path.name: load_table(root / name).to_csv() for path in ours.glob("*.csv")}
        for path in ours.glob("*.zarr"):
            readers[path.name] = lambda root, name=path.stem: values_of(load_dataset(root, name))
    problems = []
    for name, read in readers.items():
        try:
            if read(ours) != read(theirs):
                problems.append(f"{name or run.outcome} is read with other values")
        except ActstoreError:
            pass
        except Exception as error:
            problems.append(f"reading {name or run.outcome} ends in {type(error).__name__}: {error}")
    return problems


def _resumed(run: Run, folder: Path, prepared: Path, promised: set[str]) -> list[str]:
    """What does not hold when the same command is run again."""
    sealed = {path.stem for path in (folder / f"{run.outcome}.partial" / "ledger").glob("*.json")}
    is_finished = (folder / run.outcome).exists()
    problems = [] if is_finished or not (lost := promised - sealed) else [f"{len(lost)} sealed blocks are lost"]
    log = folder / "added.json"
    ended = start(lambda: _run_noting_seals(run, log), folder).wait()
    if ended.code:
        return [*problems, ended.story]
    again = set(json.loads(log.read_text())) & promised & sealed
    if again and not is_finished:
        problems.append(f"{len(again)} sealed blocks are computed again")
    log.unlink()
    shutil.rmtree(folder / "logs", ignore_errors=True)
    changed = unlike(run, folder, prepared)
    return problems + ([f"other bytes: {', '.join(changed[:3])}"] if changed else [])


def _run_noting_seals(run: Run, log: Path) -> int:
    from actstore.ledger import Ledger

    add, added = Ledger.add, []

    def noted(ledger, seal):
        add(ledger, seal)
        added.append(f"{seal.checkpoint}-{seal.start}")

    Ledger.add = noted
    code = main_of(run.program)(run.arguments)
    log.write_text(json.dumps(added))
    return code


PART = Part("crashes", prepare, trial)
