"""Extraction: one pass of a model over a corpus, into a store.

Owns the run: which blocks there are, who computes them, and when the store is whole. A block is a
pure function of the job; `block.py` computes it.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from actstore.config import ExtractConfig
from actstore.errors import ActstoreError
from actstore.extraction.block import Block, BlockRunner
from actstore.extraction.job import Job, prepare
from actstore.store.resumable import Outcome, Resumable, share
from actstore.store.schema import CHECKPOINT, LAYER, NEURON, NOT_A_DUPLICATE, TOKEN_COORDS
from actstore.store.writer import StoreWriter, Workspace


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
    run = _resumable(job)
    return run.run(store, lambda writer: _compute(job, run, writer, options), is_shared=options.worker is not None)


def _resumable(job: Job) -> Resumable[Block]:
    """The run of a job."""
    return Resumable(
        job.configuration,
        job.attrs,
        job.blocks,
        lambda writer: write_axes(writer, job),
        lambda writer: write_checkpoint_axis(writer, job),
        lambda block: job.layout.stored_with(block.shard),
    )


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


def _compute(job: Job, run: Resumable[Block], writer: StoreWriter, options: RunOptions) -> None:
    """Every block of this process's share that is not sealed yet."""
    blocks = share(run.tasks, options.worker, len(job.layout.bounds) if options.discard_downloads else 1)
    missing = run.missing(writer, blocks, every_byte=True)  # what an earlier run left may have been damaged since
    n_tokens, n_missing = (sum(block.stop - block.start for block in some) for some in (blocks, missing))
    with tqdm(
        total=n_tokens,
        initial=n_tokens - n_missing,
        unit="token",
        unit_scale=True,
        desc=job.source.name,
        disable=not options.progress,
    ) as bar:
        if options.scheduler:
            from actstore.extraction.dask_cluster import run_blocks

            run_blocks(job, missing, writer.workspace, options.scheduler, bar.update)
        else:
            _run_blocks(job, missing, writer.workspace, options.discard_downloads, bar)


def _run_blocks(job: Job, blocks: list[Block], workspace: Workspace, discard: bool, bar: Any) -> None:
    groups = [(step, list(group)) for step, group in itertools.groupby(blocks, key=lambda block: block.step)]
    with (
        BlockRunner(job.table, job.layout, job.config.text.window, job.config.run.device, workspace) as runner,
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
