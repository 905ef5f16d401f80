"""A run that can be interrupted, resumed and shared among processes.

Its tasks are sealed one by one, by whichever process computes them. Owns what extraction and ablation
have in common: whether the store is already complete, which tasks are missing, which process computes
which task, and when the store gets its final name.
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
        """Index of its checkpoint on the dim."""

    @property
    def key(self) -> tuple[int, int]:
        """Training step and first token or condition, which identify its seal."""


T = TypeVar("T", bound=Task)


class Outcome(Enum):
    """How a run ended."""

    WRITTEN = "written"
    ALREADY_COMPLETE = "already complete, nothing to do"
    SHARE_DONE = "this worker's share is done; the last worker to end completes the store"


@dataclass(frozen=True)
class Resumable(Generic[T]):
    """A resumable run: all that a store is made from.

    Attributes
    ----------
    configuration, attrs : mapping
        As of `StoreWriter`.
    tasks : sequence of Task
    write_axes, close : callable (writer)
        Write what comes before the first task, and what is only known after the last one.
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
            Computes and seals the missing tasks of the share.
        is_shared : bool
            Whether other processes compute other shares.

        Raises
        ------
        StoreError
            If the store cannot be written, another store has its name, or files were lost during the run.
        """
        if is_complete(store, self.configuration):
            return Outcome.ALREADY_COMPLETE
        try:
            writer = StoreWriter(store, self.configuration, self.attrs, self.write_axes, shared=is_shared)
        except StoreExistsError:  # another worker has just finished the store
            if is_complete(store, self.configuration):
                return Outcome.ALREADY_COMPLETE
            raise
        with writer:
            compute(writer)
            is_finished = writer.finish(lambda: not self.missing(writer, self.tasks), lambda: self.close(writer))
            if not is_finished and not is_shared:
                raise StoreError(f"files of {writer.partial} were lost while it was written; run the same command again")
        return Outcome.WRITTEN if is_finished else Outcome.SHARE_DONE

    def missing(self, writer: StoreWriter, tasks: Sequence[T], *, every_byte: bool = False) -> list[T]:
        """The tasks that are still to be computed; seals whose files are missing or damaged are dropped."""
        seals = writer.ledger.seals()
        missing = []
        for task in tasks:
            seal = seals.get(task.key)
            if seal is not None and writer.holds(seal, self.arrays(task), task.index, every_byte=every_byte):
                continue
            if seal is not None:  # after a power loss a seal may remain without its file
                writer.ledger.drop(seal)
            missing.append(task)
        return missing


def share(tasks: Sequence[T], worker: tuple[int, int] | None, unit: int = 1) -> Sequence[T]:
    """The tasks of worker (i, n): the i-th of n runs of neighbouring tasks, so that it loads few checkpoints.

    Groups of `unit` tasks stay together.
    """
    number, n_workers = worker or (1, 1)
    n_units = len(tasks) // unit
    return tasks[(number - 1) * n_units // n_workers * unit : number * n_units // n_workers * unit]
