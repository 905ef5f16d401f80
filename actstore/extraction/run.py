"""Extraction: one pass of a model over a corpus, into a store.

Owns the run: what a configuration means (`Job`), which blocks there are, who computes them, and
when the store is whole. A block is a pure function of the job; `block.py` computes it.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from actstore import bounds
from actstore.errors import ActstoreError, CorpusError, ModelError, StoreError, StoreExistsError, first_line
from actstore.extraction.block import Block, BlockRunner
from actstore.model import scoring, sources
from actstore.model.families import Adapter, adapter_for, nonlinearity
from actstore.model.sites import measure
from actstore.store.layout import Layout
from actstore.store.schema import CHECKPOINT, LAYER, NEURON, NOT_A_DUPLICATE, TOKEN_COORDS
from actstore.store.writer import StoreWriter, Workspace, is_complete
from actstore.text.corpus import BUILTIN, read_corpus
from actstore.text.tagging import Tagger
from actstore.text.tokens import TokenTable, tokenize_corpus

_log = logging.getLogger("actstore")
COMPUTE_DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in bounds.COMPUTE_DTYPES}
DEFAULT_TOKENS = 16_384
_LAYER = re.compile("0|[1-9][0-9]{0,8}")
_PATIENCE = 100
"""Too long documents of an endless corpus, one after another, before it is given up."""


@dataclass(frozen=True)
class ExtractConfig:
    """What to extract; two equal configurations give the same store, bit for bit.

    Attributes
    ----------
    model : str
        Short name, hub repository, local folder or `.gguf` file.
    checkpoints : str
        `all`, `main`, `log`, `start:stop:every`, or a comma-separated list of steps.
    corpus : str
        Embedded corpus, `wikitext2`, or path.
    tokens : int, optional
        Whole documents, in an order drawn by seed, up to this many tokens; None takes all of a
        finite corpus in its own order.
    window : int
        Tokens in a window, BOS included.
    layers : str
        `all`, or `start:stop:every` (both ends included), or a comma-separated list.
    dtype : str
        Stored dtype of activations, float16 or float32.
    compute_dtype : str
        Dtype of the model's arithmetic: float32, bfloat16 or float16.
    device : str
        Where the model runs: cpu, cuda, cuda:1, ….
    seed : int
        Seed of an embedded corpus, or of the choice of documents.
    documents : str
        What a document of a plain text is: file, article, paragraph or line.
    spacy : str, optional
        spaCy pipeline for the words of raw text, `none` for no words; None for the default one
        where it is installed.
    site : str, optional
        Module pattern whose output is taken, where it is not the family's pre-activation; `{layer}`
        stands for the block's number.
    """

    model: str
    checkpoints: str = "main"
    corpus: str = "builtin"
    tokens: int | None = DEFAULT_TOKENS
    window: int = 128
    layers: str = "all"
    dtype: str = "float16"
    compute_dtype: str = "float32"
    device: str = "cpu"
    seed: int = 0
    documents: str = "file"
    spacy: str | None = None
    site: str | None = None

    def __post_init__(self) -> None:
        bounds.check_window(self.window)
        bounds.check("seed", self.seed, 0, bounds.LARGEST_SEED)
        bounds.check_choice("compute_dtype", self.compute_dtype, bounds.COMPUTE_DTYPES)
        bounds.check_choice("dtype", self.dtype, bounds.STORED_DTYPES)
        bounds.check_choice("documents", self.documents, bounds.DOCUMENTS)
        bounds.check_device(self.device)
        if self.site is not None:
            bounds.check_site(self.site)
        if self.tokens is not None:
            bounds.check("tokens", self.tokens, 1, bounds.MOST_TOKENS)


@dataclass(frozen=True)
class RunOptions:
    """How to run an extraction; nothing here changes the store.

    Attributes
    ----------
    strict : bool
        Whether a checkpoint that cannot be had is an error instead of being left out.
    discard_downloads : bool
        Whether to free each revision's files in the hub's cache after use.
    worker : tuple of int, optional
        (i, n): compute the i-th of n equal shares, 1 ≤ i ≤ n, beside other processes.
    scheduler : str, optional
        Address of a Dask scheduler, or `local`, that computes the blocks.
    progress : bool
        Whether to show a progress bar.
    allow_v0 : bool
        Whether several checkpoints of a `-v0` Pythia model may be taken.
    """

    strict: bool = False
    discard_downloads: bool = False
    worker: tuple[int, int] | None = None
    scheduler: str | None = None
    progress: bool = True
    allow_v0: bool = False


@dataclass(frozen=True)
class Job:
    """A configuration made concrete: everything that a block depends on."""

    config: ExtractConfig
    source: sources.ModelSource
    table: TokenTable
    layout: Layout
    attrs: dict[str, Any]

    @property
    def steps(self) -> list[int]:
        """Training steps of the checkpoints, ascending."""
        return list(self.source.checkpoints)

    @property
    def configuration(self) -> dict[str, Any]:
        """What must be equal for two runs to write the same store."""
        return asdict(self.config) | {
            "checkpoints": self.steps,
            "device": self.config.device.partition(":")[0],
            "weights_digest": self.source.weights_digest,
            "corpus_fingerprint": self.attrs["corpus_fingerprint"],
            "package_version": self.attrs["package_version"],
        }

    @property
    def blocks(self) -> list[Block]:
        """All blocks, checkpoint by checkpoint."""
        return [
            Block(index, step, shard, start, stop)
            for index, step in enumerate(self.steps)
            for shard, (start, stop) in enumerate(self.layout.bounds)
        ]

    def load(self, step: int) -> tuple[PreTrainedModel, list[torch.nn.Module], str]:
        """A checkpoint's model, the sites of the chosen layers, and the weights' fingerprint."""
        config = self.config
        model = sources.load(self.source, step, COMPUTE_DTYPES[config.compute_dtype], config.device)
        sites = adapter_for(model, config.site).modules(model)
        return model, [sites[layer] for layer in self.layout.layers], sources.weights_fingerprint(model)


def prepare(config: ExtractConfig, *, strict: bool = False, allow_v0: bool = False) -> Job:
    """Resolve every name, every checkpoint and the text, before anything is computed.

    Raises
    ------
    ActstoreError
        If a name, the text, a layer or the device does not fit, or a model cannot be had.
    """
    check_device(config.device)
    tagger = Tagger(config.spacy)
    source = sources.resolve(config.model)
    steps = sources.choose_checkpoints(source, config.checkpoints, strict=strict)
    source = sources.preflight(source, steps, strict=strict, allow_v0=allow_v0)
    outline = sources.outline(source)
    adapter = adapter_for(outline, config.site)
    check_window(config, outline, source.name)
    tokenizer = sources.load_tokenizer(source)
    table = read_tokens(config, tokenizer, tagger)
    for told in table.shortfall(config.tokens):
        _log.warning(told)
    layout = layout_of(outline, adapter, config, len(table), len(source.checkpoints))
    attrs = {
        "model": source.name,
        "family": adapter.family,
        "nonlinearity": nonlinearity(outline, adapter),
        "site": adapter.site,
        "site_is_linear": layout.is_linear,
        "corpus": config.corpus,
        "corpus_fingerprint": table.fingerprint,
        "tokens_asked": "all" if config.tokens is None else config.tokens,
        "n_documents": table.n_documents,
        "tagger": tagger.name,
        "tokenizer_fingerprint": sources.tokenizer_fingerprint(tokenizer),
        "seed": config.seed,
        "dtype": config.dtype,
        "compute_dtype": config.compute_dtype,
        "bos_policy": "every window begins with BOS (EOS where there is none), stored and not scored",
        "package_version": version("actstore"),
    }
    return Job(config, source, table, layout, attrs)


def check_device(device: str) -> None:
    """Refuse a device that torch does not see."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"device {device!r} cannot be used: {first_line(error)}") from None


