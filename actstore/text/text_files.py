"""Text files, plain, gzipped or in a .zip, read line by line within bounds.

Owns opening, unpacking and decoding. Only one line of a file is in memory. A file that unpacks to too
much, is no regular file or is not UTF-8 is refused with its location.
"""

from __future__ import annotations

import codecs
import gzip
import io
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO

from actstore import bounds
from actstore.errors import CorpusError

_DAMAGE = (OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error)
_UNREADABLE = (*_DAMAGE, RuntimeError, ValueError)
"""Errors of reading; also RuntimeError of an encrypted .zip, and ValueError of one with a damaged directory."""


@dataclass(frozen=True)
class TextFile:
    """A file, or a member of a .zip that is open."""

    path: Path
    archive: zipfile.ZipFile | None = None
    member: str = ""

    @property
    def name(self) -> str:
        """Name for messages."""
        return self.member or str(self.path)

    def lines(self) -> Iterator[str]:
        r"""The lines, each with its "\n" if it has one.

        Raises
        ------
        CorpusError
            If the file cannot be read, is not UTF-8, has a line that is too long, or unpacks to too much.
        """
        with _reading(self.path), ExitStack() as stack:
            stream, n_packed = self._opened(stack)
            n_read = 0
            for number in count(1):
                raw = stream.readline(bounds.LONGEST_LINE + 1)
                if not raw:
                    return
                if len(raw) > bounds.LONGEST_LINE:
                    limit = f"{bounds.LONGEST_LINE // 2**20} MiB"
                    raise CorpusError(f"{self.name} line {number} has more than {limit}; break it into shorter lines")
                line = self._decoded(raw, n_read)
                n_read += len(raw)
                self._check_unpacked(n_read, n_packed, number)
                yield line

    def _opened(self, stack: ExitStack) -> tuple[IO[bytes], Callable[[], int] | None]:
        """The unpacked bytes, and a function for the number of packed bytes read so far; None if nothing is packed."""
        stream: IO[bytes]
        n_packed: Callable[[], int] | None = None
        if self.archive is None:
            stream = stack.enter_context(self.path.open("rb"))
        else:
            size = self.archive.getinfo(self.member).compress_size
            stream = stack.enter_context(self.archive.open(self.member))
            n_packed = lambda: size  # noqa: E731
        if self.name.endswith(".gz"):
            n_packed = n_packed or stream.tell
            unpacked = stack.enter_context(gzip.GzipFile(fileobj=stream))
            return io.BufferedReader(unpacked), n_packed
        return stream, n_packed

    def _check_unpacked(self, n_read: int, n_packed: Callable[[], int] | None, number: int) -> None:
        if n_packed is not None and n_read > bounds.FREE_UNPACKING and n_read > bounds.UNPACKING_RATIO * n_packed():
            raise CorpusError(
                f"{self.name} line {number}: {n_read // 2**20} MiB unpacked are more than {bounds.UNPACKING_RATIO} times what "
                "was packed; if this is text, unpack the file first"
            )

    def _decoded(self, raw: bytes, start: int) -> str:
        text = raw if start else raw.removeprefix(codecs.BOM_UTF8)
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            offset = start + len(raw) - len(text) + error.start
            raise CorpusError(f"{self.name} is not UTF-8 (byte {offset}); convert it first, e.g. with iconv") from None


def text_files(path: Path, choose: Callable[[list[str]], Iterable[str]]) -> Iterator[TextFile]:
    """The file at a path, or the files of a folder or .zip whose names `choose` returns, sorted.

    Raises
    ------
    CorpusError
        If the path cannot be read, is no regular file, or holds too much.
    """
    if path.is_dir():
        files = {str(file): file for file in sorted(path.rglob("*")) if file.is_file()}
        yield from (TextFile(files[name]) for name in choose(list(files)))
        return
    check_regular(path)
    if path.suffix != ".zip":
        yield TextFile(path)
        return
    with _reading(path), zipfile.ZipFile(path) as archive:
        _check_archive(path, archive)
        yield from (TextFile(path, archive, name) for name in choose(sorted(archive.namelist())))


def check_regular(path: Path) -> None:
    """Refuse a pipe, socket or device, which may have no end.

    Raises
    ------
    CorpusError
        If the path is no regular file, or cannot be read.
    """
    with _reading(path):
        is_regular = stat.S_ISREG(path.stat().st_mode)
    if not is_regular:
        raise CorpusError(f"{path} is not a regular file; save its text to a file first")


def _check_archive(path: Path, archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    if len(members) > bounds.MOST_MEMBERS:
        raise CorpusError(
            f"{path} holds {len(members):,} files, more than {bounds.MOST_MEMBERS:,}; unpack it, and name the folder"
        )
    sizes = {path.name: (sum(member.file_size for member in members), path.stat().st_size)}
    sizes |= {member.filename: (member.file_size, member.compress_size) for member in members}
    for name, (unpacked, packed) in sizes.items():
        if unpacked > bounds.FREE_UNPACKING and unpacked > bounds.UNPACKING_RATIO * packed:
            raise CorpusError(
                f"{path}: {name} unpacks to {unpacked // 2**20:,} MiB, more than {bounds.UNPACKING_RATIO} times what was "
                "packed; if this is text, unpack it, and name the folder"
            )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn errors of reading into one line that names the file."""
    try:
        yield
    except _UNREADABLE as error:
        raise CorpusError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
