"""Extraction: one pass of a model over a corpus, into a store.

Owns the run: which blocks there are, who computes them, and when the store is whole. A block is a
pure function of the job; `block.py` computes it.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from actstore.errors import ActstoreError, StoreError, StoreExistsError
from actstore.extraction.block import Block, BlockRunner
from actstore.extraction.job import ExtractConfig, Job, prepare
from actstore.store.schema import CHECKPOINT, LAYER, NEURON, NOT_A_DUPLICATE, TOKEN_COORDS
from actstore.store.writer import StoreWriter, Workspace, is_complete

_log = logging.getLogger("actstore")


@dataclass(frozen=True)
class RunOptions:
    """How to run an extraction; nothing here changes the store.

    Attributes
    ----------
    strict : bool
        Whether a checkpoint that cannot be had is an error instead of being left out.
    discard_downloads : bool
        Whether to free each revision's files in the hub's cache after use.
    worker : tuple of int, optional
        (i, n): compute the i-th of n equal shares, 1 ≤ i ≤ n, beside other processes.
    scheduler : str, optional
        Address of a Dask scheduler, or `local`, that computes the blocks.
    progress : bool
        Whether to show a progress bar.
    allow_v0 : bool
        Whether several checkpoints of a `-v0` Pythia model may be taken.
    """

    strict: bool = False
    discard_downloads: bool = False
    worker: tuple[int, int] | None = None
    scheduler: str | None = None
    progress: bool = True
    allow_v0: bool = False


class Outcome(Enum):
    """How an extraction ended."""

    WRITTEN = "written"
    ALREADY_COMPLETE = "already complete, nothing to do"
    SHARE_DONE = "this worker's share is done; the last worker to end completes the store"


def extract(config: ExtractConfig, store: Path, options: RunOptions | None = None) -> Outcome:
    """Write the store of a configuration.

    An interrupted run continues with its first unsealed block; the result is the same store, bit
    for bit, whoever computed it. As one of several workers it is whole when the last of them ends.

    Parameters
    ----------
    config : ExtractConfig
    store : Path
        Where the store is to be.
    options : RunOptions, optional

    Raises
    ------
    ActstoreError
        If a name, the text or the path does not fit, the disk fills, or an activation is not
        finite or overflows the stored dtype.
    """
    options = options or RunOptions()
    if options.discard_downloads and options.scheduler:
        raise ActstoreError("--discard-downloads does not go with --scheduler, whose workers share a cache; use --worker i/n")
    job = prepare(config, strict=options.strict, allow_v0=options.allow_v0)
    if is_complete(store, job.configuration):
        return Outcome.ALREADY_COMPLETE
    try:
        writer = StoreWriter(
            store, job.configuration, job.attrs, lambda writer: write_axes(writer, job), shared=options.worker is not None
        )
    except StoreExistsError:  # another worker was the last, just now
        if is_complete(store, job.configuration):
            return Outcome.ALREADY_COMPLETE
        raise
    with writer:
        _compute(job, writer, options)
        whole = writer.finish(lambda: not missing_blocks(job, writer, job.blocks), lambda: write_checkpoint_axis(writer, job))
        if not whole and options.worker is None:
            raise StoreError(f"files of {writer.partial} were lost while it was written; run the same command again")
    return Outcome.WRITTEN if whole else Outcome.SHARE_DONE


def missing_blocks(job: Job, writer: StoreWriter, blocks: Sequence[Block], *, every_byte: bool = False) -> list[Block]:
    """Which blocks are still to be computed; the seal of one whose files are gone, or damaged, is dropped."""
    seals = writer.ledger.seals()
    missing = []
    for block in blocks:
        seal = seals.get((block.step, block.start))
        arrays = job.layout.stored_with(block.shard)
        if seal is not None and writer.holds(seal, arrays, block.index, every_byte=every_byte):
            continue
        if seal is not None:  # a power loss may keep the seal and lose a file
            writer.ledger.drop(seal)
        missing.append(block)
    return missing


def write_axes(writer: StoreWriter, job: Job) -> None:
    """What is there before the first block: labels of tokens, layers and neurons, and empty arrays."""
    for name in TOKEN_COORDS:
        writer.write(name, getattr(job.table, name))
    writer.write(LAYER, np.array(job.layout.layers))
    writer.write(NEURON, np.arange(job.layout.n_neurons))
    for array in job.layout.stored_with(0).values():
        writer.declare(array, {"long_name": array.long_name} if array.long_name else {})


def write_checkpoint_axis(writer: StoreWriter, job: Job) -> None:
    """The coordinates of `checkpoint`, from the ledger: known only when every checkpoint was loaded."""
    steps = job.steps
    seals = writer.ledger.seals()
    of_step = {step: seal.weights_fingerprint for (step, _), seal in seals.items()}
    for step, _ in seals:
        writer.ledger.refuse_other_weights(step, of_step[step])
    first: dict[str, int] = {}
    duplicates = [first.setdefault(of_step[step], step) for step in steps]
    writer.write(CHECKPOINT, np.array(steps))
    writer.write("revision", np.array([job.source.checkpoints[step].revision for step in steps]))
    writer.write("weights_fingerprint", np.array([of_step[step] for step in steps]))
    writer.write(
        "duplicate_of", np.array([NOT_A_DUPLICATE if d == step else d for d, step in zip(duplicates, steps, strict=True)])
    )


def _compute(job: Job, writer: StoreWriter, options: RunOptions) -> None:
    """Every block of this process's share that is not sealed yet."""
    share = _share(job, options.worker, whole_checkpoints=options.discard_downloads)
    to_do = missing_blocks(job, writer, share, every_byte=True)  # what an earlier run left may have been damaged since
    total = sum(block.stop - block.start for block in share)
    left = sum(block.stop - block.start for block in to_do)
    with tqdm(total=total, initial=total - left, unit="token", unit_scale=True, desc=job.source.name,
              disable=not options.progress) as bar:  # fmt: skip
        if options.scheduler:
            from actstore.extraction.dask_cluster import run_blocks

            run_blocks(job, to_do, writer.workspace, options.scheduler, bar.update)
        else:
            _run_blocks(job, to_do, writer.workspace, options.discard_downloads, bar)


