"""Trials of one part of the campaign: numbered, seeded one by one, shared between two workers, counted."""

from __future__ import annotations

import json
import os
import shutil
import time
import traceback
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.campaign.children import start


@dataclass
class Count:
    """The outcome of some trials: how many harms were tried, and every failure in words."""

    tried: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Part:
    """One part of the campaign.

    Attributes
    ----------
    name : str
    prepare : callable (prepared)
        Makes what trials need beside the undisturbed runs, once, in children of its own.
    trial : callable (rng, folder, prepared) → Count
        One trial in an empty folder of its own; may try several harms.
    """

    name: str
    prepare: Callable[[Path], None]
    trial: Callable[[np.random.Generator, Path, Path], Count]


@dataclass
class Tally:
    """A row of the table."""

    part: str
    tried: int
    failures: list[str]
    seconds: float


def run_part(part: Part, n: int, seed: int, folder: Path, workers: int, only: Sequence[int] = ()) -> Tally:
    """Try a part until `n` harms are tried; with `only`, these numbers of trials and no others.

    `folder` has the undisturbed runs in `prepared`.
    """
    began = time.monotonic()
    prepared = folder / "prepared"
    (folder / part.name).mkdir()
    part.prepare(prepared)
    children = []
    for worker in range(workers):
        room = folder / part.name / f"worker-{worker}"
        room.mkdir()
        share = only[worker::workers] if only else None
        goal = n * (worker + 1) // workers - n * worker // workers
        children.append(
            (start(lambda w=worker, r=room, s=share, g=goal: _work(part, seed, w, workers, r, prepared, g, s), room), room)
        )
    count = Count()
    for child, room in children:
        ended = child.wait(timeout=24 * 3600)
        for line in (room / "counts.jsonl").read_text().splitlines() if (room / "counts.jsonl").exists() else ():
            record = json.loads(line)
            count.tried += record["tried"]
            count.failures += record["failures"]
        if ended.code:
            count.failures.append(f"the worker itself: {ended.story}")
    return Tally(part.name, count.tried, count.failures, time.monotonic() - began)


def _work(
    part: Part, seed: int, worker: int, workers: int, room: Path, prepared: Path, goal: int, only: Sequence[int] | None
) -> None:
    """The trials of one worker, one line of counts each."""
    number, tried = worker, 0
    queue = list(only) if only is not None else None
    with (room / "counts.jsonl").open("w") as file:
        while queue if queue is not None else tried < goal:
            if queue is not None:
                number = queue.pop(0)
            count = _run_trial(part, seed, number, room, prepared)
            tried += count.tried
            file.write(json.dumps({"tried": count.tried, "failures": count.failures}) + "\n")
            file.flush()
            number += workers


def _run_trial(part: Part, seed: int, number: int, room: Path, prepared: Path) -> Count:
    folder = room / str(number)
    folder.mkdir()
    logs = room / "logs"
    logs.mkdir()
    os.environ["CAMPAIGN_LOGS"] = str(logs)
    try:
        count = part.trial(np.random.default_rng([seed, zlib.crc32(part.name.encode()), number]), folder, prepared)
    except Exception:  # the campaign's own fault, or a check's; either way not held
        count = Count(1, [traceback.format_exc(limit=-4).replace("\n", " / ")])
    count.failures = [f"{part.name} {number}: {failure}" for failure in count.failures]
    if not (count.failures and os.environ.get("CAMPAIGN_KEEP")):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(logs, ignore_errors=True)
    return count


def contents(folder: Path) -> dict[str, bytes]:
    """Name → bytes of every file in a folder and below, but of locks."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def differences(folder: Path, reference: Path) -> list[str]:
    """Names of files that are not alike, or are in one of two folders alone."""
    ours, theirs = contents(folder), contents(reference)
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
