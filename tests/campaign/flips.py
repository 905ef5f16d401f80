"""Flips: one file of a store, of results or of a selection is damaged.

Held: `verify` names it and reading refuses it in the package's own words, or, of a store that is
not finished, the same command ends in the same bytes or refuses in one line.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actstore.errors import ActstoreError
from tests.campaign import hub_cache
from tests.campaign.children import main_of, start, value_of
from tests.campaign.runs import RUNS, drawn, must, unlike
from tests.campaign.trials import Count, Part

_BATCH = 20
_NOT_CHECKED = ("lock", "setup", ".lock", ".actstore")
"""Names of files that hold nothing."""
_UNFINISHED = {"extract": 4, "ablate": 3}
"""Run → how many of its seals are there when it is broken off."""
_SHARES = {"store.zarr": 0.4, "ablation.zarr": 0.25, "results": 0.25, "extract": 0.05, "ablate": 0.02, "cache": 0.03}


def prepare(prepared: Path) -> None:
    """Sound stores and results, and unfinished stores."""
    shutil.copytree(prepared / "base", prepared / "sound", symlinks=True)

    def tables() -> int:
        return main_of("analysis")(["tables", "--store", "in/ablation.zarr", "--out", "results"])

    must(start(tables, prepared / "sound"))
    (prepared / "hub").mkdir()
    must(start(lambda: hub_cache.fill(prepared / "hub"), prepared / "hub"))
    must(hub_cache.extract_offline(prepared / "hub"))
    for name, n_seals in _UNFINISHED.items():
        folder = prepared / "unfinished" / name
        folder.mkdir(parents=True)
        RUNS[name].set_up(folder, prepared / "base")
        ended = start(lambda name=name, n_seals=n_seals: _broken_off(name, n_seals), folder).wait()
        if ended.code != 9:
            raise RuntimeError(f"{name} was not broken off: {ended.story}")


def _broken_off(name: str, n_seals: int) -> int:
    """Run a command until so many blocks are sealed, and die."""
    from actstore.store.ledger import Ledger

    original, sealed = Ledger.add, []

    def add(ledger, seal):
        original(ledger, seal)
        sealed.append(seal)
        if len(sealed) == n_seals:
            os._exit(9)

    Ledger.add = add
    return main_of(RUNS[name].program)(RUNS[name].arguments)


@dataclass(frozen=True)
class Damage:
    """A change of one file, or of two."""

    label: str
    changed: dict[Path, bytes | None]
    """File → its bytes from now on, None for none."""

    @contextmanager
    def done(self) -> Iterator[None]:
        """Damage the files, and restore them on leaving."""
        before = {path: path.read_bytes() for path in self.changed}
        try:
            self.do()
            yield
        finally:
            for path, raw in before.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(raw)

    def do(self) -> None:
        """Damage them."""
        for path, raw in self.changed.items():
            path.unlink() if raw is None else path.write_bytes(raw)


def _flip(rng: np.random.Generator, raw: bytes) -> bytes:
    changed = bytearray(raw)
    for _ in range(int(rng.choice([1, 1, 1, 2, 8]))):
        changed[rng.integers(len(raw))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _zero(rng: np.random.Generator, raw: bytes) -> bytes:
    start, stop = sorted(rng.integers(len(raw) + 1, size=2))
    return raw[:start] + bytes(int(stop - start)) + raw[stop:]


_CHANGES: dict[str, Callable[[np.random.Generator, bytes], bytes | None]] = {
    "bits flipped": _flip,
    "cut short": lambda rng, raw: raw[: rng.integers(len(raw))],
    "a stretch zeroed": _zero,
    "a stretch left out": lambda rng, raw: raw[: (at := int(rng.integers(len(raw))))] + raw[at + int(rng.integers(1, 64)) :],
    "longer": lambda rng, raw: raw + rng.bytes(int(rng.integers(1, 64))),
    "deleted": lambda rng, raw: None,
}
_ODDS = [0.5, 0.1, 0.1, 0.05, 0.1, 0.15]


def damage(rng: np.random.Generator, folder: Path) -> Damage:
    """One damage somewhere in a folder: files of every array and kind are as likely as each other."""
    kinds: dict[str, list[Path]] = {}
    for path in sorted(
        path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and path.name not in _NOT_CHECKED
    ):
        name = path.relative_to(folder).as_posix()
        kinds.setdefault(name.partition("/c/")[0] if "/c/" in name else name, []).append(path)
    while True:
        files = kinds[str(rng.choice(list(kinds)))]
        path = files[rng.integers(len(files))]
        raw = path.read_bytes()
        unequal = [file for file in files if file.read_bytes() != raw]
        name = path.relative_to(folder)
        if unequal and rng.random() < 0.25:
            partner = unequal[rng.integers(len(unequal))]
            return Damage(f"{name} and {partner.relative_to(folder)} exchanged", {path: partner.read_bytes(), partner: raw})
        kind = str(rng.choice(list(_CHANGES), p=_ODDS))
        changed = _CHANGES[kind](rng, raw) if raw else None
        if changed != raw:
            return Damage(f"{name}: {kind}", {path: changed})


def trial(rng: np.random.Generator, folder: Path, prepared: Path) -> Count:
    """Some damages of one finished thing, or one of an unfinished store."""
    # An unfinished store takes a whole run a flip, a finished thing shares a child among many.
    name = drawn(rng, {name: share / (1 if name in (*_UNFINISHED, "cache") else _BATCH) for name, share in _SHARES.items()})
    if name == "cache":
        return _from_cache(rng, folder, prepared)
    if name in _UNFINISHED:
        return _resumed(rng, name, folder, prepared)
    shutil.copytree(prepared / "sound" / name, folder / name)
    return Count(_BATCH, value_of(lambda: _unnoticed(rng, folder / name), folder))


def _unnoticed(rng: np.random.Generator, path: Path) -> list[str]:
    """Of some damages, made one after another, those that were not noticed."""
    readers = _Readers(path)
    failures = [f"{path.name} undamaged: {problem}" for problem in readers.problems(())]
    for _ in range(_BATCH):
        harm = damage(rng, path)
        with harm.done():
            failures += [f"{path.name}/{harm.label}: {problem}" for problem in readers.problems(tuple(harm.changed))]
    return failures


class _Readers:
    """The ways to read a store or a folder of results, and what each returns when nothing is damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sound = {name: read() for name, read in self._ways().items()}

    def _ways(self) -> dict[str, Callable[[], object]]:
        from actstore.selection.selection import Selection
        from actstore.store.opening import open_store
        from analysis.results import load_dataset, load_table

        if self._path.suffix == ".zarr":
            return {"": lambda: values_of(open_store(self._path).load())}
        ways: dict[str, Callable[[], object]] = {
            "entanglement.zarr": lambda: values_of(load_dataset(self._path, "entanglement"))
        }
        for table in sorted(self._path.glob("*.csv")):
            ways[table.name] = lambda table=table: load_table(table).to_csv()
        for file in sorted((self._path / "selections").glob("*.json")):
            ways[f"selections/{file.name}"] = lambda file=file: repr(Selection.load(file))
        return ways

    def problems(self, damaged: tuple[Path, ...]) -> list[str]:
        """What goes wrong while these files are damaged: it is not noticed, or it ends in a traceback."""
        problems = (
            [] if _is_noticed(self._path) == bool(damaged) else ["verify does not notice" if damaged else "verify finds harm"]
        )
        names = [path.relative_to(self._path).as_posix() for path in damaged]
        for way, sound in self._sound.items():
            is_damaged = [name for name in names if name.startswith(way)] or (
                "checksums.json" in names and way.endswith(".csv")
            )
            try:
                read = self._ways()[way]() if way in self._ways() else None
            except ActstoreError:
                continue
            except Exception as error:
                problems.append(f"reading {way} ends in {type(error).__name__}: {error}")
                continue
            is_lost = names == ["checksums.json"] and not damaged[0].exists()  # then nothing is checked, and nothing is wrong
            if read is not None and (read != sound or (is_damaged and not is_lost)):
                problems.append(f"reading {way} does not notice" + (", and gives other values" if read != sound else ""))
        return problems


