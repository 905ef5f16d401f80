"""Minimal pairs as records: the embedded ones, BLiMP, templates, and files of BLiMP's form.

Owns reading and checking; scoring is `readouts.py`.
"""

from __future__ import annotations

import gzip
import io
import json
import logging
import pickle
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actstore import hub
from actstore.errors import CorpusError, UnknownNameError
from actstore.files import existing

DEFAULT_PER_PARADIGM = 50
BUILTIN, BLIMP = "builtin", "blimp"
_BLIMP_REPO = "nyu-mll/blimp"
_SUFFIXES = (".jsonl", ".jsonl.gz", ".pickle", ".pkl")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MinimalPair:
    """Two sentences that differ in grammaticality."""

    sentence_good: str
    sentence_bad: str
    phenomenon: str
    paradigm: str
    benchmark: str = ""


def read_pairs(name: str, per_paradigm: int | None = None, seed: int = 0, *, skip_bad: bool = False) -> list[MinimalPair]:
    """Minimal pairs of one source, paradigm by paradigm.

    Parameters
    ----------
    name : str
        `builtin`; `blimp` (the hub's data set); or a file or folder of `.jsonl` or `.jsonl.gz` in
        BLiMP's form, or of Marvin and Linzen's `.pickle` templates.
    per_paradigm : int, optional
        At most this many pairs of each paradigm, drawn by seed; all of a file by default, 50 of the
        embedded ones.
    seed : int
    skip_bad : bool
        Whether malformed records are left out and counted in a warning.

    Raises
    ------
    UnknownNameError, CorpusError
        If there is no such source, a record is malformed, a paradigm has two phenomena, or there
        is no pair.

    Notes
    -----
    A record in BLiMP's form has the texts `sentence_good` and `sentence_bad`. Its paradigm is `UID`
    or `paradigm`, its phenomenon `linguistics_term` or `phenomenon`. Without a paradigm, it is
    `file/phenomenon`, or the file's name where there is no phenomenon either; without a phenomenon,
    that is the paradigm. Other keys are not read.

    References
    ----------
    Warstadt et al. (2020), "BLiMP: The Benchmark of Linguistic Minimal Pairs for English".
    """
    if name == BUILTIN:
        from actstore.builtin.pairs import minimal_pairs

        return [_pair(record, "", name) for record in minimal_pairs(per_paradigm or DEFAULT_PER_PARADIGM, seed)]
    path = locate_pairs(name)
    if path is None:
        found = list(_hub_blimp())
    else:
        files = [p for p in sorted(path.rglob("*")) if p.name.endswith(_SUFFIXES)] if path.is_dir() else [path]
        found = [pair for file in files for pair in _file(file, path.name.partition(".")[0], skip_bad)]
    if not found:
        raise CorpusError(f"{name} holds no minimal pair; expected .jsonl files in BLiMP's form")
    _check_phenomena(found, name)
    return list(_sampled(found, per_paradigm, seed))


def locate_pairs(name: str) -> Path | None:
    """The path of minimal pairs that have no name of their own; None for those that have.

    Raises
    ------
    UnknownNameError
        If there is nothing there.
    """
    if name in (BUILTIN, BLIMP):
        return None
    path = existing(name)
    if path is None:
        raise UnknownNameError("minimal pairs", name, [BUILTIN, BLIMP, "a path to .jsonl files in BLiMP's form"])
    return path


def _check_phenomena(pairs: list[MinimalPair], source: str) -> None:
    """Refuse a paradigm of two phenomena: an average over it would be of neither."""
    phenomena: dict[str, str] = {}
    for pair in pairs:
        first = phenomena.setdefault(pair.paradigm, pair.phenomenon)
        if first != pair.phenomenon:
            raise CorpusError(
                f"{source}: the paradigm {pair.paradigm!r} has two phenomena, {first!r} and {pair.phenomenon!r}; "
                "give each a paradigm of its own"
            )


def _sampled(pairs: list[MinimalPair], per_paradigm: int | None, seed: int) -> Iterator[MinimalPair]:
    paradigms: dict[str, list[MinimalPair]] = {}
    for pair in pairs:
        paradigms.setdefault(pair.paradigm, []).append(pair)
    for name, members in paradigms.items():
        if per_paradigm is not None and len(members) > per_paradigm:
            rng = np.random.default_rng([seed, zlib.crc32(name.encode())])  # what is drawn of one depends on no other
            members = [members[i] for i in sorted(rng.choice(len(members), per_paradigm, replace=False))]
        yield from members


def _hub_blimp() -> Iterator[MinimalPair]:
    import pandas as pd

    for file in sorted(hub.dataset_folder(_BLIMP_REPO, "*.parquet").rglob("*.parquet")):
        try:
            records: Any = pd.read_parquet(file).to_dict("records")
        except ImportError:
            raise CorpusError("reading blimp from the hub needs pyarrow: pip install 'actstore[wikitext]'") from None
        yield from (_pair(record, file.parent.name, BLIMP) for record in records)