def check_window(config: ExtractConfig, outline: PreTrainedModel, name: str) -> None:
    """Refuse a window that the model was not built for."""
    context = scoring.context_length(outline)
    if config.window > context:
        raise CorpusError(f"--window {config.window} exceeds the context of {name}, {context}")


def read_tokens(config: ExtractConfig, tokenizer: Any, tagger: Tagger) -> TokenTable:
    """The token axis of a configuration."""
    documents = read_corpus(config.corpus, None if config.tokens is None else config.seed, config.documents)
    patience = _PATIENCE if config.corpus in BUILTIN else None
    return tokenize_corpus(documents, tokenizer, config.window, config.tokens, tagger, patience)


def layout_of(outline: PreTrainedModel, adapter: Adapter, config: ExtractConfig, n_tokens: int, n_checkpoints: int) -> Layout:
    """The arrays of an extraction, from the model's modules.

    Raises
    ------
    ModelError
        If there is no such module or layer, or what passes through it does not fit in arrays.
    """
    modules = adapter.modules(outline)
    layers = choose_layers(config.layers, list(modules))
    site = measure(outline, adapter.site, {layer: modules[layer] for layer in layers})
    return Layout(
        n_checkpoints, layers, n_tokens, site.n_neurons, site.n_hidden, config.dtype, site.is_linear, adapter.long_names
    )


