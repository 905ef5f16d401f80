"""The ledger of a Zarr group: its sealed blocks, and a checksum of every file.

While a store is being written, the ledger is one small file for each block (its seal). A seal gets
its name only after the block is on disk, so a block with a seal is complete, even after a crash. A
finished store has its ledger in `ledger/zarr.json`, which names every file of the store.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from actstore.errors import StoreError
from actstore.files import make_folder, sync_path, write_synced

LEDGER = "ledger"
_PIECE_BYTES = 2**23


def checksum(values: np.ndarray) -> str:
    """CRC-32C of an array's values in C order, as 8 hexadecimal digits."""
    flat = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    crc = 0
    for start in range(0, len(flat), _PIECE_BYTES):  # the library accepts only bytes: copy a piece at a time
        crc = google_crc32c.extend(crc, flat[start : start + _PIECE_BYTES].tobytes())
    return f"{crc:08x}"


def digest(values: bytes) -> str:
    """BLAKE2b of bytes, as 16 hexadecimal digits.

    Files need it in place of CRC-32C: many of them end in their own CRC-32C, and all of these have
    the same CRC-32C.
    """
    return hashlib.blake2b(values, digest_size=8).hexdigest()


def file_digest(path: Path) -> str:
    """The `digest` of a file's bytes."""
    blake2b = hashlib.blake2b(digest_size=8)
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            blake2b.update(piece)
    return blake2b.hexdigest()


def digests_below(folder: Path, leave_out: Iterable[str] = ()) -> dict[str, str]:
    """Name → digest of every file below a folder, except the files and folders that `leave_out` names."""
    skipped = set(leave_out)
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    names = ((file, file.relative_to(folder)) for file in files)
    return {
        name.as_posix(): file_digest(file)
        for file, name in names
        if not skipped & {parent.as_posix() for parent in (name, *name.parents)}
    }


@dataclass(frozen=True)
class Seal:
    """A finished block and the checksum of each file that it wrote.

    In an extraction, tokens [start, stop) of one checkpoint, with array → checksum of its shard. In
    an ablation, conditions [start, stop), with file → digest.
    """

    checkpoint: int
    start: int
    stop: int
    weights_fingerprint: str
    checksums: Mapping[str, str]


class Ledger:
    """The seals of a store that is being written, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, seal: Seal) -> None:
        """Record a block whose values are on disk; on return its seal is on disk, too."""
        make_folder(self.folder)
        fields = asdict(seal)
        text = json.dumps({**fields, "digest": digest(json.dumps(fields).encode())})
        write_synced(self.folder / f"{seal.checkpoint}-{seal.start}.json", text)

    def drop(self, seal: Seal) -> None:
        """Remove the seal of a block whose values are lost."""
        (self.folder / f"{seal.checkpoint}-{seal.start}.json").unlink(missing_ok=True)

    def refuse_other_weights(self, checkpoint: int, fingerprint: str) -> None:
        """Refuse to mix blocks of different weights in one checkpoint.

        Raises
        ------
        StoreError
            If a block of the checkpoint is sealed with another fingerprint.
        """
        sealed = next(filter(None, map(_read, self.folder.glob(f"{checkpoint}-*.json"))), None)
        if sealed is not None and sealed.weights_fingerprint != fingerprint:
            raise StoreError(
                f"checkpoint {checkpoint} was begun with other weights: the model has changed since; "
                f"remove {self.folder.parent} to start anew, or restore the model"
            )

    def seals(self) -> dict[tuple[int, int], Seal]:
        """(checkpoint, start) → seal, in order."""
        return _by_key(filter(None, map(_read, self.folder.glob("*.json"))))


def _read(path: Path) -> Seal | None:
    """A seal, None if its file is incomplete or damaged: the block then counts as not sealed."""
    with contextlib.suppress(ValueError, TypeError, AttributeError, KeyError, FileNotFoundError):
        fields = json.loads(path.read_text())
        if fields.pop("digest") == digest(json.dumps(fields).encode()):
            return Seal(**fields)
    return None


def _by_key(seals: Iterable[Seal]) -> dict[tuple[int, int], Seal]:
    """(checkpoint, start) → seal, in order."""
    return {(seal.checkpoint, seal.start): seal for seal in sorted(seals, key=lambda seal: (seal.checkpoint, seal.start))}


def has_ledger(root: Path) -> bool:
    """Whether a group has a ledger; False for a path that is not valid."""
    try:
        return (root / LEDGER).exists()
    except (OSError, ValueError):  # a name that is too long, a null byte
        return False


@dataclass(frozen=True)
class Contents:
    """The ledger of a finished group: the seals of its shards, and the digests of all its other files by name."""

    seals: Mapping[tuple[int, int], Seal]
    files: Mapping[str, str]

    @property
    def sharded(self) -> set[str]:
        """Names of the arrays whose files the seals cover."""
        return {name for seal in self.seals.values() for name in seal.checksums}

    @property
    def _text(self) -> str:
        """The exact text of the file. It is a valid Zarr group, so that tools can list the store."""
        attributes: dict[str, Any] = {"seals": [asdict(seal) for seal in self.seals.values()], "files": dict(self.files)}
        attributes["digest"] = digest(json.dumps(attributes).encode())
        return json.dumps({"attributes": attributes, "zarr_format": 3, "node_type": "group"}, indent=1) + "\n"

    def keep(self, root: Path) -> None:
        """Write the ledger into a group; on return it is on disk."""
        (root / LEDGER).mkdir(exist_ok=True)
        write_synced(root / LEDGER / "zarr.json", self._text)
        sync_path(root)

    @classmethod
    def of(cls, root: Path) -> Contents | None:
        """Read a group's ledger; None if it has none, because another program wrote the group.

        Raises
        ------
        StoreError
            If the ledger is damaged.
        """
        if not has_ledger(root):
            return None
        try:
            text = (root / LEDGER / "zarr.json").read_text(encoding="utf-8")
            attributes: Any = json.loads(text)["attributes"]
            contents = cls(_by_key(Seal(**seal) for seal in attributes["seals"]), attributes["files"])
            if contents._text == text:
                return contents
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        raise StoreError(f"the ledger of {root} is damaged ({LEDGER}/zarr.json): nothing in it can be checked; make it again")
