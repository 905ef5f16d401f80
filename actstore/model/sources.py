"""Model names, their checkpoints, and loading.

Owns the way from a name on the command line to weights in memory: which checkpoints there are,
which of them can be had (the preflight), and loading. Loading never runs code from a model's
folder and never guesses a dtype; `loading.py` does it.
"""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from actstore.builtin import MODELS_FOLDER
from actstore.errors import ModelError, UnknownNameError, first_line
from actstore.files import existing, looks_like_path
from actstore.hub import repositories
from actstore.model.arithmetic import fix_summation_order
from actstore.model.catalogue import CATALOGUE, Entry, entry_of, known_problem
from actstore.model.loading import quietly, read_config, read_model, where
from actstore.store.ledger import checksum

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_STEP = re.compile(r"step(\d+)")
_WEIGHTS = re.compile(r".*\.(safetensors|bin|gguf)")
_RANGE = re.compile(r"[0-9]{1,18}:[0-9]{1,18}(:[0-9]{1,18})?")
_LISTED = re.compile("[0-9]{1,18}")
_LONGEST_NAME = 60
_SAMPLE, _N_SAMPLES = 4096, 1024
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_log = logging.getLogger("actstore")
MAIN = 0
"""The checkpoint number of a model that has no training history."""
UNNUMBERED = -1
"""The checkpoint number of a suite's `main` that is none of its training steps."""


class Checkpoint(Protocol):
    """Where one checkpoint's files are, or come from."""

    @property
    def revision(self) -> str:
        """Name of the folder, file or hub revision."""

    @property
    def label(self) -> str:
        """What messages call it."""

    @property
    def digest(self) -> str:
        """Equal for two checkpoints only if their weight files are equal; empty if not known before loading."""

    @property
    def identity(self) -> str:
        """Changes when the files do, as far as can be told without reading all of them."""

    def config_folder(self) -> Path:
        """A folder (or .gguf file) with the configuration."""

    def tokenizer_folder(self) -> Path:
        """A folder (or .gguf file) with the tokenizer."""

    def fetch(self) -> Path:
        """A folder (or .gguf file) with everything."""

    def discard(self) -> None:
        """Free what `fetch` downloaded."""


