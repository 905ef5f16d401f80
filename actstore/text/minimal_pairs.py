"""Minimal pairs: the embedded ones, BLiMP, templates, and files in BLiMP's form.

Owns reading and checking; the readouts of ablation score them.
"""

from __future__ import annotations

import io
import logging
import pickle
import pickletools
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from actstore import bounds
from actstore.errors import CorpusError, UnknownNameError
from actstore.files import existing, looks_like_path
from actstore.hub import repositories
from actstore.text.json_records import RecordError, check_characters, parse
from actstore.text.text_files import TextFile, text_files

DEFAULT_PER_PARADIGM = 50
BUILTIN, BLIMP, TSE = "builtin", "blimp", "tse"
_NAMED = (BUILTIN, BLIMP, TSE)
_BLIMP_REPO = "nyu-mll/blimp"
_PICKLES = (".pickle", ".pkl")
_SUFFIXES = (".jsonl", ".jsonl.gz", *_PICKLES)
_NO_PAIR = "not a JSON object with two sentences"

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
    """Read the minimal pairs of a source, paradigm by paradigm.

    Parameters
    ----------
    name : str
        `builtin`; `blimp` (the hub's data set); `tse` (the agreement templates of Marvin and Linzen); or a file or folder of `.jsonl` or `.jsonl.gz` in
        BLiMP's form, or of Marvin and Linzen's `.pickle` templates.
    per_paradigm : int, optional
        At most this many pairs of each paradigm, drawn by seed; all of a file by default, 50 of the
        embedded ones.
    seed : int
    skip_bad : bool
        Whether to leave out malformed records, and count them in a warning.

    Raises
    ------
    UnknownNameError, CorpusError, SettingError
        If the source does not exist or has no pair, a record is malformed, a paradigm has two
        phenomena, or a file or `per_paradigm` exceeds a bound of `actstore.bounds`.

    Notes
    -----
    A record in BLiMP's form has the texts `sentence_good` and `sentence_bad`. Its paradigm is under
    `UID` or `paradigm`, its phenomenon under `linguistics_term` or `phenomenon`. A record without a
    paradigm belongs to the paradigm `file/phenomenon`, or `file` if it has no phenomenon either. A
    record without a phenomenon has its paradigm as phenomenon. Other keys are not read.

    References
    ----------
    Warstadt et al. (2020), "BLiMP: The Benchmark of Linguistic Minimal Pairs for English"; Marvin and Linzen (2018).
    """
    if per_paradigm is not None:
        bounds.check("pairs_per_paradigm", per_paradigm, 1, bounds.MOST_ITEMS)
    if name == BUILTIN:
        return _embedded(per_paradigm or DEFAULT_PER_PARADIGM, seed)
    path = locate_pairs(name)
    if name == TSE:
        pairs = list(_agreement())
    elif path is None:
        pairs = list(_hub_blimp())
    else:
        pairs = [pair for file in _files(path) for pair in _file(file, path.name.partition(".")[0], skip_bad)]
    if not pairs:
        raise CorpusError(f"{name} holds no minimal pair; expected .jsonl files in BLiMP's form")
    _check_phenomena(pairs, name)
    return list(_sampled(pairs, per_paradigm, seed))


def locate_pairs(name: str) -> Path | None:
    """The path of minimal pairs in files; None for `builtin`, `blimp` and `tse`.

    Raises
    ------
    UnknownNameError, CorpusError
        If it does not exist.
    """
    if name in _NAMED:
        return None
    path = existing(name)
    if path is not None:
        return path
    if looks_like_path(name) or "/" in name or name.endswith(_SUFFIXES):
        raise CorpusError(f"minimal pairs {name}: no such file or folder")
    raise UnknownNameError("minimal pairs", name, [*_NAMED, "a path to .jsonl files in BLiMP's form"])


