"""Model names, their checkpoints, and loading.

Owns the way from a name on the command line to weights in memory: the checkpoints of a model, the check
that they are available (the preflight), and loading. Loading never runs code from a model's folder and
never guesses a dtype; `loading.py` reads the files.
"""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from actstore.builtin import MODELS_FOLDER
from actstore.errors import ModelError, UnknownNameError, first_line
from actstore.files import existing, looks_like_path
from actstore.hub import repositories
from actstore.hub.calls import MissingRevisionError
from actstore.model.arithmetic import fix_summation_order
from actstore.model.catalogue import CATALOGUE, Entry, entry_of, known_problem
from actstore.model.checkpoints import Checkpoint, LocalCheckpoint
from actstore.model.loading import location, quietly, read_config, read_model
from actstore.store.ledger import checksum

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_STEP = re.compile(r"step(\d+)")
_RANGE = re.compile(r"[0-9]{1,18}:[0-9]{1,18}(:[0-9]{1,18})?")
_NUMBER = re.compile("[0-9]{1,18}")
_LONGEST_NAME = 60
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_log = logging.getLogger("actstore")
MAIN = 0
"""The training step of a model without a training history."""
UNNUMBERED = -1
"""The training step of a suite's `main` that is not one of its checkpoints."""


@dataclass(frozen=True)
class ModelSource:
    """A model and its checkpoints: training step → files, in ascending order.

    Attributes
    ----------
    name : str
        Short name, repository or folder.
    checkpoints : dict of int to Checkpoint
    main_step : int
        The checkpoint that `main` stands for.
    entry : Entry, optional
        Entry of the catalogue.
    """

    name: str
    checkpoints: dict[int, Checkpoint]
    main_step: int
    entry: Entry | None = None

    @property
    def weights_digest(self) -> str:
        """Digest that changes if the files of a checkpoint change, see `Checkpoint.identity`."""
        identities = "\n".join(f"{step} {checkpoint.identity}" for step, checkpoint in self.checkpoints.items())
        return hashlib.blake2b(identities.encode(), digest_size=16).hexdigest()


def builtin_names() -> list[str]:
    """Names of the embedded models."""
    return sorted(folder.name for folder in MODELS_FOLDER.glob("*") if folder.is_dir())


def resolve(name: str, *, connect: bool = True) -> ModelSource:
    """Find a model by name.

    Parameters
    ----------
    name : str
        An embedded model, a local folder (one model, or a suite of `step*/` checkpoints), a
        `.gguf` file, a short name of the catalogue, or a hub repository `owner/name`.
    connect : bool
        Whether the hub may be asked; otherwise a public model has the checkpoints that the
        catalogue lists.

    Raises
    ------
    UnknownNameError, ModelError
        If there is no such model, the path is no model, or the hub cannot be reached.
    """
    if name in builtin_names():
        return _local(MODELS_FOLDER / name)
    path = existing(name)
    if path is not None:
        return _local(path.resolve())  # workers may run in another folder
    entry = entry_of(name)
    if entry is not None:
        return _public(entry.repo, entry, connect)
    if _REPOSITORY.fullmatch(name) and not name.startswith("."):
        try:
            return _public(name, None, connect)
        except ModelError as error:
            raise ModelError(f"there is no folder {name} here, and as a hub repository: {error}") from None
    if looks_like_path(name) or name.endswith(".gguf"):
        raise ModelError(f"model {name}: no such file or folder")
    choices = [*builtin_names(), *CATALOGUE, "a hub repository owner/name", "a local folder or .gguf file"]
    raise UnknownNameError("model", name, choices)


def _local(path: Path) -> ModelSource:
    if path.suffix == ".gguf" and path.is_file():
        return ModelSource(path.stem, {MAIN: LocalCheckpoint(path)}, MAIN)
    if not path.is_dir():
        raise ModelError(f"{path} is neither a model folder nor a .gguf file")
    folders = {int(m[1]): folder for folder in path.iterdir() if folder.is_dir() and (m := _STEP.fullmatch(folder.name))}
    if folders:
        tokenizer = path if (path / "tokenizer.json").is_file() else None
        checkpoints: dict[int, Checkpoint] = {step: LocalCheckpoint(folders[step], tokenizer) for step in sorted(folders)}
        return ModelSource(path.name, checkpoints, max(folders))
    if (path / "config.json").is_file():
        return ModelSource(path.name, {MAIN: LocalCheckpoint(path)}, MAIN)
    raise ModelError(f"{path} holds neither a config.json nor step*/ folders, so it is no model")


