"""Several workers and a Dask cluster write the same bytes as one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from actstore.cli.main import main
from actstore.config import ExtractConfig, TextConfig
from actstore.errors import ActstoreError
from actstore.extraction import dask_cluster as cluster_module
from actstore.extraction.block import BlockRunner
from actstore.extraction.run import RunOptions, extract
from actstore.store import layout, resumable
from actstore.store.configuration import partial_path
from actstore.store.resumable import Outcome
from actstore.verification import verify
from tests.actstore.extraction.test_resume import contents
from tests.helpers import QUIET

CONFIG = ExtractConfig("pico-neox", "16,64,4000", text=TextConfig(tokens=1000))
OPTIONS = "--quiet --model pico-neox --checkpoints 16,64,4000 --tokens 9000 --store"
COMMAND = [sys.executable, "-m", "actstore", "extract", *OPTIONS.split()]
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}
"""Sums depend on the number of threads, so bytes are compared at the same number; Dask's workers have one thread."""


@pytest.fixture
def expected(tmp_path, monkeypatch):
    """Files of a store that one process wrote without interruption."""
    monkeypatch.setattr(layout, "_SHARD_TOKENS", 260)
    extract(CONFIG, tmp_path / "expected.zarr", QUIET)
    return contents(tmp_path / "expected.zarr")


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_workers_one_after_another(expected, tmp_path, order):
    path = tmp_path / "s.zarr"
    outcomes = [extract(CONFIG, path, RunOptions(worker=(i, 3), progress=False)) for i in order]
    assert outcomes == [Outcome.SHARE_DONE, Outcome.SHARE_DONE, Outcome.WRITTEN]
    assert contents(path) == expected
    assert not partial_path(path).exists()
    assert extract(CONFIG, path, RunOptions(worker=(2, 3), progress=False)) is Outcome.ALREADY_COMPLETE


def test_a_plain_run_completes_the_store_of_workers(expected, tmp_path):
    path = tmp_path / "s.zarr"
    extract(CONFIG, path, RunOptions(worker=(2, 3), progress=False))
    assert len(list((partial_path(path) / "ledger").glob("*.json"))) == 4
    assert extract(CONFIG, path, QUIET) is Outcome.WRITTEN
    assert contents(path) == expected


@pytest.mark.slow
def test_workers_at_the_same_time(tmp_path):
    subprocess.run([*COMMAND, str(tmp_path / "expected.zarr")], check=True, capture_output=True, env=ONE_THREAD)
    path = tmp_path / "s.zarr"
    workers = [
        subprocess.Popen([*COMMAND, str(path), "--worker", f"{i}/3"], env=ONE_THREAD, stdout=subprocess.PIPE, text=True)
        for i in (1, 2, 3)
    ]
    outputs = [worker.communicate()[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert sum("written" in output for output in outputs) >= 1
    assert verify(path) == []
    assert contents(path) == contents(tmp_path / "expected.zarr")


def test_a_dask_cluster_gives_the_same_bytes(expected, tmp_path):
    path = tmp_path / "s.zarr"
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        assert extract(CONFIG, path, RunOptions(scheduler=cluster.scheduler_address, progress=False)) is Outcome.WRITTEN
    assert contents(path) == expected


def begun_on(cluster, path):
    """Start an extraction by a cluster's workers, and wait for its first seal."""
    run = subprocess.Popen([*COMMAND, str(path), "--scheduler", cluster.scheduler_address], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list((partial_path(path) / "ledger").glob("*.json")):
        assert time.monotonic() < deadline
        assert run.poll() is None
        time.sleep(0.01)
    return run


@pytest.mark.slow
def test_a_killed_dask_worker_loses_nothing(tmp_path):
    """Of two worker processes, the one that computes a block is killed."""
    from distributed import Client, LocalCluster

    subprocess.run([*COMMAND, str(tmp_path / "expected.zarr")], check=True, capture_output=True, env=ONE_THREAD)
    path = tmp_path / "s.zarr"
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        run = begun_on(cluster, path)
        busy = next(worker for worker, tasks in client.processing().items() if tasks)
        os.kill(client.run(os.getpid, workers=[busy])[busy], signal.SIGKILL)
        output, _ = run.communicate(timeout=300)
    assert (run.returncode, output) == (0, f"{path}: written\n")
    assert verify(path) == []
    assert contents(path) == contents(tmp_path / "expected.zarr")


def test_a_local_scheduler(expected, tmp_path):
    path = tmp_path / "s.zarr"
    assert extract(CONFIG, path, RunOptions(scheduler="local", progress=False)) is Outcome.WRITTEN
    assert contents(path) == expected


@pytest.mark.slow
def test_a_new_worker_takes_over_after_the_loss_of_the_only_one(tmp_path):
    """Only the lost worker had the job in memory."""
    from distributed import Client, LocalCluster

    path = tmp_path / "s.zarr"
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        run = begun_on(cluster, path)
        (only,) = client.run(os.getpid).values()
        os.kill(only, signal.SIGKILL)  # its nanny starts another
        output, _ = run.communicate(timeout=300)
    assert (run.returncode, output) == (0, f"{path}: written\n")
    assert verify(path) == []


@pytest.mark.parametrize("error", [ActstoreError("neuron 7 is too large"), ValueError("neuron 7 is too large")])
def test_an_error_of_a_worker_is_one_line(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(BlockRunner, "run", fail)
    with pytest.raises(ActstoreError, match="neuron 7 is too large"):
        extract(CONFIG, tmp_path / "s.zarr", RunOptions(scheduler="local", progress=False))


def test_a_cluster_without_workers(tmp_path, monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr(cluster_module, "_WAIT_SECONDS", 1)
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster,
        pytest.raises(ActstoreError, match="has had no worker for 1 s; start some"),
    ):
        extract(CONFIG, tmp_path / "s.zarr", RunOptions(scheduler=cluster.scheduler_address, progress=False))


def test_downloads_are_not_discarded_while_a_cluster_uses_them(tmp_path):
    with pytest.raises(ActstoreError, match="--discard-downloads does not go with --scheduler"):
        extract(CONFIG, tmp_path / "s.zarr", RunOptions(scheduler="local", discard_downloads=True))


def test_a_worker_that_starts_as_another_ends(expected, tmp_path, monkeypatch):
    path = tmp_path / "s.zarr"
    extract(CONFIG, path, QUIET)
    answers = iter([False, True])
    monkeypatch.setattr(resumable, "is_complete", lambda *_: next(answers))
    assert extract(CONFIG, path, RunOptions(worker=(1, 2), progress=False)) is Outcome.ALREADY_COMPLETE


def test_a_scheduler_that_does_not_answer(tmp_path, monkeypatch):
    with pytest.raises(ActstoreError, match=r"no Dask scheduler answers at nonsense://"):
        extract(CONFIG, tmp_path / "s.zarr", RunOptions(scheduler="nonsense://x", progress=False))


@pytest.mark.parametrize(
    ("share", "message"),
    [
        ("0/3", "i of --worker i/n must be 1 to 3, got 0"),
        ("4/3", "i of --worker i/n must be 1 to 3, got 4"),
        ("3", "e.g. 3/8"),
        ("a/b", "argument --worker: 'b' is not a whole number"),
    ],
)
def test_a_share_that_is_not_valid(share, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["extract", "--model", "pico-neox", "--store", "s.zarr", "--worker", share])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
