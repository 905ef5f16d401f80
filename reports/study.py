"""A study: one TOML file that names everything a report is made from.

Owns its keys, their defaults and the error for a wrong one.
"""

from __future__ import annotations

import tomllib
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from actstore.errors import ActstoreError, UnknownNameError

T = TypeVar("T")


@dataclass(frozen=True)
class SelectionStudy:
    """`[selection]`: the share of each layer called Wasserstein neurons, and random controls."""

    fraction: float = 0.01
    random_seeds: int = 5


@dataclass(frozen=True)
class AblationStudy:
    """`[ablation]`: interventions, the text of perplexity, and the minimal pairs."""

    interventions: list[str] = field(default_factory=lambda: ["negative-zero"])
    checkpoints: str = "main"
    corpus: str = "builtin-evaluation"
    tokens: int = 16_384
    pairs: str = "builtin"


@dataclass(frozen=True)
class Study:
    """Model, text and sizes of the extraction; the rest in its tables."""

    name: str
    model: str
    checkpoints: str = "main"
    corpus: str = "builtin"
    tokens: int = 16_384
    window: int = 128
    seed: int = 0
    selection: SelectionStudy = field(default_factory=SelectionStudy)
    ablation: AblationStudy = field(default_factory=AblationStudy)


def load_study(path: str | Path) -> Study:
    """Read a study.

    Raises
    ------
    ActstoreError
        If the file cannot be read, is no TOML, misses a key or has an unknown one.
    """
    try:
        raw = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ActstoreError(f"cannot read the study {path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ActstoreError(f"{path} is not valid TOML: {error}") from None
    tables = {"selection": SelectionStudy, "ablation": AblationStudy}
    parts: dict[str, Any] = {key: _build(kind, raw.pop(key, {}), f"key of [{key}]", path) for key, kind in tables.items()}
    return _build(Study, {**raw, **parts}, "key", path)


def _build(kind: type[T], values: Any, what: str, path: str | Path) -> T:
    if not isinstance(values, dict):
        raise ActstoreError(f"{path}: {what.removeprefix('key of ')} must be a table")
    known = {spec.name: spec for spec in fields(kind)}  # type: ignore[arg-type]
    for key, value in values.items():
        if key not in known:
            raise UnknownNameError(f"{what} in {path}", key, known)
        expected = {"str": str, "int": int, "float": (int, float), "list[str]": list}.get(str(known[key].type))
        if expected is not None and (not isinstance(value, expected) or isinstance(value, bool)):  # type: ignore[arg-type]
            raise ActstoreError(f"{path}: {key} must be {known[key].type}, got {value!r}")
    missing = [k for k, s in known.items() if s.default is MISSING and s.default_factory is MISSING and k not in values]
    if missing:
        raise ActstoreError(f"{path} lacks {', '.join(missing)}")
    return kind(**values)
