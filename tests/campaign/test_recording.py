"""The model of a disk: what is synced lasts, what is not may be old, new, cut short or zero."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.campaign.recording import Recorder, after_power_loss


@pytest.fixture
def recorder(tmp_path, monkeypatch):
    for name in ("rename", "replace", "unlink", "remove", "mkdir", "rmdir", "link", "symlink", "fsync", "fdatasync"):
        monkeypatch.setattr(os, name, getattr(os, name))  # as it was, afterwards
    root = tmp_path / "root"
    root.mkdir()
    (root / "old").write_bytes(b"before")
    recorder = Recorder(root)
    recorder.install()
    return recorder, root


def states(recorder: Recorder, to: Path, n: int = 200) -> list[dict[str, bytes]]:
    """What may be on disk after the whole recording."""
    drawn = []
    for seed in range(n):
        folder = to / str(seed)
        after_power_loss(recorder.events, np.random.default_rng(seed), folder)
        drawn.append({p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()})
    return drawn


def sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.close(file)


def test_what_is_synced_with_its_name_is_always_there(recorder, tmp_path):
    recorder, root = recorder
    (root / "new.partial").write_bytes(b"whole")
    sync(root / "new.partial")
    (root / "new.partial").replace(root / "new")
    sync(root)
    assert all(state == {"old": b"before", "new": b"whole"} for state in states(recorder, tmp_path))


def test_a_name_whose_folder_is_not_synced_is_old_or_new(recorder, tmp_path):
    recorder, root = recorder
    (root / "new").write_bytes(b"whole")
    sync(root / "new")
    (root / "new").replace(root / "old")
    drawn = [state.get("old") for state in states(recorder, tmp_path)]
    assert set(drawn) == {b"before", b"whole"}


def test_bytes_that_are_not_synced_may_be_anything_that_was_on_its_way(recorder, tmp_path):
    recorder, root = recorder
    (root / "old").write_bytes(b"after!")
    (root / "folder").mkdir()
    sync(root)
    drawn = {state["old"] for state in states(recorder, tmp_path)}
    assert {b"before", b"after!", b"", bytes(6)} <= drawn
    assert all(value == b"before" or b"after!".startswith(value.rstrip(b"\0")) for value in drawn)


def test_a_folder_whose_name_is_not_synced_may_be_gone_with_all_in_it(recorder, tmp_path):
    recorder, root = recorder
    (root / "folder").mkdir()
    (root / "folder" / "file").write_bytes(b"x")
    sync(root / "folder" / "file")
    sync(root / "folder")
    drawn = [state.get("folder/file") for state in states(recorder, tmp_path)]
    assert set(drawn) == {None, b"x"}
