"""A run that can be broken off, resumed and shared: tasks that are sealed one by one, whoever computes them.

Owns what every such run has in common: when there is nothing to do, which tasks are missing, who
computes which, and when the store gets its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from actstore.errors import StoreError, StoreExistsError
from actstore.store.layout import ArrayLayout
from actstore.store.writer import StoreWriter, is_complete


class Task(Protocol):
    """A part of a store that is sealed as one."""

    @property
    def index(self) -> int:
        """Place of its checkpoint on the dim."""

    @property
    def key(self) -> tuple[int, int]:
        """Training step, and the first token or condition: what tells its seal from others."""


T = TypeVar("T", bound=Task)


class Outcome(Enum):
    """How a run ended."""

    WRITTEN = "written"
    ALREADY_COMPLETE = "already complete, nothing to do"
    SHARE_DONE = "this worker's share is done; the last worker to end completes the store"


@dataclass(frozen=True)
class Resumable(Generic[T]):
    """All that a store is made from.

    Attributes
    ----------
    configuration, attrs : mapping
        As of `StoreWriter`.
    tasks : sequence of Task
    write_axes, close : callable (writer)
        Write what is there before the first task, and what can only be known after the last.
    arrays : callable (task)
        The sharded arrays that a task writes, by name.
    """

    configuration: Mapping[str, Any]
    attrs: Mapping[str, Any]
    tasks: Sequence[T]
    write_axes: Callable[[StoreWriter], None]
    close: Callable[[StoreWriter], None]
    arrays: Callable[[T], Mapping[str, ArrayLayout]] = lambda _: {}

    def run(self, store: Path, compute: Callable[[StoreWriter], None], *, is_shared: bool) -> Outcome:
        """Write the store, or this process's share of it.

        Parameters
        ----------
        store : Path
        compute : callable (writer)
            Computes and seals what is missing of the share.
        is_shared : bool
            Whether other processes compute other shares.

        Raises
        ------
        StoreError
            If the store cannot be written, another one is in the way, or files were lost meanwhile.
        """
        if is_complete(store, self.configuration):
            return Outcome.ALREADY_COMPLETE
        try:
            writer = StoreWriter(store, self.configuration, self.attrs, self.write_axes, shared=is_shared)
        except StoreExistsError:  # another worker was the last, just now
            if is_complete(store, self.configuration):
                return Outcome.ALREADY_COMPLETE
            raise
        with writer:
            compute(writer)
            is_whole = writer.finish(lambda: not self.missing(writer, self.tasks), lambda: self.close(writer))
            if not is_whole and not is_shared:
                raise StoreError(f"files of {writer.partial} were lost while it was written; run the same command again")
        return Outcome.WRITTEN if is_whole else Outcome.SHARE_DONE

    def missing(self, writer: StoreWriter, tasks: Sequence[T], *, every_byte: bool = False) -> list[T]:
        """Which of these tasks are to be computed; the seal of one whose files are gone or damaged is dropped."""
        seals = writer.ledger.seals()
        missing = []
        for task in tasks:
            seal = seals.get(task.key)
            if seal is not None and writer.holds(seal, self.arrays(task), task.index, every_byte=every_byte):
                continue
            if seal is not None:  # a power loss may keep the seal and lose a file
                writer.ledger.drop(seal)
            missing.append(task)
        return missing


def share(tasks: Sequence[T], worker: tuple[int, int] | None, unit: int = 1) -> Sequence[T]:
    """The i-th of n shares: neighbouring tasks, so that a worker loads few checkpoints; whole groups of `unit` tasks."""
    number, of = worker or (1, 1)
    n_units = len(tasks) // unit
    return tasks[(number - 1) * n_units // of * unit : number * n_units // of * unit]
