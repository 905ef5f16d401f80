"""What an extraction is made from: its configuration, and the same made concrete.

Owns what a configuration means. Everything that a block depends on is in its `Job`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch
from transformers import PreTrainedModel

from actstore import bounds, plugins
from actstore.config import ExtractConfig, RunConfig, TextConfig
from actstore.errors import CorpusError, ModelError, first_line
from actstore.extraction.block import Block
from actstore.model import scoring, sources
from actstore.model.families import FAMILIES, Adapter, adapter_for, nonlinearity
from actstore.model.sites import measure
from actstore.settings import table_of
from actstore.store.layout import Layout
from actstore.text.corpus import BUILTIN, read_corpus
from actstore.text.tagging import Tagger
from actstore.text.tokens import TokenTable, tokenize_corpus

_log = logging.getLogger("actstore")
COMPUTE_DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in bounds.COMPUTE_DTYPES}
_LAYER = re.compile("0|[1-9][0-9]{0,8}")
_PATIENCE = 100
"""Too long documents of an endless corpus, one after another, before it is given up."""


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
        run = table_of(self.config.run) | {"device": self.config.run.device_kind}
        return {
            **table_of(self.config),
            "checkpoints": self.steps,
            "run": run,
            "plugins": plugins.digests(FAMILIES.modules_of([self.attrs["family"]])),
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
        run = self.config.run
        model = sources.load(self.source, step, COMPUTE_DTYPES[run.compute_dtype], run.device)
        sites = adapter_for(model, run.site).modules(model)
        return model, [sites[layer] for layer in self.layout.layers], sources.weights_fingerprint(model)


def prepare(config: ExtractConfig, *, strict: bool = False, allow_v0: bool = False) -> Job:
    """Resolve every name, every checkpoint and the text, before anything is computed.

    Raises
    ------
    ActstoreError
        If a name, the text, a layer or the device does not fit, or a model cannot be had.
    """
    text, run = config.text, config.run
    check_device(run)
    tagger = Tagger(text.spacy)
    source = sources.resolve(config.model)
    steps = sources.choose_checkpoints(source, config.checkpoints, strict=strict)
    source = sources.preflight(source, steps, strict=strict, allow_v0=allow_v0)
    outline = sources.outline(source)
    adapter = adapter_for(outline, run.site)
    check_window(text, outline, source.name)
    tokenizer = sources.load_tokenizer(source)
    table = read_tokens(text, tokenizer, tagger)
    for warning in table.shortfall(text.n_tokens):
        _log.warning(warning)
    layout = layout_of(outline, adapter, config, len(table), len(source.checkpoints))
    attrs = {
        "model": source.name,
        "family": adapter.family,
        "nonlinearity": nonlinearity(outline, adapter),
        "site": adapter.site,
        "site_is_linear": layout.is_linear,
        "corpus": text.corpus,
        "corpus_fingerprint": table.fingerprint,
        "tokens_asked": text.tokens,
        "n_documents": table.n_documents,
        "tagger": tagger.name,
        "tokenizer_fingerprint": sources.tokenizer_fingerprint(tokenizer),
        "seed": text.seed,
        "dtype": config.dtype,
        "compute_dtype": run.compute_dtype,
        "bos_policy": "every window begins with BOS (EOS where there is none), stored and not scored",
        "package_version": version("actstore"),
    }
    return Job(config, source, table, layout, attrs)


def check_device(run: RunConfig) -> None:
    """Refuse a device that torch does not see."""
    try:
        torch.empty(0, device=run.device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"device {run.device!r} cannot be used: {first_line(error)}") from None


def check_window(text: TextConfig, outline: PreTrainedModel, name: str) -> None:
    """Refuse a window that the model was not built for."""
    context = scoring.context_length(outline)
    if text.window > context:
        raise CorpusError(f"--window {text.window} exceeds the context of {name}, {context}")


def read_tokens(text: TextConfig, tokenizer: Any, tagger: Tagger) -> TokenTable:
    """The token axis of a text."""
    documents = read_corpus(text.corpus, None if text.n_tokens is None else text.seed, text.documents)
    patience = _PATIENCE if text.corpus in BUILTIN else None
    return tokenize_corpus(documents, tokenizer, text.window, text.n_tokens, tagger, patience)


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
