"""Hostile inputs: files and options drawn from grammars of every format that the package reads.

Held: the command succeeds, or ends with exit 2 and one line, in bounded time and memory, writes
nothing outside its working folder and runs no code.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from actstore.builtin import MODELS_FOLDER
from tests.campaign import grammars
from tests.campaign.children import USUAL_SHARD_TOKENS, command, main_of, start
from tests.campaign.runs import must
from tests.campaign.trials import Count, Part, contents

_BATCH = 20
_SECONDS = 240.0
_MEMORY = 3 * 2**30


def prepare(prepared: Path) -> None:
    """What valid commands need beside a store, results and an ablation: its table of words, and a model."""

    def words() -> int:
        options = ("surprisal", "--store", "in/ablation.zarr", "--out", "words", "--formula", "delta ~ 1", "--replicates", "2")
        return main_of("analysis")(options)

    must(start(words, prepared / "base"))
    model = prepared / "model"
    model.mkdir()
    for file in (MODELS_FOLDER / "pico-neox").iterdir():
        if file.is_file():
            shutil.copy(file, model / file.name)
    for file in (MODELS_FOLDER / "pico-neox" / "step64").iterdir():
        shutil.copy(file, model / file.name)


def trial(rng: np.random.Generator, folder: Path, prepared: Path) -> Count:
    """Some inputs of one format."""
    name = str(rng.choice(list(grammars.FORMATS)))
    count = Count()
    for number, example in enumerate(_examples(name, int(rng.integers(2**32)), prepared)):
        room = folder / str(number)
        count.tried += 1
        problems = _harmed(example, room, prepared)
        if problems:
            print(f"{name}: {example}", file=(folder / "failed.txt").open("a"))
        count.failures += [f"{name}, input {number} ({example.summary}): {problem}" for problem in problems]
    return count


def _examples(name: str, seed: int, prepared: Path) -> list[grammars.Example]:
    """Inputs that hypothesis draws from a format's grammar."""
    drawn: list[grammars.Example] = []

    @seeded(seed)
    @settings(
        max_examples=_BATCH, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(grammars.FORMATS[name](prepared))
    def draw(example: grammars.Example) -> None:
        drawn.append(example)

    draw()
    return drawn


def _harmed(example: grammars.Example, room: Path, prepared: Path) -> list[str]:
    """What goes wrong with one input."""
    work, outside = room / "work", room / "outside"
    work.mkdir(parents=True)
    outside.mkdir()
    (outside / "design.toml").write_text("not yours")
    (outside / "store.zarr").mkdir()
    (outside / "store.zarr" / "kept").write_text("not yours")
    (work / "in").symlink_to(prepared / "base")
    for name, content in example.files.items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is grammars.FIFO:
            os.mkfifo(path)
        elif content is grammars.FOLDER:
            path.mkdir()
        else:
            path.write_bytes(content)
    before = contents(outside)
    ended = command(example.program, example.arguments, work, USUAL_SHARD_TOKENS, memory=_MEMORY).wait(_SECONDS)
    problems = [] if ended.is_clean and not ended.timed_out else [ended.story]
    if contents(outside) != before or sorted(path.name for path in room.iterdir()) != ["outside", "work"]:
        problems.append("it wrote outside its folder, or ran code")
    if not problems:
        shutil.rmtree(room)
    return problems


PART = Part("inputs", prepare, trial)
