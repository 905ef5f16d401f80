"""Extraction on a Dask cluster: the same blocks, computed by its workers.

Owns the hand-over. Retries, the loss of workers and the dashboard are Dask's. Workers write into
the store's workspace themselves, so they must see the same file system.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from actstore.block import Block, BlockRunner
from actstore.errors import ActstoreError, ModelError
from actstore.store import Workspace

if TYPE_CHECKING:
    from actstore.extract import Job

_loaded: dict[tuple[Any, ...], Any] = {}
_one_at_a_time = threading.Lock()


def run_blocks(job: Job, blocks: Sequence[Block], workspace: Workspace, address: str, done: Callable[[int], object]) -> None:
    """Compute blocks on a cluster.

    Parameters
    ----------
    job : Job
    blocks : sequence of Block
    workspace : Workspace
        On a file system that all workers share.
    address : str
        Of a Dask scheduler, or `local` for one in this process.
    done : callable
        Called with the number of tokens of each finished block.

    Raises
    ------
    ActstoreError
        If `distributed` is not installed, the scheduler cannot be reached, or a block fails.
    """
    try:
        from distributed import as_completed
    except ImportError:
        raise ModelError("--scheduler needs Dask's scheduler: pip install 'actstore[cluster]'") from None
    absolute = Workspace(workspace.data.resolve(), workspace.ledger.resolve(), workspace.scratch.resolve())
    with _client(address) as client:
        shared = client.scatter(job, broadcast=True)
        futures = {client.submit(compute, shared, block, absolute, pure=False, retries=2): block for block in blocks}
        try:
            for future in as_completed(futures):
                future.result()
                done(futures[future].stop - futures[future].start)
        except BaseException:
            client.cancel(list(futures))
            raise


@contextmanager
def _client(address: str) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    if address == "local":
        with (
            LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(address, timeout="20s")
    except (OSError, ValueError) as error:
        raise ActstoreError(f"no Dask scheduler answers at {address}: {error}") from None
    with client:
        yield client


def compute(job: Job, block: Block, workspace: Workspace) -> None:
    """One block, on a worker; the worker keeps the last checkpoint's model."""
    with _one_at_a_time:  # threads of a worker would share one model's hooks
        key = (job.source.name, block.step, job.config)
        if key not in _loaded:
            _loaded.clear()
            _loaded[key] = job.load(block.step)
        model, sites, fingerprint = _loaded[key]
        with BlockRunner(job.table, job.layout, job.config.window, job.config.device, workspace) as runner:
            for _ in runner.run(model, sites, block, fingerprint):
                pass
            runner.wait()
