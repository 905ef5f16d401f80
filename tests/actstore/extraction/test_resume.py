"""Interruption: sealed blocks stay, the same command continues, and the result has the same bytes."""

from __future__ import annotations

import fcntl
import itertools
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from actstore.builtin import MODELS_FOLDER
from actstore.cli.main import main
from actstore.config import ExtractConfig, TextConfig
from actstore.errors import StoreError
from actstore.extraction import block
from actstore.extraction.block import BlockRunner
from actstore.extraction.run import RunOptions, extract
from actstore.files import claim
from actstore.store import layout
from actstore.store.configuration import partial_path
from actstore.store.ledger import Ledger, Seal, checksum
from actstore.store.opening import open_store
from actstore.store.resumable import Outcome
from actstore.store.writer import StoreWriter
from actstore.verification import verify
from tests.helpers import QUIET

CONFIG = ExtractConfig("pico-neox", "16,64,4000", text=TextConfig(tokens=1000))
COMMAND = [sys.executable, "-m", "actstore", "extract", "--quiet", "--model", "pico-neox", "--store"]


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Four shards a checkpoint, several pieces a shard."""
    monkeypatch.setattr(layout, "_SHARD_TOKENS", 260)
    monkeypatch.setattr(block, "_MAX_PIECE_TOKENS", 128)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A store that was written without interruption."""
    path = tmp_path_factory.mktemp("uninterrupted") / "s.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "_SHARD_TOKENS", 260)
        patch.setattr(block, "_MAX_PIECE_TOKENS", 128)
        extract(CONFIG, path, QUIET)
    return path


def interrupted_after(n_blocks, monkeypatch, path):
    """Run until `n_blocks` are sealed, then raise in the middle of the next one."""
    original, n_done = BlockRunner.run, 0

    def run(runner, *arguments):
        nonlocal n_done
        for piece_index, n_tokens in enumerate(original(runner, *arguments)):
            if n_done == n_blocks and piece_index == 1:
                runner.wait()
                raise KeyboardInterrupt
            yield n_tokens
        n_done += 1

    with monkeypatch.context() as patch:
        patch.setattr(BlockRunner, "run", run)
        with pytest.raises(KeyboardInterrupt):
            extract(CONFIG, path, QUIET)


@pytest.mark.parametrize("n_blocks", [0, 1, 5, 11])
def test_an_interrupted_run_continues_to_the_same_bytes(uninterrupted, tmp_path, monkeypatch, n_blocks):
    path = tmp_path / "s.zarr"
    interrupted_after(n_blocks, monkeypatch, path)
    assert not path.exists()
    n_sealed = len(list((partial_path(path) / "ledger").glob("*.json")))
    assert n_sealed == n_blocks
    computed = []
    original = BlockRunner.run
    monkeypatch.setattr(BlockRunner, "run", lambda *a: (computed.append(a), original(*a))[1])
    assert extract(CONFIG, path, QUIET) is Outcome.WRITTEN
    assert len(computed) == 12 - n_blocks
    assert contents(path) == contents(uninterrupted)
    assert not partial_path(path).exists()


def test_a_block_half_written_is_written_again(uninterrupted, tmp_path, monkeypatch):
    """After a crash, the files of an unsealed block may hold anything."""
    path = tmp_path / "s.zarr"
    interrupted_after(5, monkeypatch, path)
    shards = partial_path(path) / "data" / "preactivation" / "c" / "1" / "0"
    (shards / "1").mkdir(parents=True, exist_ok=True)
    (shards / "1" / "0").write_bytes(b"rubbish")
    assert not list((partial_path(path) / "scratch").iterdir()), "the interrupted block's own files are gone"
    extract(CONFIG, path, QUIET)
    assert contents(path) == contents(uninterrupted)


def test_a_seal_without_its_file_and_an_incomplete_seal_do_not_count(uninterrupted, tmp_path, monkeypatch):
    path = tmp_path / "s.zarr"
    interrupted_after(5, monkeypatch, path)
    (partial_path(path) / "data" / "mlp_input" / "c" / "0" / "0" / "1" / "0").unlink()
    (partial_path(path) / "ledger" / "16-0.json").write_text("{")
    assert extract(CONFIG, path, QUIET) is Outcome.WRITTEN
    assert contents(path) == contents(uninterrupted)


