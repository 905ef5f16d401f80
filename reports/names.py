"""Names of a study's models: of their folders, in steps and on the page.

Owns how two models of one base name are told apart.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from actstore.errors import ActstoreError


def model_names(models: Sequence[str]) -> dict[str, str]:
    """Model → the name of its folder, no two of which are alike, whether upper or lower case.

    It is the model's base name. Where two share that, a hub repository `owner/name` is
    `owner--name`, and a path has a digest of it at the end.

    Parameters
    ----------
    models : sequence of str
        As the study names them; paths absolute.

    Raises
    ------
    ActstoreError
        If a model is named twice, or two cannot be told apart.
    """
    twice = next((model for model, count in Counter(models).items() if count > 1), None)
    if twice is not None:
        raise ActstoreError(f"models names {twice!r} twice; name each model once")
    shared = Counter(_base(model).casefold() for model in models)
    names = {model: _base(model) if shared[_base(model).casefold()] == 1 else _whole(model) for model in models}
    count = Counter(name.casefold() for name in names.values())
    alike = [model for model in models if count[names[model].casefold()] > 1]
    if alike:
        raise ActstoreError(f"the models {' and '.join(alike)} would share the folder {names[alike[0]]}; rename one of them")
    return names


def _base(model: str) -> str:
    return _plain(Path(model).name.removesuffix(".gguf")) or "model"


def _whole(model: str) -> str:
    """The whole name of a repository; of a path, which may be long, its base name and a digest."""
    if Path(model).is_absolute():
        return f"{_base(model)}-{hashlib.blake2b(model.encode(), digest_size=4).hexdigest()}"
    return "--".join(map(_plain, Path(model).parts))


def _plain(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text)
