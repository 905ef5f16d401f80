"""Names of a study's models, for their folders, their steps and the page.

Owns how two models with the same base name get different names.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from actstore.errors import ActstoreError


def model_names(models: Sequence[str]) -> dict[str, str]:
    """The name of every model's folder; no two are alike, in upper or lower case.

    It is the model's base name. If two models share that, the name of a hub repository `owner/name` is
    `owner--name`, and the name of a path ends in a digest of the path.

    Parameters
    ----------
    models : sequence of str
        As the study names them; paths absolute.

    Raises
    ------
    ActstoreError
        If a model is named twice, or two would still share a folder.
    """
    twice = next((model for model, count in Counter(models).items() if count > 1), None)
    if twice is not None:
        raise ActstoreError(f"models names {twice!r} twice; name each model once")
    n_models = Counter(_base(model).casefold() for model in models)
    names = {model: _base(model) if n_models[_base(model).casefold()] == 1 else _whole(model) for model in models}
    n_names = Counter(name.casefold() for name in names.values())
    alike = [model for model in models if n_names[names[model].casefold()] > 1]
    if alike:
        raise ActstoreError(f"the models {' and '.join(alike)} would share the folder {names[alike[0]]}; rename one of them")
    return names


def _base(model: str) -> str:
    """The last part of a model's name, without the suffix of a GGUF file."""
    return _plain(Path(model).name.removesuffix(".gguf")) or "model"


def _whole(model: str) -> str:
    """The whole name of a repository; of a path, which may be long, the base name and a digest."""
    if Path(model).is_absolute():
        return f"{_base(model)}-{hashlib.blake2b(model.encode(), digest_size=4).hexdigest()}"
    return "--".join(map(_plain, Path(model).parts))


def _plain(text: str) -> str:
    """Text with a hyphen for every run of characters that a folder's name should not have."""
    return re.sub(r"[^\w.-]+", "-", text)