def _public(repo: str, entry: Entry | None, connect: bool) -> ModelSource:
    name = entry.name if entry else repo
    listed_steps = entry.steps if entry else ()
    checkpoints: dict[int, Checkpoint]
    if connect:
        revisions, main = repositories.revisions(repo)
        checkpoints = dict(revisions)
    else:
        main = repositories.HubCheckpoint(repo, "main")
        checkpoints = {step: repositories.HubCheckpoint(repo, f"step{step}") for step in listed_steps}
    # The final model of a suite outside the catalogue may be annealed or merged, so it is none of the steps.
    main_step = listed_steps[-1] if listed_steps else UNNUMBERED if checkpoints else MAIN
    checkpoints.setdefault(main_step, main)
    return ModelSource(name, dict(sorted(checkpoints.items())), main_step, entry)


def choose_checkpoints(source: ModelSource, spec: str, *, strict: bool = False) -> list[int]:
    """The training steps that a specification names, ascending.

    Parameters
    ----------
    source : ModelSource
    spec : str
        `all` (every training step), `main` (the final model), `log` (0 and the powers of two, then the last), a range
        `start:stop:every` (both ends included), or steps such as `512,step1000`.
    strict : bool
        Whether a listed step that does not exist is an error; otherwise it is reported and left out.

    Raises
    ------
    UnknownNameError, ModelError
        If the specification is not valid, or no checkpoint matches.
    """
    if spec == "main":
        return [source.main_step]
    available = [step for step in source.checkpoints if step != UNNUMBERED]
    if spec == "all":
        return available
    if spec == "log":
        return [step for step in available if step & (step - 1) == 0 or step == available[-1]]
    if _RANGE.fullmatch(spec):
        start, stop, every = (*map(int, spec.split(":")), 1)[:3]
        if every == 0:
            raise ModelError(f"--checkpoints {spec!r} steps by 0; give a positive step")
        steps = [step for step in available if step in range(start, stop + 1, every)]
        if not steps:
            raise ModelError(f"no checkpoint of {source.name} lies in {spec}; it has {_summary(available)}")
        return steps
    return _listed(source, spec, strict)


def _summary(steps: list[int]) -> str:
    return ", ".join(map(str, steps)) if len(steps) < 30 else f"{len(steps)} from {steps[0]} to {steps[-1]}"


def _listed(source: ModelSource, spec: str, strict: bool) -> list[int]:
    """The training steps of a list such as `512,step1000`."""
    choices = ["all", "main", "log", *source.checkpoints]
    labels = [part.strip().removeprefix("step") for part in spec.split(",")]
    invalid = next((label for label in labels if not _NUMBER.fullmatch(label)), None)
    if invalid is not None:
        raise UnknownNameError(f"checkpoint of {source.name}", invalid[:_LONGEST_NAME], choices)
    steps = sorted({int(label) for label in labels})
    missing = [step for step in steps if step not in source.checkpoints]
    if missing and (strict or len(missing) == len(steps)):
        raise UnknownNameError(f"checkpoint of {source.name}", missing[0], choices)
    for step in missing:
        _log.warning("%s has no checkpoint %d; left out", source.name, step)
    return [step for step in steps if step not in missing]


def preflight(source: ModelSource, steps: list[int], *, strict: bool = False, allow_v0: bool = False) -> ModelSource:
    """The source with the available checkpoints among `steps`, each pinned to its files.

    Asks the hub for every revision's files before anything is computed. Warns of revisions that are
    missing, that have the weights of an earlier one, or that are known to be wrong.

    Raises
    ------
    ModelError
        If a revision is missing and `strict` is set, or no checkpoint is available; or if several
        checkpoints of a `-v0` Pythia are requested without `allow_v0`, because their steps are
        numbered in another way.
    """
    if source.name.startswith("EleutherAI/pythia-") and source.name.endswith("-v0") and len(steps) > 1 and not allow_v0:
        raise ModelError(
            f"{source.name} numbers its checkpoints otherwise than the final suite, so a trend over them misleads; "
            "use the model without -v0, or --allow-v0"
        )
    chosen = {step: source.checkpoints[step] for step in steps}
    remote = {step: checkpoint for step, checkpoint in chosen.items() if isinstance(checkpoint, repositories.HubCheckpoint)}
    available: dict[int, Checkpoint] = {}
    for step, checkpoint in {**chosen, **repositories.inspect(remote)}.items():
        if not isinstance(checkpoint, MissingRevisionError):
            available[step] = checkpoint
        elif strict:
            raise checkpoint
        else:
            _log.warning("%s; left out", checkpoint)
    if not available:
        raise ModelError(f"none of the {len(steps)} checkpoints of {source.name} is available")
    _warn_of_duplicates(source, available)
    _warn_of_known_problems(source, available)
    return replace(source, checkpoints=available)


