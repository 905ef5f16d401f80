"""Extraction: one pass of a model over a corpus, into a store.

Owns the run: which shards there are, what a shard holds, and the order of work. A (checkpoint,
shard) block is a pure function of the configuration.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from actstore import models, scoring
from actstore.adapters import Adapter, adapter_for, nonlinearity
from actstore.corpus import read_corpus
from actstore.errors import ActstoreError, CorpusError
from actstore.hooks import capture
from actstore.ledger import Seal, checksum
from actstore.schema import CHECKPOINT, HIDDEN, LAYER, NEURON, NOT_A_DUPLICATE, TOKEN, TOKEN_COORDS
from actstore.store import StoreWriter, is_complete
from actstore.tokens import TokenTable, tokenize_corpus

_SHARD_BYTES = 2**28
DTYPES = {"float16": torch.float16, "float32": torch.float32}
DEFAULT_TOKENS = 16_384


@dataclass(frozen=True)
class ExtractConfig:
    """What to extract; two equal configurations give the same store, bit for bit.

    Attributes
    ----------
    model : str
        Embedded model or local folder.
    checkpoints : str
        `all`, `main`, `log`, `start:stop:every`, or a comma-separated list of steps.
    corpus : str
        Embedded corpus or path.
    tokens : int, optional
        Whole documents up to this many tokens; None takes all of a finite corpus.
    window : int
        Tokens in a window, BOS included.
    dtype : str
        Stored dtype of activations, float16 or float32.
    compute_dtype : str
        Dtype of the model's arithmetic, float32 or float16.
    seed : int
        Seed of an embedded corpus.
    batch_tokens : int
        Padded tokens in a forward pass.
    site : str, optional
        Pre-activation module pattern for families without an adapter.
    """

    model: str
    checkpoints: str = "main"
    corpus: str = "builtin"
    tokens: int | None = DEFAULT_TOKENS
    window: int = 128
    dtype: str = "float16"
    compute_dtype: str = "float32"
    seed: int = 0
    batch_tokens: int = 4096
    site: str | None = None


def extract(config: ExtractConfig, store: Path, *, progress: bool = True) -> bool:
    """Write the store of a configuration; False if it was already there.

    An interrupted run continues with its first unsealed block; the result is the same store,
    bit for bit.

    Raises
    ------
    ActstoreError
        If a name, the text or the path does not fit, the disk fills, or an activation is not
        finite or overflows the stored dtype.
    """
    source = models.resolve(config.model)
    steps = models.choose_checkpoints(source, config.checkpoints)
    configuration = asdict(config) | {"checkpoints": steps}
    if is_complete(store, configuration):
        return False
    tokenizer = models.load_tokenizer(source)
    table = tokenize_corpus(read_corpus(config.corpus, config.seed), tokenizer, config.window, config.tokens)
    outline = models.outline(source)
    if config.window > scoring.context_length(outline):
        raise CorpusError(f"--window {config.window} exceeds the context of {source.name}, {scoring.context_length(outline)}")
    adapter = adapter_for(outline, config.site)
    shape = _Shape.of(outline, adapter, len(table), len(steps))
    attrs = {
        "model": source.name,
        "family": adapter.family,
        "nonlinearity": nonlinearity(outline),
        "site": adapter.site,
        "corpus": config.corpus,
        "corpus_fingerprint": table.fingerprint,
        "tokenizer_fingerprint": models.tokenizer_fingerprint(tokenizer),
        "seed": config.seed,
        "dtype": config.dtype,
        "compute_dtype": config.compute_dtype,
        "bos_policy": "every window begins with BOS (EOS where there is none), stored and not scored",
        "package_version": version("actstore"),
    }
    with StoreWriter(store, configuration, attrs, shape.shard, resumable=True) as writer:
        if not writer.resumed:
            _write_axes(writer, config, table, shape)
        total = len(table) * len(steps)
        with tqdm(total=total, unit="token", unit_scale=True, desc=source.name, disable=not progress) as bar:
            for index, step in enumerate(steps):
                bar.set_postfix(checkpoint=step)
                _write_checkpoint(writer, config, source, step, index, adapter, table, shape, bar)
        _write_checkpoint_axis(writer, source, steps)
    return True


@dataclass(frozen=True)
class _Shape:
    """Sizes of the store's axes and of a shard."""

    sizes: dict[str, int]
    shard_tokens: int

    @classmethod
    def of(cls, model: PreTrainedModel, adapter: Adapter, n_tokens: int, n_checkpoints: int) -> _Shape:
        sites = adapter.modules(model)
        weight: Any = sites[0].weight
        hidden = int(model.config.hidden_size)
        neurons = int(weight.numel()) // hidden
        per_token = 2 * len(sites) * (neurons + hidden)
        shard = max(256, min(16_384, _SHARD_BYTES // per_token // 256 * 256))
        sizes = {CHECKPOINT: n_checkpoints, LAYER: len(sites), TOKEN: n_tokens, NEURON: neurons, HIDDEN: hidden}
        return cls(sizes, min(shard, n_tokens))

    @property
    def shard(self) -> dict[str, int]:
        return {TOKEN: self.shard_tokens, NEURON: self.sizes[NEURON], HIDDEN: self.sizes[HIDDEN]}

    @property
    def shards(self) -> Iterator[tuple[int, int]]:
        n_tokens = self.sizes[TOKEN]
        for start in range(0, n_tokens, self.shard_tokens):
            yield start, min(start + self.shard_tokens, n_tokens)


def _write_axes(writer: StoreWriter, config: ExtractConfig, table: TokenTable, shape: _Shape) -> None:
    for name in TOKEN_COORDS:
        writer.coordinate(name, getattr(table, name))
    for dim in (LAYER, NEURON):
        writer.coordinate(dim, np.arange(shape.sizes[dim]))
    for name in ("preactivation", "mlp_input", "surprisal"):
        writer.variable(name, shape.sizes, config.dtype if name != "surprisal" else None)


def _write_checkpoint(
    writer: StoreWriter,
    config: ExtractConfig,
    source: models.ModelSource,
    step: int,
    index: int,
    adapter: Adapter,
    table: TokenTable,
    shape: _Shape,
    bar: Any,
) -> None:
    """Every block of a checkpoint that is not sealed yet; the model is loaded only if there is one."""
    sealed = writer.ledger.seals()
    to_do = [(start, stop) for start, stop in shape.shards if (step, start) not in sealed]
    bar.update(len(table) - sum(stop - start for start, stop in to_do))
    if not to_do:
        return
    model = models.load(source, step, DTYPES[config.compute_dtype])
    fingerprint = models.weights_fingerprint(model)
    for start, stop in to_do:
        block = shard_block(model, adapter, table, start, stop, config, shape.sizes)
        for name, values in block.items():
            writer.write(name, {CHECKPOINT: slice(index, index + 1), TOKEN: slice(start, stop)}, values)
        checksums = {name: checksum(values) for name, values in block.items()}
        writer.seal(Seal(step, start, stop, fingerprint, checksums))
        bar.update(stop - start)


def _write_checkpoint_axis(writer: StoreWriter, source: models.ModelSource, steps: Sequence[int]) -> None:
    """The coordinates of `checkpoint`, from the ledger: known only when every checkpoint was loaded."""
    of_step = {step: seal.weights_fingerprint for (step, _), seal in writer.ledger.seals().items()}
    fingerprints = [of_step[step] for step in steps]
    first = {fingerprint: step for step, fingerprint in reversed(list(zip(steps, fingerprints, strict=True)))}
    duplicates = [NOT_A_DUPLICATE if first[f] == step else first[f] for step, f in zip(steps, fingerprints, strict=True)]
    writer.coordinate(CHECKPOINT, np.array(steps))
    writer.coordinate("revision", np.array([source.checkpoints[step].name for step in steps]))
    writer.coordinate("weights_fingerprint", np.array(fingerprints))
    writer.coordinate("duplicate_of", np.array(duplicates))


@torch.inference_mode()
def shard_block(
    model: PreTrainedModel,
    adapter: Adapter,
    table: TokenTable,
    start: int,
    stop: int,
    config: ExtractConfig,
    sizes: dict[str, int],
) -> dict[str, np.ndarray]:
    """Everything a store holds of tokens [start, stop) of one checkpoint.

    Windows that cross the edge of the shard are run whole and cut, so that a block depends on
    nothing outside its arguments.

    Returns
    -------
    dict
        `preactivation` (1, layer, token, neuron), `mlp_input` (1, layer, token, hidden),
        `surprisal` (1, token).

    Raises
    ------
    ActstoreError
        If an activation is not finite or exceeds the stored dtype's range.
    """
    dtype = np.dtype(config.dtype)
    n_tokens, n_layers = stop - start, sizes[LAYER]
    block = {
        "preactivation": np.empty((1, n_layers, n_tokens, sizes[NEURON]), dtype),
        "mlp_input": np.empty((1, n_layers, n_tokens, sizes[HIDDEN]), dtype),
        "surprisal": np.full((1, n_tokens), np.nan, np.float32),
    }
    bounds = table.window_bounds
    bounds = bounds[(bounds[:, 0] < stop) & (bounds[:, 1] > start)]
    sites = adapter.modules(model)
    with capture(sites) as captured:
        for chosen in scoring.batches(bounds[:, 1] - bounds[:, 0], config.batch_tokens):
            rows = bounds[chosen]
            ids, mask = scoring.pad([table.token_id[a:b] for a, b in rows], model.device)
            hidden = scoring.hidden_states(model, ids, mask)
            at = np.concatenate([np.arange(a, b) for a, b in rows])
            inside = torch.from_numpy((at >= start) & (at < stop))
            target = at[inside.numpy()] - start
            real = mask.bool()
            for layer in range(n_layers):
                for name, tensors in (("preactivation", captured.outputs), ("mlp_input", captured.inputs)):
                    flat = tensors[layer].reshape(*ids.shape, -1)[real][inside]
                    block[name][0, layer, target] = _cast(flat, dtype, name, layer)
            scored = real[:, 1:]
            values = scoring.surprisals(model, hidden[:, :-1][scored], ids[:, 1:][scored]).cpu().numpy()
            at_scored = np.concatenate([np.arange(a + 1, b) for a, b in rows])
            keep = (at_scored >= start) & (at_scored < stop)
            block["surprisal"][0, at_scored[keep] - start] = values[keep]
    return block


def _cast(values: torch.Tensor, dtype: np.dtype, name: str, layer: int) -> np.ndarray:
    array = values.float().cpu().numpy()
    peak = float(np.abs(array).max(initial=0.0))  # NaN propagates
    if not np.isfinite(peak):
        index = int(np.argwhere(~np.isfinite(array))[0, 1])
        raise ActstoreError(f"{name} of layer {layer}, index {index} is not finite; the checkpoint's weights may be damaged")
    if peak > float(np.finfo(dtype).max):
        raise ActstoreError(f"{name} of layer {layer} reaches {peak:,.0f}, beyond {dtype}; extract with --dtype float32")
    return array.astype(dtype)
