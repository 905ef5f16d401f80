"""Text files, plain, gzipped or in a .zip, read line by line within bounds.

Owns opening, unpacking and decoding: no more than a line of a file is in memory, and a file that
unpacks without end, is no regular file or is no UTF-8 is refused at its place.
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

_UNREADABLE = (
    OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
    RuntimeError,  # encrypted, or packed in an unknown way
    ValueError,  # a damaged directory of a .zip
)  # fmt: skip


@dataclass(frozen=True)
class TextFile:
    """A file, or a member of a .zip that is open."""

    path: Path
    archive: zipfile.ZipFile | None = None
    member: str = ""

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.member or str(self.path)

    def lines(self) -> Iterator[str]:
        r"""The lines, each with its "\n" where it has one.

        Raises
        ------
        CorpusError
            If the file cannot be read, is no UTF-8, has too long a line, or unpacks to too much.
        """
        with _reading(self.path), ExitStack() as stack:
            stream, n_packed = self._opened(stack)
            n_read = 0
            for number in count(1):
                raw = stream.readline(bounds.LONGEST_LINE + 1)
                if not raw:
                    return
                if len(raw) > bounds.LONGEST_LINE:
                    raise CorpusError(
                        f"{self.name} line {number} has more than {bounds.LONGEST_LINE // 2**20} MiB; break it into shorter lines"
                    )
                line = self._decoded(raw, n_read)
                n_read += len(raw)
                self._check_unpacked(n_read, n_packed, number)
                yield line

    def _opened(self, stack: ExitStack) -> tuple[IO[bytes], Callable[[], int] | None]:
        """The bytes, and how many were needed for what was read so far; None where nothing is packed."""
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
                f"{self.name} line {number}: {n_read // 2**20} MiB unpacked are more than {bounds.UNPACKING_RATIO} times what was "
                "packed; if this is text, unpack the file first"
            )

    def _decoded(self, raw: bytes, start: int) -> str:
        text = raw if start else raw.removeprefix(codecs.BOM_UTF8)
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            place = start + len(raw) - len(text) + error.start
            raise CorpusError(f"{self.name} is not UTF-8 (byte {place}); convert it first, e.g. with iconv") from None


def text_files(path: Path, choose: Callable[[list[str]], Iterable[str]]) -> Iterator[TextFile]:
    """The file at a path; of a folder or a .zip the files whose names are chosen, sorted.

    Raises
    ------
    CorpusError
        If the path cannot be read, is no regular file, or holds too much.
    """
    if path.is_dir():
        inside = {str(file): file for file in sorted(path.rglob("*")) if file.is_file()}
        yield from (TextFile(inside[name]) for name in choose(list(inside)))
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
        If it is one, or cannot be looked at.
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
    for name, (unpacked, packed) in (
        sizes | {member.filename: (member.file_size, member.compress_size) for member in members}
    ).items():
        if unpacked > bounds.FREE_UNPACKING and unpacked > bounds.UNPACKING_RATIO * packed:
            raise CorpusError(
                f"{path}: {name} unpacks to {unpacked // 2**20:,} MiB, more than {bounds.UNPACKING_RATIO} times what was packed; "
                "if this is text, unpack it, and name the folder"
            )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Name the file in what the system says of it."""
    try:
        yield
    except _UNREADABLE as error:
        raise CorpusError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