def _warn_of_duplicates(source: ModelSource, checkpoints: dict[int, Checkpoint]) -> None:
    first_step: dict[str, int] = {}
    for step, checkpoint in checkpoints.items():
        first = first_step.setdefault(checkpoint.digest, step) if checkpoint.digest else step
        if first != step:
            _log.warning("%s: step %d has the weights of step %d; it will be marked duplicate_of", source.name, step, first)


def _warn_of_known_problems(source: ModelSource, checkpoints: dict[int, Checkpoint]) -> None:
    if source.entry is None:
        return
    steps_of: dict[str, list[str]] = {}
    for step in checkpoints:
        if problem := known_problem(source.entry.repo, step):
            steps_of.setdefault(problem, []).append(str(step))
    for problem, steps in steps_of.items():
        listing = ", ".join(steps)
        _log.warning("%s: %s (%s)", source.name, problem, f"step {listing}" if len(listing) < 60 else "most steps")


def load_tokenizer(source: ModelSource) -> PreTrainedTokenizerBase:
    """The tokenizer that all checkpoints of a model share.

    Raises
    ------
    ModelError
        If there is none, or it cannot be read.
    """
    from transformers import AutoTokenizer

    path = source.checkpoints[max(source.checkpoints)].tokenizer_folder()
    with quietly(f"the tokenizer of {source.name}"):
        return AutoTokenizer.from_pretrained(**location(path), local_files_only=True, trust_remote_code=False)


def load(source: ModelSource, step: int, dtype: torch.dtype, device: str = "cpu") -> PreTrainedModel:
    """Load a checkpoint in evaluation mode and in the requested dtype.

    Raises
    ------
    ModelError
        If the weights are missing, damaged or not those of the configuration, or do not fit on the
        device, or surprisal cannot be computed for the family.
    """
    import torch

    from actstore.model.scoring import check_logits

    fix_summation_order()
    checkpoint = source.checkpoints[step]
    model = read_model(checkpoint.fetch(), checkpoint.label, dtype)
    try:
        model = model.to(device).eval().requires_grad_(False)
        check_logits(model)
    except torch.OutOfMemoryError as error:
        raise ModelError(f"{source.name} does not fit on {device}: {first_line(error)}") from None
    return model


def outline(source: ModelSource, *, connect: bool = True) -> PreTrainedModel:
    """The modules and configuration of a model without weights, on the meta device.

    Parameters
    ----------
    source : ModelSource
    connect : bool
        Whether the configuration may be downloaded; otherwise the catalogue's sizes are used.

    Raises
    ------
    ModelError
        If there is no configuration, or it cannot be read.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with quietly(f"the configuration of {source.name}"):
        if not connect and source.entry is not None:
            config = AutoConfig.for_model(source.entry.family, **source.entry.config)
        else:
            config = read_config(source.checkpoints[max(source.checkpoints)].config_folder())
        with torch.device("meta"):
            # Implementations that run without values, so that modules can be tried on the meta device.
            return AutoModelForCausalLM.from_config(config, attn_implementation="eager", experts_implementation="batched_mm")


def weights_fingerprint(model: PreTrainedModel) -> str:
    """Digest of every parameter and buffer that a checkpoint stores, in name order.

    It digests the CRC-32C of each tensor, so it costs little compared to loading.
    """
    import torch

    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} {checksum(values)}\n".encode())
    return digest.hexdigest()


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Digest of the vocabulary and the BOS and EOS tokens."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr(sorted(tokenizer.get_vocab().items())).encode())
    digest.update(repr((tokenizer.bos_token_id, tokenizer.eos_token_id)).encode())
    return digest.hexdigest()
