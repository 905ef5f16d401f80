"""Extraction: one pass of a model over a corpus, into a store.

Owns the run: its blocks, who computes them, and when the store is complete. A block depends only on
the job; `block.py` computes it.
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
    """How to run an extraction; no option changes the store.

    Attributes
    ----------
    strict : bool
        Whether an unavailable checkpoint is an error; otherwise it is left out.
    discard_downloads : bool
        Whether to remove each revision's files from the hub's cache after use.
    worker : tuple of int, optional
        (i, n): compute the i-th of n equal shares, 1 ≤ i ≤ n, beside other processes.
    scheduler : str, optional
        Address of a Dask scheduler, or `local`, that computes the blocks.
    progress : bool
        Whether to show a progress bar.
    allow_v0 : bool
        Whether to allow several checkpoints of a `-v0` Pythia model.
    """

    strict: bool = False
    discard_downloads: bool = False
    worker: tuple[int, int] | None = None
    scheduler: str | None = None
    progress: bool = True
    allow_v0: bool = False


def extract(config: ExtractConfig, store: Path, options: RunOptions | None = None) -> Outcome:
    """Write the store of a configuration.

    An interrupted run continues with its first unsealed block. The result is the same store, bit for
    bit, whoever computed it. With several workers, the last one to end completes the store.

    Parameters
    ----------
    config : ExtractConfig
    store : Path
        Path of the store.
    options : RunOptions, optional

    Raises
    ------
    ActstoreError
        If a name, the text or the path is not valid, the disk fills, or an activation is not finite
        or overflows the stored dtype.
    """
    options = options or RunOptions()
    if options.discard_downloads and options.scheduler:
        raise ActstoreError("--discard-downloads does not go with --scheduler, whose workers share a cache; use --worker i/n")
    job = prepare(config, strict=options.strict, allow_v0=options.allow_v0)
    run = _resumable(job)
    return run.run(store, lambda writer: _compute(job, run, writer, options), is_shared=options.worker is not None)


def _resumable(job: Job) -> Resumable[Block]:
    return Resumable(
        job.configuration,
        job.attrs,
        job.blocks,
        lambda writer: write_axes(writer, job),
        lambda writer: write_checkpoint_axis(writer, job),
        lambda block: job.layout.stored_with(block.shard),
    )


def write_axes(writer: StoreWriter, job: Job) -> None:
    """Write what comes before the first block: labels of tokens, layers and neurons, and empty arrays."""
    for name in TOKEN_COORDS:
        writer.write(name, getattr(job.table, name))
    writer.write(LAYER, np.array(job.layout.layers))
    writer.write(NEURON, np.arange(job.layout.n_neurons))
    for array in job.layout.stored_with(0).values():
        writer.declare(array, {"long_name": array.long_name} if array.long_name else {})


def write_checkpoint_axis(writer: StoreWriter, job: Job) -> None:
    """Write the coordinates of `checkpoint` from the ledger, when every checkpoint has been loaded."""
    steps = job.steps
    seals = writer.ledger.seals()
    fingerprints = {step: seal.weights_fingerprint for (step, _), seal in seals.items()}
    for step, _ in seals:
        writer.ledger.refuse_other_weights(step, fingerprints[step])
    first_step: dict[str, int] = {}
    originals = [first_step.setdefault(fingerprints[step], step) for step in steps]
    duplicate_of = [NOT_A_DUPLICATE if first == step else first for first, step in zip(originals, steps, strict=True)]
    writer.write(CHECKPOINT, np.array(steps))
    writer.write("revision", np.array([job.source.checkpoints[step].revision for step in steps]))
    writer.write("weights_fingerprint", np.array([fingerprints[step] for step in steps]))
    writer.write("duplicate_of", np.array(duplicate_of))


def _compute(job: Job, run: Resumable[Block], writer: StoreWriter, options: RunOptions) -> None:
    """Compute the blocks of this process's share that are not sealed."""
    blocks = share(run.tasks, options.worker, len(job.layout.bounds) if options.discard_downloads else 1)
    missing = run.missing(writer, blocks, every_byte=True)  # files of an earlier run may be damaged
    n_tokens, n_missing = (sum(block.stop - block.start for block in group) for group in (blocks, missing))
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
        for number, (step, group) in enumerate(groups, 1):
            bar.set_postfix(checkpoint=step)
            model, sites, fingerprint = job.load(step)
            fetches = [ahead.submit(job.source.checkpoints[next_step].fetch) for next_step, _ in groups[number : number + 1]]
            for block in group:
                for n_tokens in runner.run(model, sites, block, fingerprint):
                    bar.update(n_tokens)
            del model, sites  # free the memory before the next checkpoint is loaded
            if discard:
                runner.wait()
                wait(fetches)  # no file may be removed from the cache during a download; loading reports its failure
                job.source.checkpoints[step].discard()
        runner.wait()
