"""Scoring many short texts that share beginnings, each beginning once.

Owns the packing. Sequences are sorted, so that neighbours share prefixes, and laid out as a tree of
tokens in one row: a node attends to its ancestors alone and stands at its depth, so it sees what it
would see in a sequence of its own. No position is padding, and the vocabulary projection is needed
once a node.
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
"""Nodes of a tree: more would share a little more, but attention costs their square."""
_BATCH_PACKS = {"cpu": 5, "cuda": 40}
_AGREES: WeakKeyDictionary[Module, bool] = WeakKeyDictionary()


@dataclass
class Pack:
    """Some sequences as one tree of their tokens.

    Attributes
    ----------
    node_id, depth, parent : list of int
        Token, position and parent (-1 at a root) of every node; a parent comes before its children.
        The last token of a sequence is no node unless another one goes on from it.
    edge_node, edge_token : list of int
        Every different (context, next token), by the node that the context ends in.
    paths : list of (int, list of int)
        Sequence number, and the edge of each of its tokens but the first.
    """

    node_id: list[int] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    edge_node: list[int] = field(default_factory=list)
    edge_token: list[int] = field(default_factory=list)
    paths: list[tuple[int, list[int]]] = field(default_factory=list)

    def sees(self) -> np.ndarray:
        """Whether a node (row) attends to another (column): to its ancestors and itself."""
        seen = np.eye(len(self.parent), dtype=bool)
        for node, parent in enumerate(self.parent):
            if parent >= 0:
                seen[node] |= seen[parent]
        return seen


def packs(sequences: Sequence[np.ndarray], max_nodes: int) -> Iterator[Pack]:
    """The different sequences in trees of at most `max_nodes` nodes, or of one sequence."""
    order = sorted(range(len(sequences)), key=lambda i: tuple(sequences[i].tolist()))
    pack, path, edges, before = Pack(), [], [], []  # type: tuple[Pack, list[int], list[int], list[int]]
    for number in order:
        tokens = sequences[number].tolist()
        n_shared = next(
            (i for i, (a, b) in enumerate(zip(before, tokens, strict=False)) if a != b), min(len(before), len(tokens))
        )
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
        pack.paths.append((number, list(edges)))
        before = tokens
    if pack.paths:
        yield pack


@torch.inference_mode()
def shared_surprisals(
    model: PreTrainedModel, sequences: Sequence[np.ndarray], progress: Callable[[int], object] | None = None
) -> list[np.ndarray]:
    """As `scoring.sequence_surprisals`, with every shared beginning computed once.

    Falls back on it where the model does not take trees of tokens (as positions come with another
    mask), or a sequence is longer than its sliding window.
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
            for number, edges in pack.paths:
                results[number] = values[edges]
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

    def moved(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(model.device)

    hidden = scoring.hidden_states(model, moved(ids), mask.to(model.device), moved(depth))
    values = scoring.surprisals(model, hidden[moved(is_node)], moved(targets), moved(rows)).cpu().numpy()
    return np.split(values, np.cumsum([len(pack.edge_node) for pack in batch])[:-1])


def _takes_trees(model: PreTrainedModel) -> bool:
    """Whether a tree gives what its sequences give one by one; tried once a model."""
    if model not in _AGREES:
        base = np.arange(1, 9) % model.config.vocab_size
        trial = [base, np.append(base[:4], base[::-1][:4]), np.append(base[:2], base[3:])]
        tolerance = 1e-3 if model.dtype == torch.float32 else 0.1
        try:
            found = _by_packs(model, trial)
        except (TypeError, ValueError, RuntimeError, IndexError):  # each family refuses a mask in its own way
            found = []
        plain = scoring.sequence_surprisals(model, trial)
        _AGREES[model] = bool(found) and all(
            np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True) for a, b in zip(found, plain, strict=True)
        )
    return _AGREES[model]
