"""Extraction on a Dask cluster: the same blocks, computed by its workers.

Owns the transfer of the job to the workers. Dask handles retries, lost workers and the dashboard.
Workers write into the store's workspace themselves, so they must share a file system.
"""

from __future__ import annotations

import pickle
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actstore.errors import ActstoreError, ModelError, first_line
from actstore.extraction.block import Block, BlockRunner
from actstore.extraction.job import Job
from actstore.files import disk_errors
from actstore.store.writer import Workspace

_WAIT_SECONDS = 60
_loaded: dict[tuple[Path, int], Any] = {}
_model_lock = threading.Lock()


def run_blocks(
    job: Job, blocks: Sequence[Block], workspace: Workspace, address: str, progress: Callable[[int], object]
) -> None:
    """Compute blocks on a cluster.

    Parameters
    ----------
    job : Job
    blocks : sequence of Block
    workspace : Workspace
        On a file system that all workers share.
    address : str
        Address of a Dask scheduler, or `local` for one in this process.
    progress : callable
        Called with the number of tokens of each finished block.

    Raises
    ------
    ActstoreError
        If `distributed` is not installed, the scheduler cannot be reached or has no worker, or a
        block fails.
    """
    try:
        from distributed import as_completed
    except ImportError:
        raise ModelError("--scheduler needs Dask's scheduler: pip install 'actstore[cluster]'") from None
    absolute = Workspace(workspace.data.resolve(), workspace.ledger.resolve(), workspace.scratch.resolve())
    with _client(address) as client, _job_file(job, absolute) as file:
        futures = {client.submit(compute, file, block, absolute, pure=False): block for block in blocks}
        try:
            for future in as_completed(futures):
                future.result()
                progress(futures[future].stop - futures[future].start)
        except (ActstoreError, KeyboardInterrupt):
            client.cancel(list(futures))
            raise
        except Exception as error:  # from a worker, its loss or the connection
            client.cancel(list(futures))
            reason = first_line(error)
            raise ActstoreError(f"the cluster at {address} failed: {reason}; the same command continues from here") from error


@contextmanager
def _job_file(job: Job, workspace: Workspace) -> Iterator[Path]:
    """The job as a file, which a new worker can read even if all earlier ones are lost."""
    file = workspace.scratch / f"job-{uuid.uuid4().hex}.pickle"
    with disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pickle.dumps(job))
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)


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
        try:
            client.wait_for_workers(1, timeout=_WAIT_SECONDS)
        except TimeoutError:
            raise ActstoreError(
                f"the Dask scheduler at {address} has had no worker for {_WAIT_SECONDS} s; start some"
            ) from None
        yield client


def compute(file: Path, block: Block, workspace: Workspace) -> None:
    """Compute a block on a worker, which keeps the job and the model of the last checkpoint in memory."""
    with _model_lock:  # threads of a worker share a model and its hooks
        key = (file, block.step)
        if key not in _loaded:
            _loaded.clear()
            job: Job = pickle.loads(file.read_bytes())
            _loaded[key] = (job, *job.load(block.step))
        job, model, sites, fingerprint = _loaded[key]
        with BlockRunner(job.table, job.layout, job.config.text.window, job.config.run.device, workspace) as runner:
            for _ in runner.run(model, sites, block, fingerprint):
                pass
            runner.wait()