def choose_layers(spec: str, available: Sequence[int]) -> tuple[int, ...]:
    """The layers that a specification names, ascending.

    Parameters
    ----------
    spec : str
        `all`, or `start:stop:every` (both ends included), or a comma-separated list.
    available : sequence of int
        The blocks that have the site, ascending.

    Raises
    ------
    ModelError
        If it cannot be read, or names a layer that the model does not have.
    """
    if spec == "all":
        return tuple(available)
    chosen: set[int] = set()
    for part in spec.split(","):
        numbers = part.strip().split(":")
        if not 1 <= len(numbers) <= 3 or not all(_LAYER.fullmatch(number) for number in numbers) or numbers[2:] == ["0"]:
            raise ModelError(f"--layers {part.strip()!r} is not a layer or start:stop[:every]; give e.g. 0,5 or 0:11 or 0:30:5")
        start, stop, every = (*map(int, numbers), *([int(numbers[0])] if len(numbers) == 1 else []), 1, 1)[:3]
        wanted = range(start, stop + 1, every)
        missing = next((layer for layer in reversed(wanted) if layer not in available), None)
        if missing is not None:
            raise ModelError(f"layer {missing} is out of range: the model has layers {_spans(available)}")
        chosen |= set(wanted)
    if not chosen:
        raise ModelError(f"--layers {spec!r} names no layer")
    return tuple(sorted(chosen))


def _spans(layers: Sequence[int]) -> str:
    """Layers in words: `0 to 3`, or `1 to 3, 5`."""
    starts = [layer for layer in layers if layer - 1 not in layers]
    ends = [layer for layer in layers if layer + 1 not in layers]
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in zip(starts, ends, strict=True))


class Outcome(Enum):
    """How an extraction ended."""

    WRITTEN = "written"
    ALREADY_COMPLETE = "already complete, nothing to do"
    SHARE_DONE = "this worker's share is done; the last worker to end completes the store"


def extract(config: ExtractConfig, store: Path, options: RunOptions | None = None) -> Outcome:
    """Write the store of a configuration.

    An interrupted run continues with its first unsealed block; the result is the same store, bit
    for bit, whoever computed it. As one of several workers it is whole when the last of them ends.

    Raises
    ------
    ActstoreError
        If a name, the text or the path does not fit, the disk fills, or an activation is not
        finite or overflows the stored dtype.
    """
    options = options or RunOptions()
    if options.discard_downloads and options.scheduler:
        raise ActstoreError("--discard-downloads does not go with --scheduler, whose workers share a cache; use --worker i/n")
    job = prepare(config, strict=options.strict, allow_v0=options.allow_v0)
    if is_complete(store, job.configuration):
        return Outcome.ALREADY_COMPLETE
    try:
        writer = StoreWriter(
            store, job.configuration, job.attrs, lambda writer: write_axes(writer, job), shared=options.worker is not None
        )
    except StoreExistsError:  # another worker was the last, just now
        if is_complete(store, job.configuration):
            return Outcome.ALREADY_COMPLETE
        raise
    with writer:
        _compute(job, writer, options)
        whole = writer.finish(lambda: not missing_blocks(job, writer, job.blocks), lambda: write_checkpoint_axis(writer, job))
        if not whole and options.worker is None:
            raise StoreError(f"files of {writer.partial} were lost while it was written; run the same command again")
    return Outcome.WRITTEN if whole else Outcome.SHARE_DONE


