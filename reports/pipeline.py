"""Running a study step by step, redoing only what changed.

Owns the keys of steps and the ledger of what is done; the steps are in `steps.py`. Every step is a command line run in a process of its
own, so memory is given back, and nothing here imports torch. A step's key is a digest of its
command, the modules that it imports and the keys of the steps before it; a step whose key is
recorded and whose outputs exist is not run again. A store is written under a name that has the
key in it, so that what is unfinished is gone on with by the same code alone, and takes the place
of the one before only when it is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

from actstore.builtin import MODELS_FOLDER
from actstore.errors import ActstoreError
from actstore.files import alone, disk_errors, refuse_foreign, remove, write_synced
from reports.imports import imported_files
from reports.steps import Step, steps_of
from reports.study import Study

_ROOT = Path(__file__).parent.parent
_LIBRARIES = ("numpy", "scipy", "torch", "transformers", "xarray", "zarr", "pandas", "statsmodels", "matplotlib")


def keys_of(steps: Sequence[Step]) -> dict[str, str]:
    """Step name → digest of all that its result depends on."""
    keys: dict[str, str] = {}
    for step in steps:
        digest = hashlib.blake2b(digest_size=16)
        digest.update(repr([sys.version_info[:2], *((name, version(name)) for name in _LIBRARIES)]).encode())
        digest.update(repr((step.command[1:], step.file and step.file[1])).encode())
        for name in step.code:
            _add_code(digest, name)
        for name in step.data:
            _add_path(digest, MODELS_FOLDER / name if name and (MODELS_FOLDER / name).is_dir() else Path(name))
        for before in step.after:
            digest.update(keys[before].encode())
        keys[step.name] = digest.hexdigest()
    return keys


def _add_code(digest: Any, name: str) -> None:
    """A module with all that it imports, or a file or folder below the project's root or elsewhere."""
    try:
        files = imported_files(name)
    except ModuleNotFoundError:
        _add_path(digest, _ROOT / name if (_ROOT / name).exists() else Path(name))
        return
    for file in files:
        digest.update(str(file.relative_to(_ROOT)).encode())
        digest.update(file.read_bytes())


def _add_path(digest: Any, path: Path) -> None:
    files = [path] if path.is_file() else sorted(path.rglob("*")) if path.is_dir() else []
    for file in files:
        if not file.is_file():
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
    with nullcontext() if dry else alone(folder):
        return _run(steps_of(study, study_file, folder), folder, dry)


def _run(steps: Sequence[Step], folder: Path, dry: bool) -> list[str]:
    keys = keys_of(steps)
    ledger = _Ledger(folder / "steps.json")
    ran: list[str] = []
    for number, step in enumerate(steps, 1):
        title = f"[{number}/{len(steps)}] {step.name}"
        seconds = ledger.seconds(step.name)
        if (
            ledger.key(step.name) == keys[step.name]
            and all(path.exists() for path in step.outputs)
            and not {*step.after} & {*ran}
        ):
            print(f"{title}: up to date" + (f" (took {seconds:.0f} s)" if dry else ""), flush=True)
            continue
        ran.append(step.name)
        if dry:
            duration = f"took {seconds:.0f} s last time" if seconds else "not run yet"
            print(f"{title}: to run, {duration}{f'; {step.work}' if step.work else ''}", flush=True)
            continue
        print(f"{title} …", flush=True)
        ledger.forget(step.name)
        began = time.monotonic()
        _carry_out(step, keys[step.name])
        ledger.record(step.name, keys[step.name], time.monotonic() - began)
        print(f"{title}: {time.monotonic() - began:.1f} s", flush=True)
    return ran


def _carry_out(step: Step, key: str) -> None:
    """Run a step's command, and put in place what it leaves."""
    command = (*step.command, *(word for name in step.plugins for word in ("--plugin", name)))
    fresh = None
    if step.store is None:
        for path in step.outputs:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    else:
        fresh = step.store.with_name(f"{step.store.stem}-{key[:12]}{step.store.suffix}")
        command = tuple(str(fresh) if part == str(step.store) else part for part in command)
        _remove_stores(step.store, keep=fresh)
    if step.file:
        with disk_errors(step.file[0]):
            step.file[0].parent.mkdir(parents=True, exist_ok=True)
            step.file[0].write_text(step.file[1], encoding="utf-8")
    if subprocess.run(command, check=False, env=_environment()).returncode:
        raise ActstoreError(f"step {step.name!r} failed; its message is above. Mend it and run again: finished steps are kept")
    if step.store is not None and fresh is not None:
        if step.store.exists():
            step.store.rename(step.store.with_name(f"{step.store.stem}-before{step.store.suffix}"))
        fresh.rename(step.store)
        _remove_stores(step.store, keep=step.store)


def _environment() -> dict[str, str]:
    """Of a step: it finds the modules of this project that its key follows."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _remove_stores(store: Path, keep: Path) -> None:
    """Remove the stores, finished or not, that earlier keys of a step left beside its own."""
    for path in store.parent.glob(f"{store.stem}-*{store.suffix}*"):
        if path.name.removesuffix(".partial") != keep.name:
            refuse_foreign(path)
            remove(path)


class _Ledger:
    """Which steps were finished with which key, and how long each took; kept twice, so that damage to one file costs nothing."""

    def __init__(self, file: Path) -> None:
        self._files = (file, file.with_name(f"{file.stem}-copy{file.suffix}"))
        self._steps: dict[str, dict[str, Any]] = next(filter(None, map(self._read, self._files)), {})
        if not self._steps and any(path.exists() for path in self._files):
            print(f"{file} cannot be read: every step is run again", file=sys.stderr)

    @staticmethod
    def _read(file: Path) -> dict[str, dict[str, Any]]:
        """The steps; none if the file is not there or damaged."""
        try:
            listed = json.loads(file.read_text(encoding="utf-8"))
            steps = {
                name: {"key": str(step["key"]), "seconds": float(step["seconds"])} for name, step in listed["steps"].items()
            }
            return steps if listed["digest"] == _digest(steps) else {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}

    def key(self, name: str) -> str:
        return str(self._steps.get(name, {}).get("key", ""))

    def names(self) -> list[str]:
        return list(self._steps)

    def seconds(self, name: str) -> float:
        return float(self._steps.get(name, {}).get("seconds", 0))

    def forget(self, name: str) -> None:
        """It is being run: if it is interrupted, its outputs are not to be trusted."""
        self._write({**self._steps, name: {"key": "", "seconds": self.seconds(name)}})

    def record(self, name: str, key: str, seconds: float) -> None:
        self._write({**self._steps, name: {"key": key, "seconds": round(seconds, 1)}})

    def _write(self, steps: dict[str, dict[str, Any]]) -> None:
        self._steps = steps
        with disk_errors(self._files[0]):
            self._files[0].parent.mkdir(parents=True, exist_ok=True)
            for file in self._files:
                write_synced(file, json.dumps({"steps": steps, "digest": _digest(steps)}, indent=1) + "\n")


def _digest(steps: dict[str, dict[str, Any]]) -> str:
    return hashlib.blake2b(json.dumps(steps, sort_keys=True).encode(), digest_size=8).hexdigest()


def recorded_keys(folder: Path) -> dict[str, str]:
    """Step → the digest of all that its result depends on, of the steps before the report that are done."""
    ledger = _Ledger(folder / "steps.json")
    return {name: key for name in ledger.names() if name != "report" and (key := ledger.key(name))}