def _embedded(per_paradigm: int, seed: int) -> list[MinimalPair]:
    from actstore.builtin.paradigms import minimal_pairs

    try:
        return [_pair(record, "", BUILTIN) for record in minimal_pairs(per_paradigm, seed)]
    except ValueError as error:  # the grammar has no more pairs
        raise CorpusError(f"embedded minimal pairs: {error}") from None


def _check_phenomena(pairs: list[MinimalPair], source: str) -> None:
    """Refuse a paradigm of two phenomena: its average would belong to neither."""
    phenomena: dict[str, str] = {}
    for pair in pairs:
        phenomenon = phenomena.setdefault(pair.paradigm, pair.phenomenon)
        if phenomenon != pair.phenomenon:
            raise CorpusError(
                f"{source}: the paradigm {pair.paradigm!r} has two phenomena, {phenomenon!r} and {pair.phenomenon!r}; "
                "give each a paradigm of its own"
            )


def _sampled(pairs: list[MinimalPair], per_paradigm: int | None, seed: int) -> Iterator[MinimalPair]:
    paradigms: dict[str, list[MinimalPair]] = {}
    for pair in pairs:
        paradigms.setdefault(pair.paradigm, []).append(pair)
    for name, members in paradigms.items():
        if per_paradigm is not None and len(members) > per_paradigm:
            rng = np.random.default_rng([seed, zlib.crc32(name.encode())])  # the draw is independent of other paradigms
            members = [members[i] for i in sorted(rng.choice(len(members), per_paradigm, replace=False))]
        yield from members


def _agreement() -> Iterator[MinimalPair]:
    from actstore.builtin.agreement import CONSTRUCTIONS, PHENOMENON

    for name, pairs in CONSTRUCTIONS.items():
        for good, bad in pairs():
            yield MinimalPair(good, bad, PHENOMENON, name, TSE)


def _hub_blimp() -> Iterator[MinimalPair]:
    import pandas as pd

    for file in sorted(repositories.dataset_folder(_BLIMP_REPO, "*.parquet").rglob("*.parquet")):
        try:
            records: Any = pd.read_parquet(file).to_dict("records")
        except ImportError:
            raise CorpusError("reading blimp from the hub needs pyarrow: pip install 'actstore[wikitext]'") from None
        yield from (_pair(record, file.parent.name, BLIMP) for record in records)


def _files(path: Path) -> Iterator[TextFile]:
    return text_files(path, lambda names: [name for name in names if name.endswith(_SUFFIXES)])


def _file(file: TextFile, benchmark: str, skip_bad: bool) -> Iterator[MinimalPair]:
    name = PurePath(file.name).name
    records = _templates(file.path) if name.endswith(_PICKLES) else _json_lines(file)
    n_bad = 0
    for location, read in records:
        try:
            yield _pair(read(), name.partition(".")[0], benchmark)
        except RecordError as error:
            if not skip_bad:
                raise CorpusError(
                    f"{file.name} {location}: {error}; mend it, or leave such records out with --skip-bad"
                ) from None
            n_bad += 1
    if n_bad:
        _log.warning("%s: %d malformed records left out", file.name, n_bad)


