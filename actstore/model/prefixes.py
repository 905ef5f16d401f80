"""Scoring many short texts that share beginnings, with each beginning computed once.

Owns the packing. Sequences are sorted, so that neighbours share prefixes, and laid out as a tree of
tokens in one row. Each node attends only to its ancestors, and its position is its depth, so it has the
same context as in a sequence of its own. There is no padding within a tree, and the vocabulary
projection is computed once for each node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch.nn import Module
from transformers import PreTrainedModel

from actstore.model import scoring

_PACK_NODES = 192
"""Nodes of a tree: larger trees share a little more, but the cost of attention is quadratic."""
_BATCH_PACKS = {"cpu": 5, "cuda": 40}
_TAKES_TREES: WeakKeyDictionary[Module, bool] = WeakKeyDictionary()


@dataclass
class Pack:
    """Some sequences as one tree of their tokens.

    Attributes
    ----------
    node_id, depth, parent : list of int
        Token, position and parent (-1 at a root) of every node; parents come before their children.
        The last token of a sequence is a node only if another sequence continues after it.
    edge_node, edge_token : list of int
        Each distinct (context, next token): the last node of the context, and the token.
    paths : list of (int, list of int)
        Index of a sequence, and the edges of its tokens after the first.
    """

    node_id: list[int] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    edge_node: list[int] = field(default_factory=list)
    edge_token: list[int] = field(default_factory=list)
    paths: list[tuple[int, list[int]]] = field(default_factory=list)

    def sees(self) -> np.ndarray:
        """Mask (node, node): whether the first attends to the second, which is an ancestor or itself."""
        mask = np.eye(len(self.parent), dtype=bool)
        for node, parent in enumerate(self.parent):
            if parent >= 0:
                mask[node] |= mask[parent]
        return mask


def packs(sequences: Sequence[np.ndarray], max_nodes: int) -> Iterator[Pack]:
    """All sequences, in trees of at most `max_nodes` nodes, or of a single longer sequence."""
    order = sorted(range(len(sequences)), key=lambda i: tuple(sequences[i].tolist()))
    pack, path, edges, previous = Pack(), [], [], []  # type: tuple[Pack, list[int], list[int], list[int]]
    for index in order:
        tokens = sequences[index].tolist()
        n_shared = _n_shared(previous, tokens)
        if pack.paths and len(pack.node_id) + len(tokens) - 1 - min(n_shared, len(path)) > max_nodes:
            yield pack
            pack, path, edges, n_shared = Pack(), [], [], 0
        del path[n_shared:], edges[max(n_shared - 1, 0) :]
        for position in range(len(path), len(tokens) - 1):
            pack.parent.append(path[-1] if path else -1)
            path.append(len(pack.node_id))
            pack.node_id.append(tokens[position])
            pack.depth.append(position)
        for position in range(len(edges) + 1, len(tokens)):
            edges.append(len(pack.edge_node))
            pack.edge_node.append(path[position - 1])
            pack.edge_token.append(tokens[position])
        pack.paths.append((index, list(edges)))
        previous = tokens
    if pack.paths:
        yield pack


def _n_shared(a: Sequence[int], b: Sequence[int]) -> int:
    """Tokens of the beginning that two sequences share."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


@torch.inference_mode()
def shared_surprisals(
    model: PreTrainedModel, sequences: Sequence[np.ndarray], progress: Callable[[int], object] | None = None
) -> list[np.ndarray]:
    """The result of `scoring.sequence_surprisals`, with every shared beginning computed once.

    Uses that function if the model does not support trees of tokens (such as a model without explicit
    positions), or if a sequence is longer than its sliding window.
    """
    longest = max(map(len, sequences), default=0)
    window = getattr(model.config, "sliding_window", None) or longest
    if longest > window or not _takes_trees(model):
        return scoring.sequence_surprisals(model, sequences, progress=progress)
    return _by_packs(model, sequences, progress)


def _by_packs(
    model: PreTrainedModel, sequences: Sequence[np.ndarray], progress: Callable[[int], object] | None = None
) -> list[np.ndarray]:
    results = [np.empty(0, np.float32)] * len(sequences)
    trees = packs(sequences, _PACK_NODES)
    while batch := list(islice(trees, _BATCH_PACKS.get(model.device.type, _BATCH_PACKS["cpu"]))):
        for pack, values in zip(batch, _edge_surprisals(model, batch), strict=True):
            for index, edges in pack.paths:
                results[index] = values[edges]
            if progress is not None:
                progress(len(pack.paths))
    return results


def _edge_surprisals(model: PreTrainedModel, batch: Sequence[Pack]) -> list[np.ndarray]:
    """Surprisal of every edge of every tree."""
    sizes = [len(pack.node_id) for pack in batch]
    shape = (len(batch), max(1, *sizes))
    ids, depth, is_node = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros(shape, bool)
    sees = np.broadcast_to(np.eye(shape[1], dtype=bool), (*shape, shape[1])).copy()
    for row, (pack, size) in enumerate(zip(batch, sizes, strict=True)):
        ids[row, :size], depth[row, :size], is_node[row, :size] = pack.node_id, pack.depth, True
        sees[row, :size, :size] = pack.sees()
    starts = np.cumsum([0, *sizes[:-1]])
    rows = np.concatenate([np.array(pack.edge_node, np.int64) + start for pack, start in zip(batch, starts, strict=True)])
    targets = np.concatenate([np.array(pack.edge_token, np.int64) for pack in batch])
    mask = torch.full((shape[0], 1, shape[1], shape[1]), torch.finfo(model.dtype).min, dtype=model.dtype)
    mask.masked_fill_(torch.from_numpy(sees[:, None]), 0)  # added to the attention scores

    def on_device(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(model.device)

    hidden = scoring.hidden_states(model, on_device(ids), mask.to(model.device), on_device(depth))
    values = scoring.surprisals(model, hidden[on_device(is_node)], on_device(targets), on_device(rows)).cpu().numpy()
    return np.split(values, np.cumsum([len(pack.edge_node) for pack in batch])[:-1])


def _takes_trees(model: PreTrainedModel) -> bool:
    """Whether scores of a tree equal those of its sequences one by one; tried once for each model."""
    if model not in _TAKES_TREES:
        base = np.arange(1, 9) % model.config.vocab_size
        trial = [base, np.append(base[:4], base[::-1][:4]), np.append(base[:2], base[3:])]
        tolerance = 1e-3 if model.dtype == torch.float32 else 0.1
        try:
            packed = _by_packs(model, trial)
        except (TypeError, ValueError, RuntimeError, IndexError):  # families refuse a mask with different errors
            packed = []
        plain = scoring.sequence_surprisals(model, trial)
        _TAKES_TREES[model] = bool(packed) and all(
            np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True) for a, b in zip(packed, plain, strict=True)
        )
    return _TAKES_TREES[model]