def _file(file: Path, benchmark: str, skip_bad: bool) -> Iterator[MinimalPair]:
    records = _templates(file) if file.suffix in (".pickle", ".pkl") else _json_lines(file)
    n_bad = 0
    for place, record in records:
        try:
            yield _pair(record, file.name.partition(".")[0], benchmark)
        except _MalformedError as error:
            if not skip_bad:
                raise CorpusError(f"{file} {place}: {error}; mend it, or leave such records out with --skip-bad") from None
            n_bad += 1
    if n_bad:
        _log.warning("%s: %d malformed records left out", file, n_bad)


def _json_lines(file: Path) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(_lines(file), 1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except ValueError:
                yield f"line {number}", None


def _lines(file: Path) -> Iterable[str]:
    raw = _bytes(file)
    try:
        return (gzip.decompress(raw) if file.suffix == ".gz" else raw).decode("utf-8").split("\n")
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusError(f"cannot read {file}: {error}") from None
    except UnicodeDecodeError as error:
        raise CorpusError(f"{file} is not UTF-8 (byte {error.start})") from None


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CorpusError(f"cannot read {file}: {error.strerror}") from None


class _MalformedError(CorpusError):
    """A record that is no minimal pair, and why."""


class _Plain(pickle.Unpickler):
    """Takes containers, text and numbers: nothing that has to be looked up can be called."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, and could run anything")

    def persistent_load(self, identity: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside")


def _templates(file: Path) -> Iterator[tuple[str, Any]]:
    """Records of a pickled mapping from a construction's cases to (good, …, bad) sentences."""
    try:
        cases = _Plain(io.BytesIO(_bytes(file))).load()
    except Exception as error:  # a damaged pickle fails in any way
        raise CorpusError(f"{file} is no pickle of plain text: {error}. Nothing of it was run") from None
    if not isinstance(cases, Mapping):
        raise CorpusError(f"{file} holds a {type(cases).__name__}, not a mapping of cases to sentences")
    for case, items in cases.items():
        for number, item in enumerate(items, 1):
            texts = item if isinstance(item, (tuple, list)) and len(item) > 1 else (None, None)
            yield f"{case}, item {number}", {"sentence_good": texts[0], "sentence_bad": texts[-1]}


def _pair(record: Any, file: str, benchmark: str) -> MinimalPair:
    """The pair of a record; `file` names its paradigm where it does not itself."""
    if not isinstance(record, Mapping):
        raise _MalformedError("not a JSON object with two sentences")
    sentences = []
    for key in ("sentence_good", "sentence_bad"):
        if key not in record:
            raise _MalformedError(f"no field {key!r}")
        if not isinstance(record[key], str) or not record[key].strip():
            raise _MalformedError("not a JSON object with two sentences")
        sentences.append(record[key])
    phenomenon = _named(record, "linguistics_term", "phenomenon")
    paradigm = _named(record, "UID", "paradigm") or (f"{file}/{phenomenon}" if phenomenon else file)
    return MinimalPair(sentences[0], sentences[1], phenomenon or paradigm, paradigm, benchmark)


def _named(record: Mapping[str, Any], *keys: str) -> str:
    """The text under one of two names of a field; empty where it has neither."""
    values = {key: record[key] for key in keys if key in record}
    for key, value in values.items():
        if not isinstance(value, str) or not value.strip():
            raise _MalformedError(f"{key} must be text, got {value!r}")
    if len(set(values.values())) > 1:
        raise _MalformedError(
            " and ".join(f"{key} {value!r}" for key, value in values.items()) + " differ; keep one of the two"
        )
    return next(iter(values.values()), "")


def critical_regions(pair: MinimalPair) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where the sentences differ: characters [start, stop) of the good and of the bad one.

    The words between the longest beginning and the longest end that both share. Where one sentence
    has no word there, the next word belongs to the region of both; a region stays empty at the end
    of a sentence.
    """
    good, bad = (list(re.finditer(r"\S+", text)) for text in (pair.sentence_good, pair.sentence_bad))
    shortest = min(len(good), len(bad))
    start = next((i for i in range(shortest) if good[i][0] != bad[i][0]), shortest)
    end = next((i for i in range(shortest - start) if good[-1 - i][0] != bad[-1 - i][0]), shortest - start)
    if end and min(len(good), len(bad)) - start - end == 0 and len(good) != len(bad):
        end -= 1
    return _span(good, start, end), _span(bad, start, end)


def _span(words: list[re.Match[str]], start: int, end: int) -> tuple[int, int]:
    inside = words[start : len(words) - end]
    return (inside[0].start(), inside[-1].end()) if inside else (0, 0)
