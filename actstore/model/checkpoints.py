"""The files of a checkpoint: where they are, and whether they changed.

Owns what every checkpoint offers, and checkpoints on this machine; those of the hub are in
`actstore.hub.repositories`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_WEIGHTS = re.compile(r".*\.(safetensors|bin|gguf)")
_SAMPLE_BYTES, _N_SAMPLES = 4096, 1024


class Checkpoint(Protocol):
    """A checkpoint's files, on this machine or on the hub."""

    @property
    def revision(self) -> str:
        """Name of the folder, file or hub revision."""

    @property
    def label(self) -> str:
        """Name for messages."""

    @property
    def digest(self) -> str:
        """Digest of the weight files, equal only for equal files; empty if it is not known before loading."""

    @property
    def identity(self) -> str:
        """Text that changes if the files change; they are not read completely for it."""

    def config_folder(self) -> Path:
        """A folder (or .gguf file) with the configuration."""

    def tokenizer_folder(self) -> Path:
        """A folder (or .gguf file) with the tokenizer."""

    def fetch(self) -> Path:
        """A folder (or .gguf file) with all files."""

    def discard(self) -> None:
        """Remove what `fetch` downloaded."""


@dataclass(frozen=True)
class LocalCheckpoint:
    """A model folder or `.gguf` file on this machine, which is never removed."""

    path: Path
    tokenizer: Path | None = None
    digest: str = ""

    @property
    def revision(self) -> str:
        """Name of the folder or file."""
        return self.path.name

    @property
    def label(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def identity(self) -> str:
        """Digest of the names, sizes and samples of the weight files; up to 4 MiB a file is read completely."""
        return _sampled_digest(self.path)

    def config_folder(self) -> Path:
        """The path itself."""
        return self.path

    def tokenizer_folder(self) -> Path:
        """The suite's folder if it has a tokenizer, otherwise the path itself."""
        return self.tokenizer or self.path

    def fetch(self) -> Path:
        """The path itself."""
        return self.path

    def discard(self) -> None:
        """Remove nothing: these are the user's own files."""


def _sampled_digest(path: Path) -> str:
    files = [path] if path.is_file() else [f for f in sorted(path.iterdir()) if _WEIGHTS.fullmatch(f.name) and f.is_file()]
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name} {size}".encode())
        with file.open("rb") as stream:
            for offset in range(0, size, max(_SAMPLE_BYTES, size // _N_SAMPLES)):
                stream.seek(offset)
                digest.update(stream.read(_SAMPLE_BYTES))
    return digest.hexdigest()
