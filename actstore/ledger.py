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

_PIECE = 2**23


def checksum(values: np.ndarray) -> str:
    """CRC-32C of an array's values in C order, as 8 hexadecimal digits."""
    flat = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    crc = 0
    for first in range(0, len(flat), _PIECE):  # the library takes bytes only: copy a piece at a time
        crc = google_crc32c.extend(crc, flat[first : first + _PIECE].tobytes())
    return f"{crc:08x}"


@dataclass(frozen=True)
class Seal:
    """A finished block: tokens [start, stop) of one checkpoint, and the checksum of each variable."""

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

    def seals(self) -> dict[tuple[int, int], Seal]:
        """(checkpoint, start) → seal, in order."""
        found = []
        for path in self.folder.glob("*.json"):
            with contextlib.suppress(ValueError, TypeError):  # cut short by a power loss: its block is not sealed
                found.append(Seal(**json.loads(path.read_text())))
        return by_place(found)


def by_place(seals: Iterable[Seal]) -> dict[tuple[int, int], Seal]:
    """(checkpoint, start) → seal, in order."""
    return {(seal.checkpoint, seal.start): seal for seal in sorted(seals, key=lambda seal: (seal.checkpoint, seal.start))}


def keep(group: zarr.Group, seals: Iterable[Seal]) -> None:
    """Write the ledger into a finished store."""
    group.create_group("ledger", overwrite=True).attrs["seals"] = [asdict(seal) for seal in seals]


def kept(group: zarr.Group) -> dict[tuple[int, int], Seal]:
    """The ledger of a finished store, empty if it has none."""
    if "ledger" not in group:
        return {}
    seals: Any = group["ledger"].attrs["seals"]
    return by_place(Seal(**seal) for seal in seals)
