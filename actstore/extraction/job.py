"""What an extraction is made from: its configuration, and the same made concrete.

Owns what a configuration means. Everything that a block depends on is in its `Job`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import torch
from transformers import PreTrainedModel

from actstore import bounds
from actstore.errors import CorpusError, ModelError, first_line
from actstore.extraction.block import Block
from actstore.model import scoring, sources
from actstore.model.families import Adapter, adapter_for, nonlinearity
from actstore.model.sites import measure
from actstore.store.layout import Layout
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
