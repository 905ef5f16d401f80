"""Kills: a command is killed at random moments, again and again, and then run to its end.

Held: what has its final name is whole after every kill, and in the end all bytes are those of an
undisturbed run.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from tests.campaign.children import Ended
from tests.campaign.runs import RUNS, Run, drawn, seconds_of, unlike
from tests.campaign.trials import Count, Part, contents

_SIGNALS = {signal.SIGKILL: 0.6, signal.SIGTERM: 0.2, signal.SIGINT: 0.2}
_SHARES = {"extract": 0.3, "ablate": 0.2, "entanglement": 0.2, "pairs": 0.1, "tables": 0.1, "study": 0.1}
_FRESH = 0.05
"""Share of runs in new interpreters, whose imports are interrupted too."""


def trial(rng: np.random.Generator, folder: Path, prepared: Path) -> Count:
    """One run, killed up to five times."""
    run = RUNS[drawn(rng, _SHARES)]
    is_fresh = run.name != "study" and bool(rng.random() < _FRESH)  # whose steps have small shards in forks alone
    length = seconds_of(prepared, run.name) + 4 * is_fresh
    run.set_up(folder, prepared / "base")
    count = Count()
    for _ in range(int(rng.integers(1, 6))):
        number = list(_SIGNALS)[rng.choice(len(_SIGNALS), p=list(_SIGNALS.values()))]
        before = contents(folder)
        child = run.begin(folder, is_fresh=is_fresh)
        time.sleep(float(rng.uniform(0, length)))
        was_running = child.signal(number, group=run.name != "study" or bool(rng.random() < 0.5))
        ended = child.wait()
        if not was_running:
            break
        count.tried += 1
        label = f"{run.name}{' (new interpreter)' if is_fresh else ''}, {signal.Signals(number).name}"
        count.failures += [f"{label}: {problem}" for problem in _not_answered(run, number, ended, folder, prepared, before)]
        count.failures += [f"{label}: {problem}" for problem in _not_whole(run, folder, prepared)]
    count.failures += [f"{run.name}, in the end: {problem}" for problem in _finished(run, folder, prepared)]
    count.tried = max(1, count.tried)
    return count


def _not_answered(
    run: Run, number: int, ended: Ended, folder: Path, prepared: Path, before: Mapping[str, bytes]
) -> Iterator[str]:
    """What is wrong with the answer to a signal."""
    if number == signal.SIGKILL or ended.code == 0 or (ended.code == 128 + number and ended.is_explained):
        return
    is_silent = ended.code == -number and "Traceback" not in ended.error
    if is_silent and (contents(folder) == before or not unlike(run, folder, prepared)):
        return  # before the program had begun, or when all was done
    yield f"not told in one line and by exit {128 + number}: {ended.story}"


def _not_whole(run: Run, folder: Path, prepared: Path) -> Iterator[str]:
    """Files that have their final names after a kill, but not their final bytes."""
    changed = unlike(run, folder, prepared)
    if not run.writes_store:
        existing = [name for name in changed if (folder / run.outcome / name).exists()]
        changed = [name for name in existing if name != "checksums.json" and ".partial" not in name]  # that one grows
    if run.name == "study":  # its stores have their names only when whole; what else is there is known by its step
        changed = [name for name in changed if "/store.zarr/" in name]
    if changed and (folder / run.outcome).exists():
        yield f"not whole under its name: {', '.join(changed[:3])}"


def _finished(run: Run, folder: Path, prepared: Path) -> list[str]:
    """What is wrong after the command is run to its end; a step that outlives its study may still hold the lock."""
    for _ in range(20):
        ended = run.begin(folder).wait()
        if not (ended.code == 2 and "another process" in ended.error):
            break
        time.sleep(0.5)
    if ended.code:
        return [ended.story]
    changed = unlike(run, folder, prepared)
    return [f"other bytes: {', '.join(changed[:5])}"] if changed else []


PART = Part("kills", lambda prepared: None, trial)