@dataclass(frozen=True)
class LocalCheckpoint:
    """A model folder or `.gguf` file on this machine; never discarded."""

    path: Path
    tokenizer: Path | None = None
    digest: str = ""

    @property
    def revision(self) -> str:
        """Name of the folder or file."""
        return self.path.name

    @property
    def label(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def identity(self) -> str:
        """Digest of names, sizes and samples of the weight files: whole up to 4 MiB, 1,024 places beyond."""
        return _sampled_digest(self.path)

    def config_folder(self) -> Path:
        """The path itself."""
        return self.path

    def tokenizer_folder(self) -> Path:
        """The suite's folder, where it has a tokenizer, or the path itself."""
        return self.tokenizer or self.path

    def fetch(self) -> Path:
        """The path itself."""
        return self.path

    def discard(self) -> None:
        """Nothing: these are the user's own files."""


def _sampled_digest(path: Path) -> str:
    files = [path] if path.is_file() else [f for f in sorted(path.iterdir()) if _WEIGHTS.fullmatch(f.name) and f.is_file()]
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name} {size}".encode())
        with file.open("rb") as stream:
            for place in range(0, size, max(_SAMPLE, size // _N_SAMPLES)):
                stream.seek(place)
                digest.update(stream.read(_SAMPLE))
    return digest.hexdigest()


@dataclass(frozen=True)
class ModelSource:
    """A model and its checkpoints: training step → where the files are, in ascending order.

    Attributes
    ----------
    name : str
        Short name, repository or folder.
    checkpoints : dict of int to Checkpoint
    main_step : int
        The checkpoint that `main` stands for.
    entry : Entry, optional
        What the catalogue says of it.
    """

    name: str
    checkpoints: dict[int, Checkpoint]
    main_step: int
    entry: Entry | None = None

    @property
    def weights_digest(self) -> str:
        """Changes when the files of a checkpoint do, see `Checkpoint.identity`."""
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
        catalogue knows.

    Raises
    ------
    UnknownNameError, ModelError
        If there is no such model, the path holds none, or the hub cannot be reached.
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
    steps = {int(m[1]): folder for folder in path.iterdir() if folder.is_dir() and (m := _STEP.fullmatch(folder.name))}
    if steps:
        shared = path if (path / "tokenizer.json").is_file() else None
        found: dict[int, Checkpoint] = {step: LocalCheckpoint(steps[step], shared) for step in sorted(steps)}
        return ModelSource(path.name, found, max(found))
    if (path / "config.json").is_file():
        return ModelSource(path.name, {MAIN: LocalCheckpoint(path)}, MAIN)
    raise ModelError(f"{path} holds neither a config.json nor step*/ folders, so it is no model")


def _public(repo: str, entry: Entry | None, connect: bool) -> ModelSource:
    name = entry.name if entry else repo
    known = entry.steps if entry else ()
    steps: dict[int, Checkpoint]
    if connect:
        found, main = repositories.revisions(repo)
        steps = dict(found)
    else:
        main = repositories.HubCheckpoint(repo, "main")
        steps = {step: repositories.HubCheckpoint(repo, f"step{step}") for step in known}
    # The final model of an unknown suite may be annealed or merged: it is none of the steps.
    main_step = known[-1] if known else UNNUMBERED if steps else MAIN
    steps.setdefault(main_step, main)
    return ModelSource(name, dict(sorted(steps.items())), main_step, entry)


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
        If the specification cannot be read, or nothing matches.
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
        chosen = [step for step in available if step in range(start, stop + 1, every)]
        if not chosen:
            raise ModelError(f"no checkpoint of {source.name} lies in {spec}; it has {_listing(available)}")
        return chosen
    return _listed(source, spec, strict)


def _listing(steps: list[int]) -> str:
    return ", ".join(map(str, steps)) if len(steps) < 30 else f"{len(steps)} from {steps[0]} to {steps[-1]}"


def _listed(source: ModelSource, spec: str, strict: bool) -> list[int]:
    choices = ["all", "main", "log", *source.checkpoints]
    labels = [part.strip().removeprefix("step") for part in spec.split(",")]
    unreadable = next((label for label in labels if not _LISTED.fullmatch(label)), None)
    if unreadable is not None:
        raise UnknownNameError(f"checkpoint of {source.name}", unreadable[:_LONGEST_NAME], choices)
    wanted = sorted({int(label) for label in labels})
    missing = [step for step in wanted if step not in source.checkpoints]
    if missing and (strict or len(missing) == len(wanted)):
        raise UnknownNameError(f"checkpoint of {source.name}", missing[0], choices)
    for step in missing:
        _log.warning("%s has no checkpoint %d; left out", source.name, step)
    return [step for step in wanted if step not in missing]


def preflight(source: ModelSource, steps: list[int], *, strict: bool = False, allow_v0: bool = False) -> ModelSource:
    """The source with exactly those of `steps` that can be had, each one resolved.

    Asks the hub for every revision's files before anything is computed. Reports revisions that
    are missing, whose weights an earlier one has, or that are known to be wrong.

    Raises
    ------
    ModelError
        If a revision is missing and `strict` is set, or none is left; or if several checkpoints of
        a `-v0` Pythia are asked for without `allow_v0`: their steps mean something else.
    """
    if source.name.startswith("EleutherAI/pythia-") and source.name.endswith("-v0") and len(steps) > 1 and not allow_v0:
        raise ModelError(
            f"{source.name} numbers its checkpoints otherwise than the final suite, so a trend over them misleads; "
            "use the model without -v0, or --allow-v0"
        )
    asked = {step: source.checkpoints[step] for step in steps}
    remote = {step: checkpoint for step, checkpoint in asked.items() if isinstance(checkpoint, repositories.HubCheckpoint)}
    resolved: dict[int, Checkpoint] = {}
    for step, found in {**asked, **repositories.inspect(remote)}.items():
        if not isinstance(found, repositories.MissingRevisionError):
            resolved[step] = found
        elif strict:
            raise found
        else:
            _log.warning("%s; left out", found)
    if not resolved:
        raise ModelError(f"none of the {len(steps)} checkpoints of {source.name} can be had")
    _warn(source, resolved)
    return replace(source, checkpoints=resolved)


def _warn(source: ModelSource, checkpoints: dict[int, Checkpoint]) -> None:
    first: dict[str, int] = {}
    for step, checkpoint in checkpoints.items():
        original = first.setdefault(checkpoint.digest, step) if checkpoint.digest else step
        if original != step:
            _log.warning("%s: step %d has the weights of step %d; it will be marked duplicate_of", source.name, step, original)
    if source.entry is not None:
        problems = [(step, problem) for step in checkpoints if (problem := known_problem(source.entry.repo, step))]
        for problem in dict.fromkeys(problem for _, problem in problems):
            listed = ", ".join(str(step) for step, same in problems if same == problem)
            _log.warning("%s: %s (%s)", source.name, problem, f"step {listed}" if len(listed) < 60 else "most steps")


def load_tokenizer(source: ModelSource) -> PreTrainedTokenizerBase:
    """The tokenizer that all checkpoints of a model share.

    Raises
    ------
    ModelError
        If there is none, or it cannot be read.
    """
    from transformers import AutoTokenizer

    place = source.checkpoints[max(source.checkpoints)].tokenizer_folder()
    with quietly(f"the tokenizer of {source.name}"):
        return AutoTokenizer.from_pretrained(**where(place), local_files_only=True, trust_remote_code=False)


def load(source: ModelSource, step: int, dtype: torch.dtype, device: str = "cpu") -> PreTrainedModel:
    """One checkpoint, in evaluation mode, in the dtype asked for.

    Raises
    ------
    ModelError
        If the weights are missing, damaged or not those of the configuration, do not fit on the
        device, or the family's logits are not understood.
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
        Whether the configuration may be downloaded; otherwise the catalogue's sizes serve.

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
            # Ways of computing that need no values, so that modules can be tried.
            return AutoModelForCausalLM.from_config(config, attn_implementation="eager", experts_implementation="batched_mm")


def weights_fingerprint(model: PreTrainedModel) -> str:
    """Digest of every parameter and buffer that a checkpoint stores, in name order.

    Of each tensor its CRC-32C is taken, so that it costs little beside loading.
    """
    import torch

    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} {checksum(values)}\n".encode())
    return digest.hexdigest()


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Digest of the vocabulary and the tokens that open and close a text."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr(sorted(tokenizer.get_vocab().items())).encode())
    digest.update(repr((tokenizer.bos_token_id, tokenizer.eos_token_id)).encode())
    return digest.hexdigest()
