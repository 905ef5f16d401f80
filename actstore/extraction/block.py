"""One block of an extraction: some tokens of one checkpoint, from the model to their shard files.

Owns the inner loop. The model runs on pieces of consecutive windows. Hooks cast activations directly
into a piece's buffers, which have the layout of the shard's chunks, and a second thread checks and
writes one piece while the model computes the next. A block depends only on the model, the text and
the layout.
"""

from __future__ import annotations

import os
import sys
import threading
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch.nn import Module
from transformers import PreTrainedModel

from actstore.errors import ActstoreError, ModelError
from actstore.files import disk_errors
from actstore.model import scoring
from actstore.model.hooks import observe
from actstore.model.sites import by_token, incoming_weights
from actstore.store.layout import ArrayLayout, Layout
from actstore.store.ledger import Ledger, Seal
from actstore.store.shards import ShardWriter
from actstore.store.writer import Workspace
from actstore.text.tokens import TokenTable

_PIECE_BYTES = {"cpu": 2**27, "cuda": 2**30}
_MAX_PIECE_TOKENS = 8192
_WEIGHT_BYTES = 2**26
_STORED = {"float16": torch.float16, "float32": torch.float32}
_UNITS = {"preactivation": "neuron", "mlp_input": "hidden"}


@dataclass(frozen=True)
class Block:
    """Tokens [start, stop) of the checkpoint of a training step; `index` is its index on the dim."""

    index: int
    step: int
    shard: int
    start: int
    stop: int

    @property
    def key(self) -> tuple[int, int]:
        """Key of its seal."""
        return self.step, self.start


