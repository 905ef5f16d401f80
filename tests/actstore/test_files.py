"""Folders of ours are known as ours for as long as anything is in them, and no others are touched."""

from __future__ import annotations

import shutil

import pytest

from actstore import files
from actstore.errors import StoreError
from actstore.files import MARKER, claim, refuse_foreign, remove


def unfinished(folder):
    """A marker, and a ledger of seals."""
    claim(folder)
    (folder / "ledger").mkdir()
    (folder / "ledger" / "64-0.json").write_text("{}")


def finished(folder):
    """No marker: its ledger says what it is."""
    (folder / "ledger").mkdir(parents=True)
    (folder / "ledger" / "zarr.json").write_text("{}")


@pytest.mark.parametrize("fill", [unfinished, finished])
def test_a_removal_that_is_broken_off_leaves_a_folder_of_ours(tmp_path, monkeypatch, fill):
    """After every file and folder that is taken away, whichever goes first."""
    folder = tmp_path / "s"
    fill(folder)
    (folder / "data").mkdir()
    (folder / "data" / "0").write_text("x")
    seen = []

    def looked(call):
        def wrapped(path, *arguments, **options):
            call(path, *arguments, **options)
            if folder.exists():
                refuse_foreign(folder)
                seen.append(path)

        return wrapped

    monkeypatch.setattr(files.shutil, "rmtree", looked(shutil.rmtree))
    remove(folder)
    assert not folder.exists()
    assert len(seen) == 2, "the data and the ledger, and then the rest with the marker"


def test_what_another_program_wrote_stays(tmp_path):
    (tmp_path / "theirs").mkdir()
    claim(tmp_path / "theirs")  # empty: nobody's loss
    assert (tmp_path / "theirs" / MARKER).exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    for act in (claim, refuse_foreign):
        with pytest.raises(StoreError, match="was not written by actstore"):
            act(tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "x"
