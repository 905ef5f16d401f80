"""A study: one TOML file that names everything a report is made from.

Owns its keys, their defaults and the error for a wrong one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actstore.settings import build, read_toml


@dataclass(frozen=True)
class SelectionStudy:
    """`[selection]`: the share of each layer called Wasserstein neurons, and random controls."""

    fraction: float = 0.01
    random_seeds: int = 5


@dataclass(frozen=True)
class AblationStudy:
    """`[ablation]`: interventions, the text of perplexity, and the minimal pairs."""

    interventions: tuple[str, ...] = ("negative-zero",)
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
    raw = read_toml(path, "study")
    tables = {"selection": SelectionStudy, "ablation": AblationStudy}
    parts: dict[str, Any] = {key: build(kind, raw.pop(key, {}), f"key of [{key}]", path) for key, kind in tables.items()}
    return build(Study, {**raw, **parts}, "key", path)
