from __future__ import annotations

import hashlib
import os

import pytest

from actstore.hub import digests
from actstore.hub.digests import drop, is_sound

CONTENT = bytes(range(256)) * 20
# As `git hash-object` and `sha256sum` give them.
EMPTY = {"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
DIGESTS = [hashlib.sha1(b"blob 5120\0" + CONTENT).hexdigest(), hashlib.sha256(CONTENT).hexdigest()]


@pytest.fixture
def cached(tmp_path):
    """A file as the hub's cache keeps it: a link in a snapshot to content named by its digest."""

    def write(digest, content=CONTENT):
        blobs, snapshot = (tmp_path / "models--org--model" / name for name in ("blobs", "snapshots/main"))
        blobs.mkdir(parents=True, exist_ok=True)
        snapshot.mkdir(parents=True, exist_ok=True)
        (blobs / digest).write_bytes(content)
        (snapshot / "file").unlink(missing_ok=True)
        (snapshot / "file").symlink_to(blobs / digest)
        return snapshot / "file"

    return write


@pytest.fixture
def files_read(monkeypatch):
    """The files that were read for their digest."""
    paths, digest_of = [], digests._digest_of

    def counted(path, size, length):
        paths.append(path)
        return digest_of(path, size, length)

    monkeypatch.setattr(digests, "_digest_of", counted)
    return paths


@pytest.mark.parametrize("digest", sorted(EMPTY))
def test_digests_of_nothing(digest, cached):
    assert is_sound(cached(digest, b""))
    assert not is_sound(cached(digest, b"x"))


@pytest.mark.parametrize("digest", DIGESTS)
@pytest.mark.parametrize("offset", [0, 2500, 5119])
def test_one_bit_is_noticed(digest, offset, cached):
    assert is_sound(cached(digest))
    damaged = bytearray(CONTENT)
    damaged[offset] ^= 1
    assert not is_sound(cached(digest, bytes(damaged)))
    assert not is_sound(cached(digest, CONTENT[:-1]))


@pytest.mark.parametrize("digest", DIGESTS)
def test_the_hubs_digest_goes_before_the_name(digest, cached):
    path = cached("W-3f7a", CONTENT)
    assert is_sound(path, digest)
    assert not is_sound(path, digest[::-1])
    assert is_sound(path), "nothing names a digest"


def test_a_file_is_read_once_until_it_changes(cached, files_read):
    path = cached(DIGESTS[1])
    assert [is_sound(path) for _ in range(3)] == [True] * 3
    assert len(files_read) == 1
    os.utime(path, ns=(0, 0))
    assert is_sound(path)
    assert len(files_read) == 2
    cached(DIGESTS[1], CONTENT[::-1])
    assert not is_sound(path)
    assert not is_sound(path), "a damaged file is checked again"
    assert len(files_read) == 4


def test_a_damaged_record_costs_a_reading(cached, files_read):
    path = cached(DIGESTS[1])
    assert is_sound(path)
    (record,) = (path.parents[2] / "actstore-verified").iterdir()
    record.write_bytes(b"\xb1" + record.read_bytes())
    assert is_sound(path)
    assert len(files_read) == 2


def test_dropping_removes_content_and_name(cached, tmp_path):
    path = cached(DIGESTS[0])
    drop(path)
    assert not [file for file in tmp_path.rglob("*") if file.is_file() or file.is_symlink()]


def test_a_name_whose_content_is_gone_is_damaged(cached):
    path = cached("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", b"")
    path.resolve().unlink()
    assert not is_sound(path)
