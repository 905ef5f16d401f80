"""Pairs of processes: the same command twice at once, or a reader while a writer finishes.

Held: of two writers one leaves the right bytes, the other says that another process is writing, or
that it is all there; a reader gets all the right values or is told that the store is not finished.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from tests.campaign.children import Ended, start
from tests.campaign.runs import RUNS, Run, drawn, seconds_of, unlike
from tests.campaign.trials import Count, Part

_SHARES = {"extract": 0.2, "ablate": 0.15, "entanglement": 0.2, "pairs": 0.15, "study": 0.1, "reader": 0.2}
_REFUSAL = "another process"


def trial(rng: np.random.Generator, folder: Path, prepared: Path) -> Count:
    """Two at once, the second a moment after the first."""
    name = drawn(rng, _SHARES)
    if name == "reader":
        return Count(1, _read_while_written(RUNS[str(rng.choice(["extract", "ablate", "entanglement"]))], folder, prepared))
    run = RUNS[name]
    run.set_up(folder, prepared / "base")
    first = run.begin(folder)
    time.sleep(float(rng.choice([0, rng.uniform(0, 0.05), rng.uniform(0, 1.2 * seconds_of(prepared, name))])))
    ends = [run.begin(folder).wait(), first.wait()]
    failures = [f"two of {name}: {problem}" for problem in _two_writers(run, ends, folder, prepared)]
    return Count(1, failures)


def _two_writers(run: Run, ends: list[Ended], folder: Path, prepared: Path) -> list[str]:
    """What is wrong after two were started at once."""
    problems = []
    for ended in ends:
        if ended.code == 0:
            continue
        if ended.code != 2 or _REFUSAL not in ended.error or not ended.is_explained:
            problems.append(f"neither done nor refused because of the other, in one line: {ended.story}")
    if all(ended.code for ended in ends):
        problems.append("neither is done")
    elif changed := unlike(run, folder, prepared):
        problems.append(f"exit {' and '.join(str(ended.code) for ended in ends)} with other bytes: {', '.join(changed[:3])}")
    return problems


def _read_while_written(run: Run, folder: Path, prepared: Path) -> list[str]:
    """What is wrong in a process that reads again and again while another one writes."""
    run.set_up(folder, prepared / "base")
    reader = start(lambda: _keep_reading(run, folder / "stop", prepared), folder)
    writer = run.begin(folder).wait()
    (folder / "stop").touch()
    ended = reader.wait()
    problems = [f"the writer: {writer.story}"] if writer.code else []
    if ended.code:
        problems.append(f"the reader: {ended.story}")
    problems += [f"the reader: {line}" for line in sorted(set(ended.out.splitlines()))]
    return [f"reading while {run.name} writes: {problem}" for problem in problems]


def _keep_reading(run: Run, stop: Path, prepared: Path) -> None:
    """Read until told to stop; print what was neither right nor refused."""
    from actstore.errors import ActstoreError

    expected = _read(prepared / "references" / run.name / run.outcome)
    while True:
        is_last = stop.exists()
        try:
            if _read(Path(run.outcome)) != expected:
                print("other values")
        except ActstoreError:
            if is_last:
                print("refused when all was written")
        except Exception as error:
            print(f"{type(error).__name__}: {error}")
        if is_last:
            return
        time.sleep(0.005)


def _read(path: Path) -> object:
    from actstore.store.opening import open_store
    from analysis.results import load_dataset, load_table
    from tests.campaign.flips import values_of

    if path.suffix == ".zarr":
        return values_of(open_store(path).load())
    return values_of(load_dataset(path, "entanglement")), load_table(path / "neurons.csv").to_csv()


PART = Part("pairs", lambda prepared: None, trial)