def _is_noticed(path: Path) -> bool:
    from actstore.verification import verify

    with suppress(ActstoreError):
        return bool(verify(path))
    return True


def values_of(dataset: Any) -> dict[str, object]:
    """All values and labels of a dataset, comparable."""
    arrays = {str(name): array.values for name, array in dataset.variables.items()}
    return {name: values.tolist() if values.dtype.kind == "O" else values.tobytes() for name, values in arrays.items()}


def _resumed(rng: np.random.Generator, name: str, folder: Path, prepared: Path) -> Count:
    run = RUNS[name]
    run.set_up(folder, prepared / "base")
    partial = folder / f"{run.outcome}.partial"
    shutil.copytree(prepared / "unfinished" / name / partial.name, partial)
    harm = damage(rng, partial)
    harm.do()
    ended = run.begin(folder).wait()
    label = f"unfinished {run.outcome} of {name}/{harm.label}"
    if not ended.is_clean:
        return Count(1, [f"{label}: {ended.story}"])
    changed = unlike(run, folder, prepared) if ended.code == 0 else []
    return Count(1, [f"{label}: other bytes: {', '.join(changed[:3])}"] if changed else [])


def _from_cache(rng: np.random.Generator, folder: Path, prepared: Path) -> Count:
    shutil.copytree(prepared / "hub" / "cache", folder / "cache", symlinks=True)
    harm = damage(rng, folder / "cache")
    harm.do()
    ended = hub_cache.extract_offline(folder).wait()
    label = f"cache of the hub/{harm.label}"
    if not ended.is_clean:
        return Count(1, [f"{label}: {ended.story}"])
    changed = hub_cache.unlike(folder, prepared / "hub") if ended.code == 0 else []
    return Count(1, [f"{label}: other bytes: {', '.join(changed[:3])}"] if changed else [])


PART = Part("flips", prepare, trial)