def _share(job: Job, worker: tuple[int, int] | None, *, whole_checkpoints: bool) -> list[Block]:
    """Neighbouring blocks, so that a worker loads few checkpoints, or none that another one loads."""
    number, of = worker or (1, 1)
    unit = len(job.layout.bounds) if whole_checkpoints else 1
    n_units = len(job.blocks) // unit
    return job.blocks[(number - 1) * n_units // of * unit : number * n_units // of * unit]


def _run_blocks(job: Job, blocks: list[Block], workspace: Workspace, discard: bool, bar: Any) -> None:
    groups = [(step, list(group)) for step, group in itertools.groupby(blocks, key=lambda block: block.step)]
    with (
        BlockRunner(job.table, job.layout, job.config.window, job.config.device, workspace) as runner,
        ThreadPoolExecutor(1, thread_name_prefix="actstore-fetch") as ahead,
    ):
        for number, (step, group) in enumerate(groups):
            bar.set_postfix(checkpoint=step)
            model, sites, fingerprint = job.load(step)
            fetched = [
                ahead.submit(job.source.checkpoints[following].fetch) for following, _ in groups[number + 1 : number + 2]
            ]
            for block in group:
                for n_tokens in runner.run(model, sites, block, fingerprint):
                    bar.update(n_tokens)
            del model, sites  # before the next one is loaded
            if discard:
                runner.wait()
                wait(fetched)  # the cache is in no state to be tidied while it is filled; a failure is told on loading
                job.source.checkpoints[step].discard()
        runner.wait()
