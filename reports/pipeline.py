"""Running a study step by step, redoing only what changed.

Owns the steps, their order and their keys. Every step is a command line run in a process of its
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
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tomli_w

from actstore.builtin import MODELS_FOLDER
from actstore.errors import ActstoreError
from actstore.files import alone, disk_errors, refuse_foreign, remove, write_synced
from reports.imports import imported_files
from reports.names import model_names
from reports.study import AblationStudy, Study, design_table

_ROOT = Path(__file__).parent.parent
_PYTHON = (sys.executable, "-P", "-m")  # -P: what lies in the user's folder must not take the place of our modules
_LIBRARIES = ("numpy", "scipy", "torch", "transformers", "xarray", "zarr", "pandas", "statsmodels", "matplotlib")


@dataclass(frozen=True)
class Step:
    """One command: what it needs, what it runs on, what it leaves."""

    name: str
    command: tuple[str, ...]
    code: tuple[str, ...]
    """Modules of this project, and other files, whose source the result depends on; with all that the modules import."""
    outputs: tuple[Path, ...]
    after: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    """Names that may be an embedded model or files of the user's (model, corpus, pairs); their contents enter the key."""
    work: str = ""
    """How much there is to do, in words."""
    file: tuple[Path, str] | None = None
    """A file to write first, and its text."""
    store: Path | None = None
    """Of the command's arguments the store that it writes; the one that is there is replaced by a finished one alone."""


def steps_of(study: Study, study_file: Path, folder: Path) -> list[Step]:
    """The steps of a study, in order: every model, every ablation, the report."""
    names = model_names(study.models)
    steps = [step for model, name in names.items() for step in _model_steps(study, model, name, folder)]
    for ablation in study.ablations:
        steps += _ablation_steps(ablation, names[ablation.design.model], folder)
    return [*steps, Step(
        "report",
        (*_PYTHON, "reports.build", "--study", str(study_file), "--runs", str(folder), "--out", str(folder / "report")),
        ("reports.build", "reports/templates", str(study_file)),
        (folder / "report" / "index.html", folder / "report" / "results.json"),
        tuple(step.name for step in steps),
    )]  # fmt: skip


def model_folder(folder: Path, name: str) -> Path:
    """Where the store (`store.zarr`) and results (`analysis/`) of a model of that name are."""
    return folder / "models" / name


def ablation_folder(folder: Path, name: str) -> Path:
    """Where an ablation's design, store (`store.zarr`) and tables (`analysis/`) are."""
    return folder / "ablations" / name


def _model_steps(study: Study, model: str, name: str, folder: Path) -> Iterator[Step]:
    place, is_first = model_folder(folder, name), model == study.models[0]
    store, results = place / "store.zarr", place / "analysis"
    checkpoints = study.checkpoints if is_first else "main"
    selections = tuple(results / "selections" / f"{label}.json" for label in ("top", *_random(study)))
    optional = (*(("--spacy", study.spacy) if study.spacy else ()), *(("--site", study.site) if study.site else ()))
    yield Step(
        f"extract {name}",
        (
            *_PYTHON, "actstore", "extract", "--model", model, "--checkpoints", checkpoints, "--corpus", study.corpus,
            "--documents", study.documents, *optional, "--tokens", str(study.tokens) if study.tokens else "all", "--window",
            str(study.window), "--seed", str(study.seed), "--device", study.device, "--compute-dtype", study.compute_dtype,
            "--store", str(store),
        ),
        ("actstore.extraction.run",),
        (store,),
        data=(model, study.corpus),
        work=f"{study.tokens or 'all'} tokens × checkpoints {checkpoints}",
        store=store,
    )  # fmt: skip
    tables = ("neurons", "trajectory", "negative_trajectory", "histogram", "rank_correlations", "explained_by_shape")
    yield Step(
        f"entanglement {name}",
        (
            *_PYTHON, "analysis", "entanglement", "--store", str(store), "--out", str(results), "--fraction",
            str(study.selection.fraction), "--random-seeds", str(study.selection.random_seeds),
        ),
        ("analysis.commands.entanglement",),
        (results / "entanglement.zarr", *selections, *_csv(results, tables)),
        (f"extract {name}",),
    )  # fmt: skip
    shared = ("--store", str(store), "--results", str(results), "--seed", str(study.seed))
    yield Step(
        f"pairs {name}",
        (
            *_PYTHON, "analysis", "pairs", *shared, "--pair-tokens", str(study.pairs.tokens), "--neighbours",
            str(study.pairs.neighbours), "--top", str(study.pairs.top),
        ),
        ("analysis.commands.pairs",),
        (results / "pairs.zarr", *_csv(results, ("pair_signs", "pair_labels"))),
        (f"entanglement {name}",),
    )  # fmt: skip
    if is_first:
        yield Step(
            f"atlas {name}",
            (*_PYTHON, "analysis", "atlas", *shared),
            ("analysis.commands.atlas",),
            _csv(results, ("atlas", "neuron_histograms", "neuron_pairs", "neuron_story")),
            (f"pairs {name}",),
        )
    if is_first and study.has_training:
        yield Step(
            f"dynamics {name}",
            (*_PYTHON, "analysis", "dynamics", *shared, "--fraction", str(study.selection.fraction)),
            ("analysis.commands.dynamics",),
            _csv(results, ("emergence", "cohorts", "weights", "overlap")),
            (f"entanglement {name}",),
        )


def _ablation_steps(ablation: AblationStudy, model: str, folder: Path) -> Iterator[Step]:
    place, design = ablation_folder(folder, ablation.name), ablation.design
    store, results = place / "store.zarr", place / "analysis"
    statistics = model_folder(folder, model) / "analysis" / "entanglement.zarr"
    selections = [name for spec in design.cohorts for name in spec.selection]
    folders = filter(None, [design.readouts.task_folder])
    yield Step(
        f"ablate {ablation.name}",
        (*_PYTHON, "actstore", "ablate", str(place / "design.toml"), "--store", str(store)),
        ("actstore.ablation.run",),
        (store,),
        (f"entanglement {model}",),
        (design.model, design.text.corpus, *design.readouts.pairs, *selections, *folders),
        work=f"{ablation.n_conditions()} conditions × checkpoints {design.checkpoints}",
        file=(place / "design.toml", tomli_w.dumps(design_table(ablation, statistics))),
        store=store,
    )
    options = ("--store", str(store), "--out", str(results))
    yield Step(
        f"tables of {ablation.name}",
        (*_PYTHON, "analysis", "tables", *options, "--extraction", str(model_folder(folder, model) / "store.zarr")),
        ("analysis.commands.tables",),
        _csv(results, ("perplexity", "edited_by_layer", "text_overlap")),
        (f"ablate {ablation.name}",),
    )
    if ablation.surprisal:
        yield Step(
            f"surprisal of {ablation.name}",
            (*_PYTHON, "analysis", "surprisal", *options),
            ("analysis.commands.surprisal",),
            _csv(results, ("surprisal_means", "surprisal_fits")),
            (f"ablate {ablation.name}",),
        )


def _random(study: Study) -> Iterator[str]:
    return (f"random-{seed}" for seed in range(study.selection.random_seeds))


def _csv(folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    return tuple(folder / f"{name}.csv" for name in names)


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
            known = f"took {seconds:.0f} s last time" if seconds else "not run yet"
            print(f"{title}: to run, {known}{f'; {step.work}' if step.work else ''}", flush=True)
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
    command, fresh = step.command, None
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
