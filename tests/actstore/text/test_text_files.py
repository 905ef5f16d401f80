from __future__ import annotations

import gzip
import io
import os
import tracemalloc
import zipfile

import pytest

from actstore import bounds
from actstore.errors import CorpusError
from actstore.text.text_files import text_files


def lines(path):
    return [line for file in text_files(path, lambda names: names) for line in file.lines()]


def count(path):
    """Number of lines, without holding them."""
    return sum(1 for file in text_files(path, lambda names: names) for _ in file.lines())


def bomb(n_bytes, byte=b"\n"):
    """About `n_bytes` gzipped bytes of a repeated text."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
        for _ in range(n_bytes // 2**20):
            file.write(byte * (2**20 // len(byte)))
    return packed.getvalue()


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.zip", "b.zip"])
def test_only_newlines_end_lines_and_no_character_is_split(tmp_path, name):
    raw = "\ufeffone\r\ntwo\u2028three\n\n漢字".encode()
    packed = gzip.compress(raw)
    if name.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x/a.txt.gz" if name == "b.zip" else "a.txt", packed if name == "b.zip" else raw)
    else:
        (tmp_path / name).write_bytes(packed if name.endswith(".gz") else raw)
    assert lines(tmp_path / name) == ["one\r\n", "two\u2028three\n", "\n", "漢字"]


def test_the_byte_that_is_no_utf8_is_named(tmp_path):
    for start, offset in ((b"", 7), (b"\xef\xbb\xbf", 10)):
        (tmp_path / "a.txt").write_bytes(start + b"fine\nca\xe9 x\n")
        with pytest.raises(CorpusError, match=rf"a\.txt is not UTF-8 \(byte {offset}\)"):
            lines(tmp_path / "a.txt")


def test_the_length_of_a_line_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "LONGEST_LINE", 2 * 2**20)
    (tmp_path / "a.txt").write_bytes(b"short\n" + b"x" * (2 * 2**20 - 1) + b"\n")
    assert len(lines(tmp_path / "a.txt")) == 2
    (tmp_path / "a.txt").write_bytes(b"short\n" + b"x" * (2 * 2**20) + b"\n")
    with pytest.raises(CorpusError, match=r"a\.txt line 2 has more than 2 MiB; break it into shorter lines"):
        lines(tmp_path / "a.txt")


@pytest.mark.parametrize("byte", [b"x", b"\0"])
def test_a_bomb_is_refused_after_a_bounded_number_of_bytes(tmp_path, byte):
    (tmp_path / "a.txt.gz").write_bytes(bomb(512 * 2**20, byte))
    tracemalloc.start()
    with pytest.raises(CorpusError, match=r"a\.txt\.gz line 1 has more than 16 MiB"):
        count(tmp_path / "a.txt.gz")
    assert tracemalloc.get_traced_memory()[1] < 4 * bounds.LONGEST_LINE
    tracemalloc.stop()


def test_a_bomb_of_many_lines_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "FREE_UNPACKING", 2**20)
    (tmp_path / "a.txt.gz").write_bytes(bomb(128 * 2**20, b"word\n"))
    with pytest.raises(CorpusError, match=r"a\.txt\.gz line \d+: \d+ MiB unpacked are more than 200 times what was packed"):
        count(tmp_path / "a.txt.gz")


@pytest.mark.parametrize(
    ("name", "message"), [("a.txt", "a.txt unpacks to 20 MiB"), ("a.txt.gz", "MiB unpacked are more than")]
)
def test_a_bomb_in_an_archive_is_refused(tmp_path, monkeypatch, name, message):
    if name.endswith(".gz"):
        monkeypatch.setattr(bounds, "FREE_UNPACKING", 3 * 2**20)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b.txt", os.urandom(2**20).hex())
        archive.writestr(name, b"word\n" * 2**20 * 4 if name == "a.txt" else bomb(128 * 2**20, b"word\n"))
    with pytest.raises(CorpusError, match=message):
        count(tmp_path / "a.zip")


def test_text_that_packs_well_is_no_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "FREE_UNPACKING", 1000)
    text = "".join(f"The dog number {i} sees the cat number {i * i}.\n" for i in range(5000))
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(text.encode()))
    assert "".join(lines(tmp_path / "a.txt.gz")) == text


def test_members_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "MOST_MEMBERS", 3)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(4):
            archive.writestr(f"{number}.txt", "text")
    with pytest.raises(CorpusError, match=r"a\.zip holds 4 files, more than 3"):
        lines(tmp_path / "a.zip")


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.zip"])
def test_a_pipe_is_refused_at_once(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(CorpusError, match="is not a regular file"):
        lines(tmp_path / name)
    assert lines(tmp_path) == [], "in a folder it is no file"


def test_every_damage_of_an_archive_is_one_error(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.txt", "The dog sees the cat.\n" * 50)
    sound = packed.getvalue()
    n_refused = 0
    for offset in range(len(sound)):
        raw = bytearray(sound)
        raw[offset] ^= 0xFF
        (tmp_path / "a.zip").write_bytes(raw)
        try:
            lines(tmp_path / "a.zip")
        except CorpusError:
            n_refused += 1
    assert n_refused > len(sound) // 2