def _json_lines(file: TextFile) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Location of every record, and a function that reads it."""
    for number, line in enumerate(file.lines(), 1):
        if line.strip():
            yield f"line {number}", partial(_record, line)


def _record(line: str) -> Any:
    try:
        return parse(line)
    except RecordError:
        raise
    except ValueError:
        raise RecordError(_NO_PAIR) from None


class _PlainUnpickler(pickle.Unpickler):
    """Reads containers, text and numbers only; a pickle that names a function or class is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, and could run anything")

    def persistent_load(self, identity: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside")


def _templates(file: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Records of a pickled mapping from a construction's cases to (good, …, bad) sentences."""
    raw = _bytes(file)
    try:
        _refuse_large_memos(raw)
        cases = _PlainUnpickler(io.BytesIO(raw)).load()
    except Exception as error:  # a damaged pickle can raise anything
        raise CorpusError(f"{file} is no pickle of plain text: {error}. Nothing of it was run") from None
    if not isinstance(cases, Mapping):
        raise CorpusError(f"{file} holds a {type(cases).__name__}, not a mapping of cases to sentences")
    for case, items in cases.items():
        if not isinstance(case, str) or not isinstance(items, (list, tuple)):
            raise CorpusError(f"{file} is no mapping of cases to sentences: every case must be text, with a list of sentences")
        for number, item in enumerate(items, 1):
            texts = item if isinstance(item, (tuple, list)) and len(item) > 1 else (None, None)
            yield f"{case}, item {number}", partial(dict, sentence_good=texts[0], sentence_bad=texts[-1])


def _bytes(file: Path) -> bytes:
    try:
        if file.stat().st_size > bounds.LARGEST_PICKLE:
            raise CorpusError(f"{file} has more than {bounds.LARGEST_PICKLE // 2**20} MiB; write its sentences as .jsonl")
        return file.read_bytes()
    except OSError as error:
        raise CorpusError(f"cannot read {file}: {error.strerror}") from None


def _refuse_large_memos(raw: bytes) -> None:
    """Refuse a pickle that gives an object a number beyond its own size, as memory is allocated for all smaller numbers."""
    for opcode, number, _ in pickletools.genops(raw):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(number or 0) > len(raw):
            raise pickle.UnpicklingError(f"it numbers an object {number}")


def _pair(record: Any, file: str, benchmark: str) -> MinimalPair:
    """The pair of a record; `file` names the paradigm of a record that does not."""
    if not isinstance(record, Mapping):
        raise RecordError(_NO_PAIR)
    sentences = []
    for key in ("sentence_good", "sentence_bad"):
        if key not in record:
            raise RecordError(f"no field {key!r}")
        if not isinstance(record[key], str) or not record[key].strip():
            raise RecordError(_NO_PAIR)
        sentences.append(record[key])
    phenomenon = _named(record, "linguistics_term", "phenomenon")
    paradigm = _named(record, "UID", "paradigm") or (f"{file}/{phenomenon}" if phenomenon else file)
    for text in (*sentences, paradigm, phenomenon):
        check_characters(text)
    return MinimalPair(sentences[0], sentences[1], phenomenon or paradigm, paradigm, benchmark)


def _named(record: Mapping[str, Any], *keys: str) -> str:
    """The text under one of the names of a field; empty if the record has none of them."""
    values = {key: record[key] for key in keys if key in record}
    for key, value in values.items():
        if not isinstance(value, str) or not value.strip():
            raise RecordError(f"{key} must be text, got {value!r}")
    if len(set(values.values())) > 1:
        raise RecordError(" and ".join(f"{key} {value!r}" for key, value in values.items()) + " differ; keep one of the two")
    return next(iter(values.values()), "")


def critical_regions(pair: MinimalPair) -> tuple[tuple[int, int], tuple[int, int]]:
    """The regions where the sentences differ: characters [start, stop) of the good and of the bad one.

    A region holds the words between the longest shared beginning and the longest shared end. If a
    sentence has no word there, the next word belongs to the region of both sentences; at the end of a
    sentence its region is empty.
    """
    good, bad = (list(re.finditer(r"\S+", text)) for text in (pair.sentence_good, pair.sentence_bad))
    shortest = min(len(good), len(bad))
    start = next((i for i in range(shortest) if good[i][0] != bad[i][0]), shortest)
    end = next((i for i in range(shortest - start) if good[-1 - i][0] != bad[-1 - i][0]), shortest - start)
    if end and shortest - start - end == 0 and len(good) != len(bad):
        end -= 1
    return _span(good, start, end), _span(bad, start, end)


def _span(words: list[re.Match[str]], start: int, end: int) -> tuple[int, int]:
    region = words[start : len(words) - end]
    return (region[0].start(), region[-1].end()) if region else (0, 0)
