"""Running a study step by step, redoing only what changed.

Owns the steps, their order and their keys. Every step is a command line run in a process of its
own, so memory is given back, and nothing here imports torch. A step's key is a digest of its
command, the code that it runs and the keys of the steps before it; a step whose key is recorded
and whose outputs exist is not run again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from actstore.errors import ActstoreError
from reports.study import Study

_ROOT = Path(__file__).parent.parent
_LIBRARIES = ("numpy", "scipy", "torch", "transformers", "xarray", "zarr", "pandas", "matplotlib")
_TEXT_SUFFIXES = {".txt", ".conllu", ".jsonl", ".gz"}


@dataclass(frozen=True)
class Step:
    """One command: what it needs, what it runs on, what it leaves."""

    name: str
    command: tuple[str, ...]
    code: tuple[str, ...]
    """Packages or files of this project whose source the result depends on."""
    outputs: tuple[Path, ...]
    after: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    """Names that may be files of the user's (model, corpus, pairs); their contents enter the key."""


def steps_of(study: Study, study_file: Path, folder: Path) -> list[Step]:
    """The steps of a study, in order."""
    python = (sys.executable, "-m")
    store, results, ablation = folder / "store.zarr", folder / "analysis", folder / "ablation.zarr"
    selections = results / "selections"
    chosen = [selections / "top.json", *(selections / f"random-{seed}.json" for seed in range(study.selection.random_seeds))]
    text = ("--window", str(study.window), "--seed", str(study.seed))
    return [
        Step(
            "extract",
            (
                *python, "actstore.cli", "extract", "--model", study.model, "--checkpoints", study.checkpoints, "--corpus",
                study.corpus, "--tokens", str(study.tokens), *text, "--store", str(store),
            ),
            ("actstore",),
            (store,),
            data=(study.model, study.corpus),
        ),
        Step(
            "entanglement",
            (
                *python, "analysis", "entanglement", "--store", str(store), "--out", str(results), "--fraction",
                str(study.selection.fraction), "--random-seeds", str(study.selection.random_seeds),
            ),
            ("analysis", "actstore/schema.py", "actstore/store.py"),
            (results / "entanglement.zarr", *chosen, *(results / f"{name}.csv" for name in ("neurons", "trajectory", "histogram"))),
            ("extract",),
        ),
        Step(
            "ablate",
            (
                *python, "actstore.cli", "ablate", "--model", study.model, "--checkpoints", study.ablation.checkpoints, "--corpus",
                study.ablation.corpus, "--tokens", str(study.ablation.tokens), *text, "--pairs", study.ablation.pairs,
                "--intervention", *study.ablation.interventions, "--selection", *map(str, chosen), "--store", str(ablation),
            ),
            ("actstore",),
            (ablation,),
            ("entanglement",),
            (study.model, study.ablation.corpus, study.ablation.pairs),
        ),
        Step(
            "ablation tables",
            (*python, "analysis", "ablation", "--store", str(ablation), "--out", str(results)),
            ("analysis", "actstore/schema.py", "actstore/store.py"),
            tuple(results / f"{name}.csv" for name in ("perplexity", "surprisal_by_upos")),
            ("ablate",),
        ),
        Step(
            "report",
            (*python, "reports.build", "--study", str(study_file), "--runs", str(folder), "--out", str(folder / "report")),
            ("reports", "analysis", "actstore/schema.py", "actstore/store.py", str(study_file)),
            (folder / "report" / "index.html",),
            ("extract", "entanglement", "ablation tables"),
        ),
    ]  # fmt: skip


def keys_of(steps: Sequence[Step]) -> dict[str, str]:
    """Step name → digest of all that its result depends on."""
    keys: dict[str, str] = {}
    for step in steps:
        digest = hashlib.blake2b(digest_size=16)
        digest.update(repr([sys.version_info[:2], *((name, version(name)) for name in _LIBRARIES)]).encode())
        digest.update(repr(step.command[1:]).encode())
        for path in (*step.code, *step.data):
            _add_path(digest, path)
        for before in step.after:
            digest.update(keys[before].encode())
        keys[step.name] = digest.hexdigest()
    return keys


def _add_path(digest: Any, name: str) -> None:
    path = _ROOT / name if (_ROOT / name).exists() else Path(name)
    files = [path] if path.is_file() else sorted(path.rglob("*")) if path.is_dir() else []
    for file in files:
        if file.suffix == ".pyc" or not file.is_file():
            continue
        digest.update(str(file.relative_to(path.parent)).encode())
        if file.suffix in {".safetensors", ".bin", ".gguf"} and file.stat().st_size > 2**26:
            digest.update(repr((file.stat().st_size, file.stat().st_mtime_ns)).encode())  # too large to read each time
        else:
            digest.update(file.read_bytes())


def run(study: Study, study_file: Path, folder: Path, *, dry: bool = False) -> list[str]:
    """Bring a study up to date; the names of the steps that were run (or would be).

    Raises
    ------
    ActstoreError
        If a step fails; its own message is already on stderr.
    """
    steps = steps_of(study, study_file, folder)
    keys = keys_of(steps)
    ledger_file = folder / "steps.json"
    ledger = json.loads(ledger_file.read_text()) if ledger_file.is_file() else {}
    ran = []
    for number, step in enumerate(steps, 1):
        title = f"[{number}/{len(steps)}] {step.name}"
        if ledger.get(step.name) == keys[step.name] and all(path.exists() for path in step.outputs):
            print(f"{title}: up to date", flush=True)
            continue
        ran.append(step.name)
        if dry:
            print(f"{title}: to run: {' '.join(step.command[1:])}", flush=True)
            continue
        print(f"{title} …", flush=True)
        ledger.pop(step.name, None)
        for path in step.outputs:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        began = time.monotonic()
        if subprocess.run(step.command, check=False).returncode:
            raise ActstoreError(
                f"step {step.name!r} failed; its message is above. Mend it and run again: finished steps are kept"
            )
        ledger[step.name] = keys[step.name]
        folder.mkdir(parents=True, exist_ok=True)
        ledger_file.write_text(json.dumps(ledger, indent=1) + "\n")
        print(f"{title}: {time.monotonic() - began:.1f} s", flush=True)
    return ran