LOSSES = [
    ("data/upos/c/0", None),
    ("data/upos/c/0", b""),
    ("data/token_text/c/0", b"rubbish"),
    ("data/zarr.json", None),
    ("data/zarr.json", b"{"),
    ("data/preactivation/zarr.json", None),
    ("data/neuron/zarr.json", b"{}"),
    ("ready", None),
    ("ready", b"{"),
    ("ledger/16-0.json", b"{"),
    ("data/neuron_weight/c/0/0/0/0", None),
    ("data/preactivation/c/0/0/1/0", b""),
    ("data/surprisal/c/0/0", -3),
    ("data/mlp_input/c/0/0/2/0", -2000),
    ("data/preactivation/c/0/0/2/0", 100),
]


def lose(file, change):
    """Delete a file, replace its content, or flip a bit of the byte at an offset."""
    if change is None:
        file.unlink()
    elif isinstance(change, bytes):
        file.write_bytes(change)
    else:
        raw = bytearray(file.read_bytes())
        raw[change] ^= 1
        file.write_bytes(raw)


@pytest.mark.parametrize(("name", "change"), LOSSES)
def test_a_loss_while_unfinished_is_mended(uninterrupted, tmp_path, monkeypatch, name, change):
    """Whether labels, metadata, shards or their records are lost, the same command gives the same bytes."""
    path = tmp_path / "s.zarr"
    interrupted_after(5, monkeypatch, path)
    if name.startswith("data/mlp_input"):  # the identity of this shard
        assert isinstance(change, int)
        change = -(layout.IDENTITY_BYTES + 4)
    lose(partial_path(path) / name, change)
    assert extract(CONFIG, path, QUIET) is Outcome.WRITTEN
    assert contents(path) == contents(uninterrupted)


def test_incomplete_files_of_a_killed_process_are_no_part_of_the_store(uninterrupted, tmp_path, monkeypatch):
    path = tmp_path / "s.zarr"
    interrupted_after(5, monkeypatch, path)
    for name in ("surprisal/zarr.0f.partial", "upos/c/0.0f.partial"):
        (partial_path(path) / "data" / name).write_bytes(b"half")
    assert extract(CONFIG, path, QUIET) is Outcome.WRITTEN
    assert contents(path) == contents(uninterrupted)


def test_a_loss_between_the_last_seal_and_the_end_is_mended(uninterrupted, tmp_path, monkeypatch):
    path = tmp_path / "s.zarr"
    original = StoreWriter.finish

    def finish(writer, *arguments):
        (writer.workspace.data / "upos" / "c" / "0").write_bytes(b"")
        return original(writer, *arguments)

    monkeypatch.setattr(StoreWriter, "finish", finish)
    assert extract(CONFIG, path, QUIET) is Outcome.WRITTEN
    assert contents(path) == contents(uninterrupted)


def test_a_shard_lost_between_the_last_seal_and_the_end_is_reported(uninterrupted, tmp_path, monkeypatch):
    path = tmp_path / "s.zarr"
    original = StoreWriter.finish

    def finish(writer, *arguments):
        (writer.workspace.data / "surprisal" / "c" / "1" / "2").unlink()
        return original(writer, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "finish", finish)
        with pytest.raises(StoreError, match="were lost while it was written"):
            extract(CONFIG, path, QUIET)
    assert extract(CONFIG, path, QUIET) is Outcome.WRITTEN
    assert contents(path) == contents(uninterrupted)


def test_a_killed_process_loses_nothing_sealed(tmp_path):
    path = tmp_path / "s.zarr"
    command = [*COMMAND, str(path), "--checkpoints", "all", "--tokens", "2000"]
    process = subprocess.Popen(command)
    ledger = partial_path(path) / "ledger"
    deadline = time.monotonic() + 120
    while len(list(ledger.glob("*.json"))) < 3:
        assert time.monotonic() < deadline
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not path.exists()
    assert len(list(ledger.glob("*.json"))) >= 3
    assert subprocess.run(command, check=False).returncode == 0
    assert verify(path) == []
    assert open_store(path).sizes["checkpoint"] == 15


