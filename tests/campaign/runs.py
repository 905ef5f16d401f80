"""The commands that are harmed, and what each leaves when nothing disturbs it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.campaign.children import Child, command, fresh
from tests.campaign.trials import contents

DESIGN = """model = "pico-neox"
checkpoints = "64,4000"
statistics = "in/results/entanglement.zarr"

[text]
tokens = 200

[readouts.minimal_pairs]
per_paradigm = 1

[[cohorts]]
rule = "top"

[[cohorts]]
rule = "random"
seeds = 2
"""
STUDY = """name = "s"
models = ["pico-neox"]
checkpoints = "64,4000"

[extraction_text]
tokens = 260

[selection]
random_seeds = 1

[pairs]
tokens = 96
neighbours = 2
top = 8

[text]
tokens = 200

[readouts.minimal_pairs]
per_paradigm = 1

[[ablations]]
name = "a"

[[ablations.cohorts]]
rule = "top"
"""
_EXTRACT = ("extract", "--quiet", "--model", "pico-neox", "--checkpoints", "64,4000", "--tokens", "260", "--layers", "0,2")
_ENTANGLEMENT = ("entanglement", "--random-seeds", "2", "--store")
_FEW_PAIRS = ("--pair-tokens", "96", "--neighbours", "2", "--top", "8")


@dataclass(frozen=True)
class Run:
    """One command, in a folder where `in` is what was made before.

    Attributes
    ----------
    name, program : str
    arguments : tuple of str
    outcome : str
        What it leaves: a store, or a folder of results or runs.
    start : str
        What of `in` is there under the name of the outcome before it starts; empty for nothing.
    """

    name: str
    program: str
    arguments: tuple[str, ...]
    outcome: str
    start: str = ""

    @property
    def writes_store(self) -> bool:
        """Whether it leaves a store, which has its name only when whole."""
        return self.outcome.endswith(".zarr")

    def set_up(self, folder: Path, base: Path) -> None:
        """Make a folder ready for it."""
        (folder / "in").symlink_to(base)
        shutil.copy(base / "study.toml", folder / "study.toml")
        if self.start:
            shutil.copytree(base / self.start, folder / self.outcome)

    def begin(self, folder: Path, *, is_fresh: bool = False) -> Child:
        """Start it."""
        return (fresh if is_fresh else command)(self.program, self.arguments, folder)


RUNS = {
    run.name: run
    for run in (
        Run("extract", "actstore", (*_EXTRACT, "--store", "out.zarr"), "out.zarr"),
        Run("ablate", "actstore", ("ablate", "in/design.toml", "--quiet", "--store", "out.zarr"), "out.zarr"),
        Run("entanglement", "analysis", (*_ENTANGLEMENT, "in/store.zarr", "--out", "out"), "out"),
        Run("pairs", "analysis", ("pairs", "--store", "in/store.zarr", "--results", "out", *_FEW_PAIRS), "out", "results"),
        Run("tables", "analysis", ("tables", "--store", "in/ablation.zarr", "--out", "out"), "out"),
        Run("study", "reports", ("study.toml", "--runs", "runs"), "runs/s"),
    )
}
_VARYING = tuple(
    re.compile(pattern)
    for pattern in (
        r"^steps(-copy)?\.json$",
        r"^report/",
        r"lock",
        r"^ablations/a/(design\.toml|store\.zarr/(ledger/)?zarr\.json)$",
    )
)
"""Names of files that hold times, or the absolute path of the run."""
_BASE = (
    ("actstore", (*_EXTRACT, "--store", "store.zarr")),
    ("analysis", (*_ENTANGLEMENT, "store.zarr", "--out", "results")),
    ("actstore", ("ablate", "in/design.toml", "--quiet", "--store", "ablation.zarr")),
)


def studies() -> bool:
    """Whether whole studies are among what is harmed; they take longest."""
    return not os.environ.get("CAMPAIGN_LIGHT")


def drawn(rng: np.random.Generator, shares: Mapping[str, float]) -> str:
    """One name of several, each with its share."""
    names = [name for name in shares if name != "study" or studies()]
    odds = np.array([shares[name] for name in names])
    return str(rng.choice(names, p=odds / odds.sum()))


def make_base(base: Path) -> None:
    """A store, its results and an ablation, which the commands start from."""
    base.mkdir()
    (base / "in").symlink_to(".")
    (base / "design.toml").write_text(DESIGN)
    (base / "study.toml").write_text(STUDY)
    for program, arguments in _BASE:
        must(command(program, arguments, base))


def must(child: Child) -> float:
    """Wait for a child that has to succeed; its seconds."""
    ended = child.wait()
    if ended.code:
        raise RuntimeError(f"{ended.story}\n{ended.error}")
    return ended.seconds


def prepare(prepared: Path) -> None:
    """Make the base, each run's undisturbed outcome below `references`, and how long each took."""
    prepared.mkdir()
    make_base(prepared / "base")
    running = {}
    for name in RUNS if studies() else RUNS.keys() - {"study"}:
        folder = prepared / "references" / name
        folder.mkdir(parents=True)
        RUNS[name].set_up(folder, prepared / "base")
        running[name] = RUNS[name].begin(folder)
    seconds = {name: must(child) for name, child in running.items()}
    (prepared / "seconds.json").write_text(json.dumps(seconds))


def seconds_of(prepared: Path, name: str) -> float:
    """How long a run takes when nothing disturbs it."""
    return float(json.loads((prepared / "seconds.json").read_text())[name])


def unlike(run: Run, folder: Path, prepared: Path) -> list[str]:
    """Which files of a run's outcome are not those of the undisturbed one."""
    ours = dict(_comparable(run, folder / run.outcome))
    theirs = dict(_comparable(run, prepared / "references" / run.name / run.outcome))
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def _comparable(run: Run, outcome: Path) -> Iterator[tuple[str, bytes]]:
    """Files whose bytes follow from the command alone: no locks, no times, no paths."""
    for name, raw in contents(outcome).items():
        if not any(pattern.search(name) for pattern in _VARYING):
            yield name, raw
