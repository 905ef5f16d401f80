"""Damage is noticed, by `verify` and by reading, in every file of every kind of store and result."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from actstore.config import ExtractConfig, TextConfig
from actstore.errors import ActstoreError, StoreError
from actstore.extraction.run import extract
from actstore.selection.selection import Selection
from actstore.store import layout
from actstore.store.opening import open_store
from actstore.verification import verify
from analysis.results import load_dataset, load_table
from tests.helpers import QUIET


@pytest.fixture(scope="module")
def stores(tmp_path_factory, run_folder) -> dict[str, Path]:
    """One of every kind, to be damaged and mended again."""
    folder = tmp_path_factory.mktemp("damage")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "_SHARD_TOKENS", 120)
        extract(ExtractConfig("pico-neox", "64,4000", layers="0,2", text=TextConfig(tokens=300)), folder / "store.zarr", QUIET)
    shutil.copytree(run_folder / "ablation.zarr", folder / "ablation.zarr")
    shutil.copytree(run_folder / "analysis", folder / "analysis")
    return {name: folder / name for name in ("store.zarr", "ablation.zarr", "analysis")}


KINDS = ("store.zarr", "ablation.zarr", "analysis")


def files_of(path: Path) -> list[Path]:
    """Every file; of the many files of one array, the first and the last."""
    files = (file for file in sorted(path.rglob("*")) if file.is_file() and file.name != ".lock")
    by_array: dict[object, list[Path]] = {}
    for file in files:
        name = file.relative_to(path).as_posix()
        by_array.setdefault(name.partition("/c/")[0] if "/c/" in name else name, []).append(file)
    return [file for of_array in by_array.values() for file in (of_array[0], *of_array[-1:][: len(of_array) - 1])]


def read(path: Path, kind: str, file: Path) -> None:
    """Read, as a user would, what this file is part of."""
    if kind != "analysis":
        open_store(path).load()
    elif file.suffix == ".json" and file.parent == path:  # the checksums of all tables
        load_table(path / "neurons.csv")
    elif file.parent == path:
        load_table(file)
    elif file.parent.name == "selections":
        Selection.load(file)
    else:
        load_dataset(path, file.relative_to(path).parts[0].removesuffix(".zarr"))


@contextmanager
def damaged(file: Path, change: Callable[[bytes], bytes | None]) -> Iterator[None]:
    """Give a file other bytes, or delete it; it is restored on leaving."""
    raw = file.read_bytes()
    changed = change(raw)
    file.unlink() if changed is None else file.write_bytes(changed)
    try:
        yield
    finally:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(raw)


def unnoticed(path: Path, kind: str, file: Path) -> list[str]:
    """Which of the two, `verify` and reading, did not notice."""
    ways = [] if verify(path) else ["verify"]
    try:
        read(path, kind, file)
        ways.append("reading")
    except ActstoreError:
        pass
    return ways


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_in_any_file(stores, kind):
    rng = np.random.default_rng(0)

    def flip(raw: bytes) -> bytes:
        index = int(rng.integers(len(raw)))
        return raw[:index] + bytes([raw[index] ^ (1 << int(rng.integers(8)))]) + raw[index + 1 :]

    path, missed = stores[kind], []
    assert verify(path) == []
    for file in files_of(path):
        with damaged(file, flip):
            missed += [(way, file.relative_to(path)) for way in unnoticed(path, kind, file)]
    assert not missed
    assert verify(path) == []


CHANGES = {
    "cut short": lambda raw: raw[: len(raw) // 2],
    "emptied": lambda raw: b"",
    "zeroed": lambda raw: bytes(len(raw)),
    "longer": lambda raw: raw + bytes(1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_other_bytes_in_any_file(stores, kind):
    path, missed = stores[kind], []
    for file, (change_name, change) in zip(files_of(path), itertools.cycle(CHANGES.items()), strict=False):
        with damaged(file, change):
            missed += [(change_name, way, file.relative_to(path)) for way in unnoticed(path, kind, file)]
    assert not missed


@pytest.mark.parametrize("kind", ["store.zarr", "ablation.zarr"])
def test_a_lost_file(stores, kind):
    """Zarr alone would read a lost chunk as fill values."""
    path = stores[kind]
    missed = []
    for file in files_of(path):
        if file == path / "ledger" / "zarr.json":
            continue
        with damaged(file, lambda raw: None):
            missed += [(way, file.relative_to(path)) for way in unnoticed(path, kind, file)]
    assert not missed


@pytest.mark.parametrize("kind", ["store.zarr", "ablation.zarr"])
def test_a_file_where_another_belongs(stores, kind):
    """Every chunk and shard of an array is sound in itself; exchanged they would be read as each other."""
    path, missed, n_pairs = stores[kind], [], 0
    for array in sorted(p for p in path.iterdir() if (p / "c").is_dir()):
        files = sorted(file for file in (array / "c").rglob("*") if file.is_file())
        for file, next_file in list(itertools.pairwise(files))[:3]:
            ours, theirs = file.read_bytes(), next_file.read_bytes()
            if ours == theirs:
                continue
            n_pairs += 1
            with damaged(file, lambda raw, new=theirs: new), damaged(next_file, lambda raw, new=ours: new):
                missed += [(way, file.relative_to(path)) for way in unnoticed(path, kind, file)]
    assert n_pairs > 5
    assert not missed


@pytest.mark.parametrize("kind", ["store.zarr", "ablation.zarr"])
@pytest.mark.parametrize("name", ["notes.txt", "surprisal/c/9/0", "perplexity/c/0/99", "upos/c/1"])
def test_verify_names_a_file_that_does_not_belong(stores, kind, name):
    path = stores[kind]
    if not (path / name.partition("/")[0]).exists() and "/" in name:
        pytest.skip("no such array in this store")
    file = path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"1")
    try:
        assert verify(path) == [f"{name}: the file is no part of what was sealed"]
    finally:
        file.unlink()
        if file.parent.name == "9":
            file.parent.rmdir()
    assert verify(path) == []


def test_verify_goes_on_after_the_first_damage(stores):
    path = stores["store.zarr"]
    files = [path / name for name in ("upos/zarr.json", "upos/c/0", "mlp_input/c/0/0/1/0")]
    with (
        damaged(files[0], lambda raw: raw[:-1] + b" "),
        damaged(files[1], lambda raw: b""),
        damaged(files[2], lambda raw: None),
    ):
        wrong = verify(path)
    assert len(wrong) == 3
    assert {line.partition(":")[0] for line in wrong} == {
        "upos/c/0",
        "upos/zarr.json",
        "mlp_input of checkpoint 64, tokens 81 to 161",
    }


def test_a_damaged_ledger_is_told(stores):
    path = stores["store.zarr"]
    with damaged(path / "ledger" / "zarr.json", lambda raw: raw.replace(b'"files"', b'"filez"')):
        assert "the ledger of" in verify(path)[0]
        with pytest.raises(StoreError, match=r"the ledger of .* is damaged"):
            open_store(path)


def test_another_table_of_the_same_name_is_refused(stores):
    path = stores["analysis"]
    with (
        damaged(path / "neurons.csv", lambda raw: raw.replace(b"0.1", b"0.2", 1)),
        pytest.raises(StoreError, match="not what was written"),
    ):
        load_table(path / "neurons.csv")
    own = path / "mine.csv"
    own.write_text("a\n1\n")
    try:
        assert load_table(own)["a"].tolist() == [1]
        assert verify(path) == []
    finally:
        own.unlink()
