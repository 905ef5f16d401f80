"""Surprisal of tokens and log-probability of sentences.

Owns every reduction of logits. Padding is on the right with explicit positions, so a batched score
equals the unbatched one. Log-sum-exp is computed in float32 for every dtype of the model.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from actstore.errors import CorpusError, ModelError
from actstore.text import tokenizing
from actstore.text.tokens import bos_id

_TILE_ROWS = 1024
_TILE_ELEMENTS = {"cpu": 2**20, "cuda": 2**27}
"""Float32 logits in memory at a time; on a CPU, what fits into its cache."""
_BATCH_TOKENS = {"cpu": 1024, "cuda": 16_384}


def pad(sequences: Sequence[np.ndarray], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded ids (batch, position) and their attention mask."""
    length = max(map(len, sequences))
    ids = np.zeros((len(sequences), length), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


def hidden_states(
    model: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor | None = None
) -> torch.Tensor:
    """Last hidden states (batch, position, hidden), the input of the vocabulary projection.

    Raises
    ------
    ValueError
        If `positions` are passed and the model has no such argument.
    """
    backbone = model.base_model
    options = {}
    if "position_ids" in inspect.signature(backbone.forward).parameters:
        default = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        options = {"position_ids": default if positions is None else positions}
    elif positions is not None:
        raise ValueError("the model takes no positions")
    hidden: torch.Tensor = backbone(input_ids=ids, attention_mask=mask, use_cache=False, **options).last_hidden_state
    return hidden


def surprisals(
    model: PreTrainedModel, hidden: torch.Tensor, targets: torch.Tensor, rows: torch.Tensor | None = None
) -> torch.Tensor:
    """Surprisal in nats of `targets` (target,) given final hidden states (row, hidden), float32.

    −log p = logsumexp(logits) − logit of the target, computed in tiles of rows and vocabulary: each
    tile is reduced while it is in the cache, so all logits are never in memory together.

    Parameters
    ----------
    model : PreTrainedModel
    hidden : Tensor (row, hidden)
    targets : Tensor (target,)
        Token ids.
    rows : Tensor (target,), optional
        The row that predicts each target; by default one target for each row.

    Raises
    ------
    ModelError
        If the vocabulary projection is not one linear layer.
    """
    head: Any = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear):
        raise ModelError(
            f"the vocabulary projection of this {model.config.model_type} model is a {type(head).__name__}, not linear"
        )
    n_columns = max(1, _TILE_ELEMENTS.get(hidden.device.type, _TILE_ELEMENTS["cpu"]) // _TILE_ROWS)
    n_parts = max(1, -(-len(hidden) // _TILE_ROWS))  # of equal size: a small last part would cost a full pass over the weights
    rows = torch.arange(len(hidden), device=hidden.device) if rows is None else rows
    result = torch.zeros(len(targets), device=hidden.device)
    start = 0
    for part in hidden.tensor_split(n_parts):
        in_part = ((rows >= start) & (rows < start + len(part))).nonzero().squeeze(1)
        row, target = rows[in_part] - start, targets[in_part]
        logit, log_sums = torch.zeros(len(in_part), device=hidden.device), []
        for first in range(0, len(head.weight), n_columns):
            columns = slice(first, first + n_columns)
            bias = None if head.bias is None else head.bias[columns]
            tile = _scaled(model, torch.nn.functional.linear(part, head.weight[columns], bias)).float()
            log_sums.append(torch.logsumexp(tile, dim=1))
            column = (target - first).clamp(0, tile.shape[1] - 1)
            logit = torch.where(column == target - first, tile[row, column], logit)
        result[in_part] = torch.logsumexp(torch.stack(log_sums), dim=0)[row] - logit
        start += len(part)
    return result


def _scaled(model: PreTrainedModel, logits: torch.Tensor) -> torch.Tensor:
    """Logits after the scaling that some families apply (Cohere, Granite, Gemma 2)."""
    config = model.config
    if scale := getattr(config, "logit_scale", None):
        logits = logits * scale
    if scale := getattr(config, "logits_scaling", None):
        logits = logits / scale
    if cap := getattr(config, "final_logit_softcapping", None):
        logits = torch.tanh(logits / cap) * cap
    return logits


@torch.inference_mode()
def check_logits(model: PreTrainedModel) -> None:
    """Refuse a model whose logits are not the (scaled) projection of its last hidden states.

    Raises
    ------
    ModelError
        If surprisal differs from the model's own log-softmax on a few tokens.
    """
    ids = torch.arange(1, 9, device=model.device)[None] % model.config.vocab_size
    mask = torch.ones_like(ids)
    ours = surprisals(model, hidden_states(model, ids, mask)[0, :-1], ids[0, 1:])
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[0, :-1].float()
    expected = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
    tolerance = 1e-3 if model.dtype == torch.float32 else 0.1
    if not torch.allclose(ours, expected, rtol=tolerance, atol=tolerance, equal_nan=True):
        raise ModelError(
            f"this {model.config.model_type} model changes its logits in an unknown way, so surprisal cannot be computed"
        )


def batches(lengths: Sequence[int] | np.ndarray, max_tokens: int) -> Iterator[np.ndarray]:
    """Indices of sequences, longest first, grouped so that a padded batch has at most `max_tokens`."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        size = max(1, max_tokens // int(lengths[order[start]]))
        yield order[start : start + size]
        start += size


@torch.inference_mode()
def sequence_surprisals(
    model: PreTrainedModel,
    sequences: Sequence[np.ndarray],
    max_tokens: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> list[np.ndarray]:
    """Surprisal in nats of every token of every sequence but its first, float32.

    Parameters
    ----------
    model : PreTrainedModel
    sequences : sequence of int arrays
        Token ids. The first token (BOS) is context and is not scored.
    max_tokens : int, optional
        Padded tokens in a batch; the default depends on the device.
    progress : callable, optional
        Called with the number of tokens done after each batch.

    Returns
    -------
    list of arrays, each one shorter than its sequence
    """
    results: list[np.ndarray] = [np.empty(0, dtype=np.float32)] * len(sequences)
    max_tokens = max_tokens or _BATCH_TOKENS.get(model.device.type, _BATCH_TOKENS["cpu"])
    for batch in batches([len(sequence) for sequence in sequences], max_tokens):
        rows = [sequences[i] for i in batch]
        ids, mask = pad(rows, model.device)
        hidden = hidden_states(model, ids, mask)
        scored = mask[:, 1:].bool()
        values = surprisals(model, hidden[:, :-1][scored], ids[:, 1:][scored]).cpu().numpy()
        for i, part in zip(batch, np.split(values, np.cumsum([len(r) - 1 for r in rows])[:-1]), strict=True):
            results[i] = part
        if progress is not None:
            progress(int(mask.sum()))
    return results


def encode(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], max_length: int) -> list[np.ndarray]:
    """Token ids of each text, beginning with BOS.

    Raises
    ------
    CorpusError
        If a text is longer than the model's context.
    """
    bos = bos_id(tokenizer)
    encoded = []
    for text in texts:
        ids = np.asarray([bos, *tokenizing.encode(tokenizer, text)["input_ids"]], dtype=np.int64)
        if len(ids) > max_length:
            raise CorpusError(f"a text of {len(ids)} tokens exceeds the model's context of {max_length}: {text[:60]!r}…")
        encoded.append(ids)
    return encoded


def context_length(model: PreTrainedModel) -> int:
    """Positions that the model was built for."""
    return int(getattr(model.config, "max_position_embeddings", 2**31))