def test_ctrl_c_ends_with_130_and_one_line(tmp_path):
    path = tmp_path / "s.zarr"
    process = subprocess.Popen(
        [*COMMAND, str(path), "--checkpoints", "all"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # background jobs of a shell ignore SIGINT
    )
    deadline = time.monotonic() + 120
    while not list((partial_path(path) / "ledger").glob("*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130
    assert error == "actstore: interrupted\n"
    assert not path.exists()


def test_the_same_command_succeeds_once_there_is_space(tmp_path):
    """A file-size limit stands in for the full disk."""
    path = tmp_path / "s.zarr"
    command = [*COMMAND, str(path), "--tokens", "4000"]
    full = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20)),
    )
    assert (full.returncode, full.stderr.count("\n")) == (2, 1)
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert verify(path) == []


def test_another_configuration_does_not_take_over_an_unfinished_store(tmp_path, monkeypatch):
    path = tmp_path / "s.zarr"
    interrupted_after(2, monkeypatch, path)
    with pytest.raises(StoreError, match=r"unfinished with another configuration .*tokens: stored 1000, asked 900"):
        extract(replace(CONFIG, text=TextConfig(tokens=900)), path, QUIET)
    assert len(list((partial_path(path) / "ledger").glob("*.json"))) == 2


def test_a_store_that_someone_else_writes_is_left_alone(tmp_path):
    path = tmp_path / "s.zarr"
    claim(partial_path(path))
    with (partial_path(path) / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="being written by another process"):
            extract(CONFIG, path, QUIET)


def test_a_folder_of_someone_else_s_is_left_alone(tmp_path):
    """Neither overwritten nor removed, although it has the name of an unfinished store."""
    path = tmp_path / "s.zarr"
    partial_path(path).mkdir()
    (partial_path(path) / "thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match="was not written by actstore"):
        extract(CONFIG, path, QUIET)
    assert contents(tmp_path) == {"s.zarr.partial/thesis.txt": b"years of work"}


def test_verify_names_damaged_and_missing_files(uninterrupted, tmp_path, capsys):
    path = tmp_path / "s.zarr"
    shutil.copytree(uninterrupted, path)
    assert verify(path) == []
    assert main(["verify", str(path)]) == 0
    damaged = path / "preactivation" / "c" / "1" / "0" / "0" / "0"
    raw = bytearray(damaged.read_bytes())
    raw[100] ^= 1
    damaged.write_bytes(raw)
    (path / "surprisal" / "c" / "2" / "3").unlink()
    problems = verify(path)
    assert len(problems) == 2
    assert problems[0].startswith("preactivation of checkpoint 64, tokens 0 to 234: the checksum of layer 0")
    assert problems[1].startswith("surprisal of checkpoint 4000, tokens 705 to ")
    assert problems[1].endswith("the file is missing")
    assert main(["verify", str(path)]) == 2
    assert "preactivation of checkpoint 64" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["token_text/c/0", "surprisal/zarr.json", "depth/c/0"])
