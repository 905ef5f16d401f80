"""Model names, their checkpoints, and loading.

Owns the way from a name on the command line to weights in memory. Loading never runs code from
a model's folder and never guesses a dtype.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from actstore.builtin import MODELS_FOLDER
from actstore.errors import ModelError, UnknownNameError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_STEP = re.compile(r"step(\d+)")
MAIN = 0
"""The checkpoint number of a model that has no training history."""


@dataclass(frozen=True)
class ModelSource:
    """A model with its checkpoints on disk: training step → folder, in ascending order."""

    name: str
    checkpoints: dict[int, Path]
    tokenizer_folder: Path


def builtin_names() -> list[str]:
    """Names of the embedded models."""
    return sorted(folder.name for folder in MODELS_FOLDER.glob("*") if folder.is_dir())


def resolve(name: str) -> ModelSource:
    """Find a model by the name of an embedded one or by its local folder.

    A folder is one model (it has a `config.json`) or a suite of `step*/` checkpoints.

    Raises
    ------
    UnknownNameError, ModelError
        If there is no such model, or the folder holds none.
    """
    folder = MODELS_FOLDER / name if name in builtin_names() else Path(name)
    if not folder.is_dir():
        raise UnknownNameError("model", name, [*builtin_names(), "a local folder"])
    steps = {int(m[1]): path for path in folder.iterdir() if path.is_dir() and (m := _STEP.fullmatch(path.name))}
    if steps:
        shared = (folder / "tokenizer.json").is_file()
        return ModelSource(folder.name, dict(sorted(steps.items())), folder if shared else steps[max(steps)])
    if (folder / "config.json").is_file():
        return ModelSource(folder.name, {MAIN: folder}, folder)
    raise ModelError(f"{folder} holds neither a config.json nor step*/ folders, so it is no model")


def choose_checkpoints(source: ModelSource, spec: str) -> list[int]:
    """The training steps that a specification names, ascending.

    Parameters
    ----------
    source : ModelSource
    spec : str
        `all`, `main` (the last), `log` (0 and the powers of two, then the last), a range
        `start:stop:every` (both ends included), or steps such as `512,step1000`.

    Raises
    ------
    UnknownNameError, ModelError
        If a step does not exist, or nothing matches.
    """
    available = list(source.checkpoints)
    if spec == "all":
        return available
    if spec == "main":
        return [available[-1]]
    if spec == "log":
        return [step for step in available if step & (step - 1) == 0 or step == available[-1]]
    if re.fullmatch(r"\d+:\d+(:\d+)?", spec):
        start, stop, every = (*map(int, spec.split(":")), 1)[:3]
        if every == 0:
            raise ModelError(f"--checkpoints {spec!r} steps by 0; give a positive step")
        chosen = [step for step in available if step in range(start, stop + 1, every)]
        if not chosen:
            raise ModelError(f"no checkpoint of {source.name} lies in {spec}; it has {', '.join(map(str, available))}")
        return chosen
    chosen = []
    for part in spec.split(","):
        label = part.strip().removeprefix("step")
        if not label.isdecimal() or int(label) not in source.checkpoints:
            raise UnknownNameError(f"checkpoint of {source.name}", part.strip(), ["all", "main", "log", *available])
        chosen.append(int(label))
    return sorted(set(chosen))


def load_tokenizer(source: ModelSource) -> PreTrainedTokenizerBase:
    """The tokenizer that all checkpoints of a model share."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(source.tokenizer_folder, local_files_only=True, trust_remote_code=False)


def load(source: ModelSource, step: int, dtype: torch.dtype, device: str = "cpu") -> PreTrainedModel:
    """One checkpoint, in evaluation mode, in the dtype asked for.

    Raises
    ------
    ModelError
        If the weights are missing or damaged.
    """
    from transformers import AutoModelForCausalLM

    folder = source.checkpoints[step]
    try:
        with _quiet():
            model = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, local_files_only=True, trust_remote_code=False, attn_implementation="sdpa"
            )
    except Exception as error:  # any reader of any weight format may fail in its own way
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"cannot load {folder}: {reason}") from error
    return model.to(device).eval()


def outline(source: ModelSource) -> PreTrainedModel:
    """The last checkpoint's modules and configuration without weights, on the meta device."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = source.checkpoints[max(source.checkpoints)]
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config)
    except Exception as error:  # any configuration may be wrong in its own way
        raise ModelError(f"cannot read the configuration in {folder}: {str(error).strip().splitlines()[0]}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the loader's own progress bars out of ours."""
    from transformers.utils import logging

    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()


def weights_fingerprint(model: PreTrainedModel) -> str:
    """Digest of every parameter and buffer that a checkpoint stores, in name order."""
    import torch

    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Digest of the vocabulary and the tokens that open and close a text."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr(sorted(tokenizer.get_vocab().items())).encode())
    digest.update(repr((tokenizer.bos_token_id, tokenizer.eos_token_id)).encode())
    return digest.hexdigest()
