"""Minimal pairs as records: the embedded ones and files in BLiMP's form.

Owns reading and checking; scoring is `scoring.py`.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actstore.errors import CorpusError, UnknownNameError

DEFAULT_PER_PARADIGM = 50


@dataclass(frozen=True, slots=True)
class MinimalPair:
    """Two sentences that differ in grammaticality."""

    sentence_good: str
    sentence_bad: str
    phenomenon: str
    paradigm: str


def read_pairs(name: str, per_paradigm: int | None = None, seed: int = 0) -> list[MinimalPair]:
    """The embedded pairs (`builtin`) or those of a `.jsonl` file or folder (`.jsonl.gz` too).

    Parameters
    ----------
    name : str
        `builtin` or a path.
    per_paradigm : int, optional
        At most this many pairs of each paradigm, the first ones; all of a file by default,
        50 of the embedded ones.
    seed : int
        Seed of the embedded pairs.

    Raises
    ------
    UnknownNameError, CorpusError
        If there is no such source, a record is malformed, or there is no pair.
    """
    if name == "builtin":
        from actstore.builtin.pairs import minimal_pairs

        return [_pair(record) for record in minimal_pairs(per_paradigm or DEFAULT_PER_PARADIGM, seed)]
    path = Path(name)
    if not path.exists():
        raise UnknownNameError("minimal pairs", name, ["builtin", "a path to .jsonl files in BLiMP's form"])
    files = sorted(p for p in path.rglob("*") if p.name.endswith((".jsonl", ".jsonl.gz"))) if path.is_dir() else [path]
    pairs = [pair for file in files for pair in _file(file, per_paradigm)]
    if not pairs:
        raise CorpusError(f"{path} holds no minimal pair; expected .jsonl files in BLiMP's form")
    return pairs


def _file(file: Path, per_paradigm: int | None) -> Iterator[MinimalPair]:
    counts: dict[str, int] = {}
    for number, line in enumerate(_lines(file), 1):
        if not line.strip():
            continue
        try:
            pair = _pair(json.loads(line), file.name.split(".")[0])
        except (ValueError, KeyError, TypeError) as error:
            reason = f"no field {error}" if isinstance(error, KeyError) else "not a JSON object with two sentences"
            raise CorpusError(f"{file} line {number}: {reason}") from None
        counts[pair.paradigm] = counts.get(pair.paradigm, 0) + 1
        if per_paradigm is None or counts[pair.paradigm] <= per_paradigm:
            yield pair


def _lines(file: Path) -> Iterable[str]:
    try:
        raw = file.read_bytes()
        text = (gzip.decompress(raw) if file.suffix == ".gz" else raw).decode("utf-8")
    except (OSError, EOFError) as error:
        raise CorpusError(f"cannot read {file}: {error}") from None
    except UnicodeDecodeError as error:
        raise CorpusError(f"{file} is not UTF-8 (byte {error.start})") from None
    return text.splitlines()


def _pair(record: dict[str, Any], fallback: str = "") -> MinimalPair:
    good, bad = record["sentence_good"], record["sentence_bad"]
    if not (isinstance(good, str) and isinstance(bad, str)):
        raise TypeError("a sentence is not text")
    paradigm = str(record.get("UID", fallback))
    return MinimalPair(good, bad, str(record.get("linguistics_term", paradigm)), paradigm)
