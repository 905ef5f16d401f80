"""Which (checkpoint, shard) blocks of a store are sealed, with their checksums.

Owns the ledger. While a store is being written it is one small file a block, given its final
name only after the block is on disk, so that what it names is whole whatever happened since. A
finished store keeps it in the attributes of its subgroup `ledger`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr

from actstore.errors import StoreError

_PIECE = 2**23


def checksum(values: np.ndarray) -> str:
    """CRC-32C of an array's values in C order, as 8 hexadecimal digits."""
    flat = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    crc = 0
    for first in range(0, len(flat), _PIECE):  # the library takes bytes only: copy a piece at a time
        crc = google_crc32c.extend(crc, flat[first : first + _PIECE].tobytes())
    return f"{crc:08x}"


def file_checksum(path: Path) -> str:
    """CRC-32C of a file's bytes."""
    crc = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            crc = google_crc32c.extend(crc, piece)
    return f"{crc:08x}"


@dataclass(frozen=True)
class Seal:
    """A finished block: tokens [start, stop) of one checkpoint, and the checksum of each variable.

    Of an ablation: conditions [start, stop), with no checksums.
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
        """Record a block whose values are on disk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{seal.checkpoint}-{seal.start}.json"
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(seal)))
        partial.replace(path)

    def drop(self, seal: Seal) -> None:
        """Forget a block whose values are gone."""
        (self.folder / f"{seal.checkpoint}-{seal.start}.json").unlink(missing_ok=True)

    def refuse_other_weights(self, checkpoint: int, fingerprint: str) -> None:
        """Hold a checkpoint's blocks to one set of weights.

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
        return _by_place(filter(None, map(_read, self.folder.glob("*.json"))))


def _read(path: Path) -> Seal | None:
    """A seal, None where a power loss cut it short: its block is not sealed."""
    with contextlib.suppress(ValueError, TypeError, FileNotFoundError):
        return Seal(**json.loads(path.read_text()))
    return None


def _by_place(seals: Iterable[Seal]) -> dict[tuple[int, int], Seal]:
    """(checkpoint, start) → seal, in order."""
    return {(seal.checkpoint, seal.start): seal for seal in sorted(seals, key=lambda seal: (seal.checkpoint, seal.start))}


def keep(group: zarr.Group, seals: Iterable[Seal], files: Mapping[str, str]) -> None:
    """Write the ledger into a finished store: its seals, and the checksums of its other files by name."""
    group.create_group("ledger", overwrite=True).attrs.update({"seals": [asdict(seal) for seal in seals], "files": dict(files)})


def kept(group: zarr.Group) -> tuple[dict[tuple[int, int], Seal], dict[str, str]]:
    """The ledger of a finished store, as `keep` took it."""
    attrs: Any = group["ledger"].attrs
    return _by_place(Seal(**seal) for seal in attrs["seals"]), attrs["files"]
