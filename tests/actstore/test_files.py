"""A folder of this package is recognised until it is empty, and no other folder is touched."""

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
    """No marker: the ledger marks the folder."""
    (folder / "ledger").mkdir(parents=True)
    (folder / "ledger" / "zarr.json").write_text("{}")


@pytest.mark.parametrize("fill", [unfinished, finished])
def test_an_interrupted_removal_leaves_a_folder_that_is_recognised(tmp_path, monkeypatch, fill):
    """After each file or folder is removed, in any order."""
    folder = tmp_path / "s"
    fill(folder)
    (folder / "data").mkdir()
    (folder / "data" / "0").write_text("x")
    removed = []

    def checked(rmtree):
        def wrapped(path, *arguments, **options):
            rmtree(path, *arguments, **options)
            if folder.exists():
                refuse_foreign(folder)
                removed.append(path)

        return wrapped

    monkeypatch.setattr(files.shutil, "rmtree", checked(shutil.rmtree))
    remove(folder)
    assert not folder.exists()
    assert len(removed) == 2, "the data and the ledger; the marker goes last, with the folder"


def test_files_of_another_program_stay(tmp_path):
    (tmp_path / "theirs").mkdir()
    claim(tmp_path / "theirs")  # empty
    assert (tmp_path / "theirs" / MARKER).exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    for refuse in (claim, refuse_foreign):
        with pytest.raises(StoreError, match="was not written by actstore"):
            refuse(tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "x"