def test_verify_covers_labels_and_their_metadata(uninterrupted, tmp_path, name):
    path = tmp_path / "s.zarr"
    shutil.copytree(uninterrupted, path)
    raw = bytearray((path / name).read_bytes())
    raw[len(raw) // 2] ^= 4
    (path / name).write_bytes(raw)
    assert verify(path) == [f"{name}: the checksum differs"]
    (path / name).unlink()
    assert verify(path) == [f"{name}: the file is missing"]


def test_labels_that_cannot_be_read_are_reported(uninterrupted, tmp_path):
    path = tmp_path / "s.zarr"
    shutil.copytree(uninterrupted, path)
    (path / "token_text" / "c" / "0").write_bytes(b"\x00" * 40)
    with pytest.raises(StoreError, match=r"the checksum of .*token_text/c/0 differs"):
        open_store(path)


def test_an_ablation_s_results_are_verified(run_folder, tmp_path):
    path = tmp_path / "a.zarr"
    shutil.copytree(run_folder / "ablation.zarr", path)
    assert verify(path) == []
    (path / "perplexity" / "c" / "0" / "0").write_bytes(b"\x00" * 8)
    assert verify(path) == ["perplexity/c/0/0: the checksum differs"]


def test_verify_needs_a_ledger(uninterrupted, tmp_path):
    path = tmp_path / "s.zarr"
    shutil.copytree(uninterrupted, path)
    shutil.rmtree(path / "ledger")
    with pytest.raises(StoreError, match="no ledger"):
        verify(path)


@pytest.fixture
def model_folder(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(MODELS_FOLDER / "pico-neox", folder)
    return folder


def change_weights(file):
    raw = bytearray(file.read_bytes())
    raw[-100:] = bytes(100)
    file.write_bytes(raw)


def test_a_model_that_changed_is_another_configuration(model_folder, tmp_path):
    config = replace(CONFIG, model=str(model_folder))
    assert extract(config, tmp_path / "s.zarr", QUIET) is Outcome.WRITTEN
    assert extract(config, tmp_path / "s.zarr", QUIET) is Outcome.ALREADY_COMPLETE
    change_weights(model_folder / "step64" / "model.safetensors")
    with pytest.raises(StoreError, match=r"another configuration \(weights_digest"):
        extract(config, tmp_path / "s.zarr", QUIET)


def test_blocks_of_one_checkpoint_have_the_same_weights(tmp_path, monkeypatch):
    path = tmp_path / "s.zarr"
    interrupted_after(2, monkeypatch, path)
    ledger = Ledger(partial_path(path) / "ledger")
    seal = next(iter(ledger.seals().values()))
    ledger.add(replace(seal, weights_fingerprint="another"))
    with pytest.raises(StoreError, match="checkpoint 16 was begun with other weights"):
        extract(CONFIG, path, QUIET)


def test_a_seal_without_its_file_is_dropped(tmp_path, monkeypatch):
    path = tmp_path / "s.zarr"
    interrupted_after(5, monkeypatch, path)
    (partial_path(path) / "data" / "surprisal" / "c" / "0" / "1").unlink()
    assert extract(CONFIG, path, RunOptions(worker=(3, 3), progress=False)) is Outcome.SHARE_DONE
    seals = Ledger(partial_path(path) / "ledger").seals()
    assert (16, 0) in seals
    assert (16, 235) not in seals


@pytest.mark.parametrize("field", ["stop", "weights_fingerprint", "checksums", "digest"])
def test_a_damaged_seal_costs_its_block_and_nothing_else(tmp_path, monkeypatch, field):
    path = tmp_path / "s.zarr"
    extract(CONFIG, tmp_path / "uninterrupted.zarr", QUIET)
    interrupted_after(2, monkeypatch, path)
    file = min((partial_path(path) / "ledger").glob("*.json"))
    text = file.read_text()
    offset = text.index(f'"{field}": ') + len(field) + 6
    file.write_text(text[:offset] + chr(ord(text[offset]) ^ 1) + text[offset + 1 :])
    assert extract(CONFIG, path, QUIET) is Outcome.WRITTEN
    assert contents(path) == contents(tmp_path / "uninterrupted.zarr")


def test_checksum_is_of_values_in_order():
    values = np.arange(12, dtype=np.float16).reshape(3, 4)
    assert checksum(values) == checksum(values.copy(order="F"))
    assert checksum(values) != checksum(values[::-1])
    assert checksum(np.frombuffer(b"123456789", dtype=np.uint8)) == "e3069283"  # the check value of CRC-32C


def test_seals_are_in_numeric_order(tmp_path):
    ledger = Ledger(tmp_path)
    for step, start in itertools.product((1000, 9), (512, 64)):
        ledger.add(Seal(step, start, start + 1, "", {}))
    assert list(ledger.seals()) == [(9, 64), (9, 512), (1000, 64), (1000, 512)]