def missing_blocks(job: Job, writer: StoreWriter, blocks: Sequence[Block], *, every_byte: bool = False) -> list[Block]:
    """Which blocks are still to be computed; the seal of one whose files are gone, or damaged, is dropped."""
    seals = writer.ledger.seals()
    missing = []
    for block in blocks:
        seal = seals.get((block.step, block.start))
        arrays = job.layout.stored_with(block.shard)
        if seal is not None and writer.holds(seal, arrays, block.index, every_byte=every_byte):
            continue
        if seal is not None:  # a power loss may keep the seal and lose a file
            writer.ledger.drop(seal)
        missing.append(block)
    return missing


def write_axes(writer: StoreWriter, job: Job) -> None:
    """What is there before the first block: labels of tokens, layers and neurons, and empty arrays."""
    for name in TOKEN_COORDS:
        writer.write(name, getattr(job.table, name))
    writer.write(LAYER, np.array(job.layout.layers))
    writer.write(NEURON, np.arange(job.layout.n_neurons))
    for array in job.layout.stored_with(0).values():
        writer.declare(array, {"long_name": array.long_name} if array.long_name else {})


def write_checkpoint_axis(writer: StoreWriter, job: Job) -> None:
    """The coordinates of `checkpoint`, from the ledger: known only when every checkpoint was loaded."""
    steps = job.steps
    seals = writer.ledger.seals()
    of_step = {step: seal.weights_fingerprint for (step, _), seal in seals.items()}
    for step, _ in seals:
        writer.ledger.refuse_other_weights(step, of_step[step])
    first: dict[str, int] = {}
    duplicates = [first.setdefault(of_step[step], step) for step in steps]
    writer.write(CHECKPOINT, np.array(steps))
    writer.write("revision", np.array([job.source.checkpoints[step].revision for step in steps]))
    writer.write("weights_fingerprint", np.array([of_step[step] for step in steps]))
    writer.write(
        "duplicate_of", np.array([NOT_A_DUPLICATE if d == step else d for d, step in zip(duplicates, steps, strict=True)])
    )


def _compute(job: Job, writer: StoreWriter, options: RunOptions) -> None:
    """Every block of this process's share that is not sealed yet."""
    share = _share(job, options.worker, whole_checkpoints=options.discard_downloads)
    to_do = missing_blocks(job, writer, share, every_byte=True)  # what an earlier run left may have been damaged since
    total = sum(block.stop - block.start for block in share)
    left = sum(block.stop - block.start for block in to_do)
    with tqdm(total=total, initial=total - left, unit="token", unit_scale=True, desc=job.source.name,
              disable=not options.progress) as bar:  # fmt: skip
        if options.scheduler:
            from actstore.extraction.dask_cluster import run_blocks

            run_blocks(job, to_do, writer.workspace, options.scheduler, bar.update)
        else:
            _run_blocks(job, to_do, writer.workspace, options.discard_downloads, bar)


def _share(job: Job, worker: tuple[int, int] | None, *, whole_checkpoints: bool) -> list[Block]:
    """Neighbouring blocks, so that a worker loads few checkpoints, or none that another one loads."""
    number, of = worker or (1, 1)
    unit = len(job.layout.bounds) if whole_checkpoints else 1
    n_units = len(job.blocks) // unit
    return job.blocks[(number - 1) * n_units // of * unit : number * n_units // of * unit]


def _run_blocks(job: Job, blocks: list[Block], workspace: Workspace, discard: bool, bar: Any) -> None:
    groups = [(step, list(group)) for step, group in itertools.groupby(blocks, key=lambda block: block.step)]
    with (
        BlockRunner(job.table, job.layout, job.config.window, job.config.device, workspace) as runner,
        ThreadPoolExecutor(1, thread_name_prefix="actstore-fetch") as ahead,
    ):
        for number, (step, group) in enumerate(groups):
            bar.set_postfix(checkpoint=step)
            model, sites, fingerprint = job.load(step)
            fetched = [
                ahead.submit(job.source.checkpoints[following].fetch) for following, _ in groups[number + 1 : number + 2]
            ]
            for block in group:
                for n_tokens in runner.run(model, sites, block, fingerprint):
                    bar.update(n_tokens)
            del model, sites  # before the next one is loaded
            if discard:
                runner.wait()
                wait(fetched)  # the cache is in no state to be tidied while it is filled; a failure is told on loading
                job.source.checkpoints[step].discard()
        runner.wait()
