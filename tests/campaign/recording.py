"""A recording of what a process does to a folder (writes, syncs, names), and what a disk may hold after a power loss.

Owns the model of a disk without promises beyond those of POSIX: bytes last once their file is
synced, a name once its folder is. A recording is made in the process itself: every call that makes
something last, or changes a name, notes first what was written since the one before.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

_NAMING = ("rename", "replace", "unlink", "remove", "mkdir", "rmdir", "link", "symlink")


@dataclass(frozen=True)
class Event:
    """One thing done: `content` and `sync` of a file, `names` and `sync names` of a folder.

    Files and folders have numbers, which go with them wherever they are renamed to; `value` is a
    file's bytes, or a folder's name → (number, whether it is a folder).
    """

    kind: str
    number: int
    value: Any = None
    note: str = ""


class Recorder:
    """Records what this process does below a folder while it is installed.

    Parameters
    ----------
    root : Path
    """

    def __init__(self, root: Path) -> None:
        self.events: list[Event] = []
        self._root = root.resolve()
        self._lock = threading.RLock()
        self._numbers: dict[tuple[int, int], int] = {}
        self._next = 0
        self._last: dict[int, Any] = {}
        self._scan()
        self.events += [Event("sync", number, value) for number, value in self._last.items()]  # from long ago
        self.n_before = len(self.events)

    def install(self) -> None:
        """Wrap the calls of `os`, through which all of Python goes."""
        for name in _NAMING:
            setattr(os, name, self._wrapped(getattr(os, name), self._named))
        for name in ("fsync", "fdatasync"):
            setattr(os, name, self._wrapped(getattr(os, name), self._synced))

    def note(self, text: str) -> None:
        """Leave a mark, such as that a promise has been made."""
        with self._lock:
            self.events.append(Event("note", 0, note=text))

    def _wrapped(self, call: Callable[..., Any], after: Callable[..., None]) -> Callable[..., Any]:
        @functools.wraps(call)
        def recorded(*arguments: Any, **options: Any) -> Any:
            with self._lock:
                self._scan()
                result = call(*arguments, **options)
                after(*arguments)
                return result

        return recorded

    def _named(self, *_: Any) -> None:
        self._scan()

    def _synced(self, file: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{file}"))
        if path == self._root or self._root in path.parents:
            number = self._number(os.fstat(file))
            self.events.append(Event("sync", number, self._last.get(number)))

    def _number(self, status: os.stat_result) -> int:
        key = (status.st_ino, status.st_dev)
        if key not in self._numbers:
            self._numbers[key] = self._next = self._next + 1
        return self._numbers[key]

    def _scan(self) -> None:
        """Note every file and folder that is not as it was."""
        seen = set()
        for folder, names in _folders(self._root):
            seen.add(number := self._number(folder.stat()))
            listing = {name: (self._number(status), is_folder) for name, status, is_folder in names}
            for name, (child, is_folder) in listing.items():
                seen.add(child)
                if not is_folder:  # read, whatever its times say: they are too coarse
                    self._put("content", child, _bytes(folder / name))
            self._put("names", number, listing)
        # The inode of what is gone may be used again.
        self._numbers = {key: number for key, number in self._numbers.items() if number in seen}

    def _put(self, kind: str, number: int, value: Any) -> None:
        if self._last.get(number) != value:
            self._last[number] = value
            self.events.append(Event(kind, number, value))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # another thread was faster
        return b""


def _folders(root: Path) -> Iterator[tuple[Path, list[tuple[str, os.stat_result, bool]]]]:
    """Every folder with its entries; what another thread removes meanwhile is left out."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        entries = []
        try:
            for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
                is_folder = entry.is_dir(follow_symlinks=False)
                if entry.is_symlink():
                    continue
                entries.append((entry.name, entry.stat(follow_symlinks=False), is_folder))
                waiting += [folder / entry.name] if is_folder else []
        except FileNotFoundError:
            continue
        yield folder, entries


@dataclass
class _DiskState:
    """One file or folder: what is sure to be on disk, and what was written since."""

    synced: Any = None
    since: list[Any] = field(default_factory=list)


def after_power_loss(events: list[Event], rng: np.random.Generator, folder: Path) -> list[str]:
    """Make a folder what a disk may hold after these events; the notes among them.

    Parameters
    ----------
    events : list of Event
        Of a recording, up to the moment when power is lost. The first folder of it is the root.
    rng : Generator
        Of two contents or names that may both be there, it draws.
    folder : Path
        Empty, or the root as it was before the recording.
    """
    states: dict[int, _DiskState] = {}
    for event in events:
        state = states.setdefault(event.number, _DiskState())
        if event.kind == "sync":
            state.synced, state.since = event.value, []
        elif event.kind in ("content", "names"):
            state.since.append(event.value)
    root = next(event.number for event in events if event.kind == "names")
    _rebuild(states, root, rng, folder)
    return [event.note for event in events if event.kind == "note"]


def _rebuild(states: dict[int, _DiskState], number: int, rng: np.random.Generator, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, (child, is_folder) in _some_names(states.get(number, _DiskState({})), rng).items():
        if is_folder:
            _rebuild(states, child, rng, folder / name)
        else:
            (folder / name).write_bytes(_some_bytes(states.get(child, _DiskState(b"")), rng))


def _some_names(state: _DiskState, rng: np.random.Generator) -> dict[str, tuple[int, bool]]:
    """Each name as it was synced, or as it was at any time since."""
    versions = [state.synced or {}, *state.since]
    names = sorted({name for version in versions for name in version})
    policy = rng.choice(["old", "new", "any"])
    listing = {}
    for name in names:
        index = {"old": 0, "new": len(versions) - 1, "any": int(rng.integers(len(versions)))}[policy]
        if name in versions[index]:
            listing[name] = versions[index][name]
    return listing


def _some_bytes(state: _DiskState, rng: np.random.Generator) -> bytes:
    """A file's bytes as synced, or of what was written since: all, a beginning, a beginning and zeros, or nothing."""
    if not state.since:
        return bytes(state.synced)
    written = state.since[rng.integers(len(state.since))]
    cut = int(rng.integers(len(written) + 1))
    choices = [written, written[:cut], written[:cut] + bytes(len(written) - cut), b""]
    if state.synced is not None:
        choices.append(state.synced)
    return bytes(choices[rng.integers(len(choices))])