def piece_tokens(layout: Layout, window: int, device: str) -> int:
    """Tokens that the model processes between two writes: at least one window."""
    budget = _PIECE_BYTES.get(device.partition(":")[0], _PIECE_BYTES["cpu"])
    return max(window, min(_MAX_PIECE_TOKENS, budget // layout.bytes_per_token))


class _Piece:
    """The values of consecutive windows, chunk by chunk, on their way to a shard.

    `buffers` maps an array's name to a tensor (chunk, token, column) of the stored dtype on the model's
    device, `extremes` to the least and greatest value of each layer before the cast.
    """

    def __init__(self, layout: Layout, capacity: int, device: torch.device) -> None:
        self._arrays = layout.arrays
        self._memory = {
            name: torch.empty(array.n_chunks * capacity * array.width, dtype=_STORED[str(array.dtype)], device=device)
            for name, array in self._arrays.items()
        }
        self.extremes = {name: torch.empty(2, array.n_layers, device=device) for name, array in self._arrays.items()}
        self.buffers: dict[str, torch.Tensor] = {}
        self.surprisal_is_finite = True

    def reset(self, n_tokens: int) -> None:
        """Clear the piece, and set its number of tokens."""
        for name, array in self._arrays.items():
            memory = self._memory[name][: array.n_chunks * n_tokens * array.width]
            self.buffers[name] = memory.view(array.n_chunks, n_tokens, array.width)
            self.extremes[name][0], self.extremes[name][1] = torch.inf, -torch.inf
        self.buffers["surprisal"].fill_(torch.nan)
        self.surprisal_is_finite = True

    def _chunks_of(self, name: str, layer_index: int) -> torch.Tensor:
        """The buffer (chunk, token, column) of a layer."""
        n_columns = self._arrays[name].n_columns
        return self.buffers[name][layer_index * n_columns : (layer_index + 1) * n_columns]

    def put(self, name: str, layer_index: int, values: torch.Tensor, target: slice | torch.Tensor) -> None:
        """Cast values (token, column) of a layer into its chunks, at the tokens `target`."""
        array, extremes = self._arrays[name], self.extremes[name][:, layer_index]
        n_values, n_expected = values.shape[1], array.shape[-1]
        if n_values != n_expected:
            raise ModelError(
                f"{name} has {n_values} values a token, but the site's weights have {n_expected}; choose another --site"
            )
        low, high = torch.aminmax(values)  # NaN propagates
        extremes[0], extremes[1] = torch.minimum(extremes[0], low), torch.maximum(extremes[1], high)
        padding = array.n_columns * array.width - n_values
        if padding:
            values = torch.nn.functional.pad(values, (0, padding))
        chunks = values.view(-1, array.n_columns, array.width).transpose(0, 1)
        buffer = self._chunks_of(name, layer_index)
        if isinstance(target, slice):
            buffer[:, target].copy_(chunks)
        else:
            buffer.index_copy_(1, target, chunks.to(buffer.dtype))

    def check(self, layout: Layout, step: int) -> None:
        """Refuse values that are not finite or do not fit the stored dtype."""
        for name, unit in _UNITS.items():
            array = self._arrays[name]
            peaks = self.extremes[name].abs().amax(0).cpu().numpy()
            overflowing = np.flatnonzero(~(peaks <= np.finfo(array.dtype).max))
            if not len(overflowing):
                continue
            layer_index = int(overflowing[0])
            chunks = self._chunks_of(name, layer_index).float().abs()
            largest = int(torch.nan_to_num(chunks, nan=torch.inf, posinf=torch.inf).argmax())
            column, entry = largest // chunks[0].numel(), largest % array.width
            layer, peak = layout.layers[layer_index], peaks[layer_index]
            location = f"{name} of checkpoint {step}, layer {layer}, {unit} {column * array.width + entry}"
            if np.isfinite(peak):
                raise ActstoreError(f"{location} reaches {peak:,.0f}, beyond {array.dtype}; extract with --dtype float32")
            raise ActstoreError(
                f"{location} is not finite; the weights may be damaged, or need a wider range (--compute-dtype float32)"
            )
        if not self.surprisal_is_finite:  # damage after the last site
            raise ActstoreError(f"surprisal of checkpoint {step} is not finite; the weights may be damaged")


def _weight_runs(array: ArrayLayout, sites: Sequence[Module], step: int) -> Iterator[np.ndarray]:
    """The weights (chunk, hidden, column) of all layers, in runs of their inputs."""
    weights = [incoming_weights(site) for site in sites]
    n_rows = max(1, _WEIGHT_BYTES // (array.n_layers * array.shape[-1] * array.dtype.itemsize))
    padding = array.n_columns * array.width - array.shape[-1]
    for start in range(0, array.shard_tokens, n_rows):
        rows = torch.stack([weight[start : start + n_rows].to(_STORED[str(array.dtype)]) for weight in weights])
        if not bool(torch.isfinite(rows).all()):
            raise ActstoreError(
                f"a weight of checkpoint {step} is not finite or beyond {array.dtype}; the weights may be damaged, "
                "or need --dtype float32"
            )
        chunks = torch.nn.functional.pad(rows, (0, padding)).view(*rows.shape[:2], array.n_columns, array.width)
        yield chunks.transpose(1, 2).flatten(0, 1).contiguous().cpu().numpy()


class _Sink:
    """The shard files of one block, filled piece by piece."""

    def __init__(self, layout: Layout, block: Block, workspace: Workspace, fingerprint: str) -> None:
        self._layout, self._block, self._workspace, self._fingerprint = layout, block, workspace, fingerprint
        self._failed = False
        with disk_errors(workspace.data):
            self._writers = {name: self._writer(array) for name, array in layout.stored_with(block.shard).items()}

    def _writer(self, array: ArrayLayout) -> ShardWriter:
        block = self._block
        scratch = self._workspace.scratch / f"{array.name}-{block.index}-{block.shard}-{uuid.uuid4().hex}"
        path = self._workspace.data / array.key(block.index, block.shard)
        return ShardWriter(array, path, scratch, block.step, block.shard)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with disk_errors(self._workspace.data):
                yield
        except BaseException:
            self._failed = True
            raise

    def write(self, piece: _Piece) -> None:
        if self._failed:
            return
        with self._writing():
            piece.check(self._layout, self._block.step)
            for name in self._layout.arrays:
                self._writers[name].append(piece.buffers[name].cpu().numpy())

    def write_weights(self, sites: Sequence[Module]) -> None:
        with self._writing():
            for name, array in self._layout.weights.items():
                for run in _weight_runs(array, sites, self._block.step):
                    self._writers[name].append(run)

    def finish(self) -> None:
        if self._failed:
            return
        block = self._block
        with disk_errors(self._workspace.data):
            checksums = {name: writer.finish() for name, writer in self._writers.items()}
            Ledger(self._workspace.ledger).add(Seal(block.step, block.start, block.stop, self._fingerprint, checksums))

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()


class BlockRunner:
    """Runs blocks one after another; a context manager that waits for pending writes.

    Parameters
    ----------
    table : TokenTable
    layout : Layout
    window : int
        Longest window in tokens.
    device : str
    workspace : Workspace
    """

    def __init__(self, table: TokenTable, layout: Layout, window: int, device: str, workspace: Workspace) -> None:
        self._table, self._layout, self._workspace = table, layout, workspace
        self._capacity = piece_tokens(layout, window, device)
        n_tokens = min(self._capacity, layout.shard_tokens)
        self._pieces = deque(_Piece(layout, n_tokens, torch.device(device)) for _ in range(2))
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="actstore-write", initializer=_lower_priority)
        self._pending: deque[Future[None]] = deque()

    def __enter__(self) -> BlockRunner:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True)

    @torch.inference_mode()
    def run(self, model: PreTrainedModel, sites: Sequence[Module], block: Block, fingerprint: str) -> Iterator[int]:
        """Compute a block and write it in the background; yields the number of tokens after each piece.

        All of a window that crosses the edge of the block runs, and the values outside are dropped.

        Raises
        ------
        ActstoreError
            If an activation is not finite or does not fit, the disk or the accelerator is full, or
            blocks of this checkpoint were computed with other weights. Errors of the last pieces may
            be raised later: at the next block, or by `wait`.
        """
        Ledger(self._workspace.ledger).refuse_other_weights(block.step, fingerprint)
        sink = _Sink(self._layout, block, self._workspace, fingerprint)
        try:
            if block.shard == 0:
                self._pending.append(self._pool.submit(sink.write_weights, sites))
            for windows in pieces(self._table.window_bounds, block, self._capacity):
                self._settle(1)  # the piece that is now reused must be written
                self._pieces.rotate()
                piece = self._pieces[0]
                start, stop = max(int(windows[0, 0]), block.start), min(int(windows[-1, 1]), block.stop)
                piece.reset(stop - start)
                self._forward(model, sites, windows, piece, start, stop)
                self._pending.append(self._pool.submit(sink.write, piece))
                yield stop - start
            self._pending.append(self._pool.submit(sink.finish))
        except torch.OutOfMemoryError as error:
            raise ModelError(f"out of memory on {model.device}; take --compute-dtype bfloat16 or a smaller --window") from error
        finally:
            self._pool.submit(sink.close)

    def wait(self) -> None:
        """Wait until all blocks are on disk and sealed."""
        self._settle(0)

    def _settle(self, n_pending: int) -> None:
        """Wait until at most `n_pending` writes are pending."""
        while len(self._pending) > n_pending:
            self._pending.popleft().result()

    def _forward(
        self, model: PreTrainedModel, sites: Sequence[Module], windows: np.ndarray, piece: _Piece, start: int, stop: int
    ) -> None:
        """Run windows through the model, into the piece that holds tokens [start, stop)."""
        for batch in scoring.batches(windows[:, 1] - windows[:, 0], self._capacity):
            rows = windows[batch]
            ids, mask = scoring.pad([self._table.token_id[a:b] for a, b in rows], model.device)
            token_index = np.concatenate([np.arange(a, b) for a, b in rows])
            source, target = _source_and_target(token_index, mask, start, stop)
            with observe(sites, partial(_put_rows, piece, source, target, *ids.shape)):
                hidden = scoring.hidden_states(model, ids, mask)
            scored = mask[:, 1:].bool()
            values = scoring.surprisals(model, hidden[:, :-1][scored], ids[:, 1:][scored])
            piece.surprisal_is_finite &= bool(torch.isfinite(values).all())
            token_index = np.concatenate([np.arange(a + 1, b) for a, b in rows])
            in_block = (token_index >= start) & (token_index < stop)
            index = torch.from_numpy(token_index[in_block] - start).to(model.device)
            piece.buffers["surprisal"][0, index, 0] = values[torch.from_numpy(in_block).to(model.device)]


def _put_rows(
    piece: _Piece,
    source: torch.Tensor | None,
    target: slice | torch.Tensor,
    n_windows: int,
    n_positions: int,
    layer_index: int,
    site_input: torch.Tensor,
    output: torch.Tensor,
) -> None:
    """Put a site's input and output for a padded batch into a piece: the rows `source` (None for all) at `target`."""
    for name, values in (("mlp_input", site_input), ("preactivation", output)):
        flat = by_token(values, n_windows, n_positions)
        piece.put(name, layer_index, flat if source is None else flat.index_select(0, source), target)


def _lower_priority() -> None:
    """Give the model's threads priority over this one: they wait for each other, so one slow thread delays all."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def pieces(bounds: np.ndarray, block: Block, capacity: int) -> Iterator[np.ndarray]:
    """The windows (window, 2) that overlap a block, in runs of at most `capacity` tokens."""
    bounds = bounds[(bounds[:, 0] < block.stop) & (bounds[:, 1] > block.start)]
    start = 0
    while start < len(bounds):
        stop = int(np.searchsorted(bounds[:, 1], bounds[start, 0] + capacity, side="right"))
        yield bounds[start:stop]
        start = stop


def _source_and_target(
    token_index: np.ndarray, mask: torch.Tensor, start: int, stop: int
) -> tuple[torch.Tensor | None, slice | torch.Tensor]:
    """The rows of a flattened batch that are tokens [start, stop), None for all, and their positions in the piece.

    `token_index` holds the token of each row that is no padding.
    """
    in_block = (token_index >= start) & (token_index < stop)
    target = token_index[in_block] - start
    is_all = len(token_index) == mask.numel() and bool(in_block.all())
    source = None if is_all else mask.flatten().nonzero().squeeze(1)[torch.from_numpy(in_block).to(mask.device)]
    if len(target) and (np.diff(target) == 1).all():
        return source, slice(int(target[0]), int(target[-1]) + 1)
    return source, torch.from_numpy(target).to(mask.device)
