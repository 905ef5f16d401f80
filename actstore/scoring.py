"""Surprisal of tokens and log-probability of sentences.

Owns every reduction of logits. Padding is on the right with explicit positions, so a batched
score equals the unbatched one; log-sum-exp is taken in float32 whatever the model's dtype.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from actstore.errors import CorpusError, ModelError
from actstore.tokens import bos_id

_TILE_ROWS = 1024
_TILE_ELEMENTS = {"cpu": 2**20, "cuda": 2**27}
"""Float32 logits held at once while reducing: on a processor what its cache holds."""


def pad(sequences: Sequence[np.ndarray], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded ids (batch, position) and their attention mask."""
    length = max(map(len, sequences))
    ids = np.zeros((len(sequences), length), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


def hidden_states(model: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Last hidden states (batch, position, hidden): what the vocabulary projection receives."""
    backbone = model.base_model
    positions = {}
    if "position_ids" in inspect.signature(backbone.forward).parameters:
        positions = {"position_ids": torch.arange(ids.shape[1], device=ids.device).expand_as(ids)}
    hidden: torch.Tensor = backbone(input_ids=ids, attention_mask=mask, use_cache=False, **positions).last_hidden_state
    return hidden


def surprisals(model: PreTrainedModel, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Surprisal in nats of `targets` (row,) given final hidden states (row, hidden), float32.

    −log p = logsumexp(logits) − logit of the target, tile by tile of rows and vocabulary: a tile
    is reduced while it is still in the cache, so the logits never exist as a whole.

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
    n_parts = max(1, -(-len(hidden) // _TILE_ROWS))  # of equal size: a small rest would cost a whole pass over the weights
    parts = []
    for rows, wanted in zip(hidden.tensor_split(n_parts), targets.tensor_split(n_parts), strict=True):
        chosen = torch.zeros(len(rows), device=hidden.device)
        totals = []
        for first in range(0, len(head.weight), n_columns):
            columns = slice(first, first + n_columns)
            bias = None if head.bias is None else head.bias[columns]
            tile = _scaled(model, torch.nn.functional.linear(rows, head.weight[columns], bias)).float()
            totals.append(torch.logsumexp(tile, dim=1))
            place = (wanted - first).clamp(0, tile.shape[1] - 1)
            here = place == wanted - first
            chosen = torch.where(here, tile.gather(1, place[:, None]).squeeze(1), chosen)
        parts.append(torch.logsumexp(torch.stack(totals), dim=0) - chosen)
    return torch.cat(parts)


def _scaled(model: PreTrainedModel, logits: torch.Tensor) -> torch.Tensor:
    """What some families do to logits after the projection (Cohere, Granite, Gemma 2)."""
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
    """Refuse a model whose logits are more than the projection of its last hidden states.

    Raises
    ------
    ModelError
        If surprisal differs from the model's own log-softmax on a few tokens.
    """
    ids = torch.arange(1, 9, device=model.device)[None] % model.config.vocab_size
    mask = torch.ones_like(ids)
    ours = surprisals(model, hidden_states(model, ids, mask)[0, :-1], ids[0, 1:])
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[0, :-1].float()
    own = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
    tolerance = 1e-3 if model.dtype == torch.float32 else 0.1
    if not torch.allclose(ours, own, rtol=tolerance, atol=tolerance, equal_nan=True):
        raise ModelError(f"this {model.config.model_type} model changes its logits in a way that is not known here")


def batches(lengths: Sequence[int] | np.ndarray, max_tokens: int) -> Iterator[np.ndarray]:
    """Indices of sequences, longest first, grouped so that a padded batch has at most `max_tokens`."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    first = 0
    while first < len(order):
        size = max(1, max_tokens // int(lengths[order[first]]))
        yield order[first : first + size]
        first += size


@torch.inference_mode()
def sequence_surprisals(
    model: PreTrainedModel,
    sequences: Sequence[np.ndarray],
    max_tokens: int = 4096,
    progress: Callable[[int], object] | None = None,
) -> list[np.ndarray]:
    """Surprisal in nats of every token of every sequence but its first, float32.

    Parameters
    ----------
    model : PreTrainedModel
    sequences : sequence of int arrays
        Token ids, the context-giving first token (BOS) included.
    max_tokens : int
        Padded tokens in a batch.
    progress : callable, optional
        Called with the number of tokens done after each batch.

    Returns
    -------
    list of arrays, each one shorter than its sequence
    """
    results: list[np.ndarray] = [np.empty(0, dtype=np.float32)] * len(sequences)
    for chosen in batches([len(s) for s in sequences], max_tokens):
        rows = [sequences[i] for i in chosen]
        ids, mask = pad(rows, model.device)
        hidden = hidden_states(model, ids, mask)
        scored = mask[:, 1:].bool()
        values = surprisals(model, hidden[:, :-1][scored], ids[:, 1:][scored]).cpu().numpy()
        for i, part in zip(chosen, np.split(values, np.cumsum([len(r) - 1 for r in rows])[:-1]), strict=True):
            results[i] = part
        if progress is not None:
            progress(int(mask.sum()))
    return results


def encode(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], max_length: int) -> list[np.ndarray]:
    """Token ids of each text, opened by BOS.

    Raises
    ------
    CorpusError
        If a text is longer than the model's context.
    """
    bos = bos_id(tokenizer)
    encoded = []
    for text in texts:
        ids = np.asarray([bos, *tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]], dtype=np.int64)
        if len(ids) > max_length:
            raise CorpusError(f"a text of {len(ids)} tokens exceeds the model's context of {max_length}: {text[:60]!r}…")
        encoded.append(ids)
    return encoded


def sentence_log_probabilities(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sequence[str],
    progress: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Total log-probability in nats of each sentence after BOS, float64; each text is scored once."""
    unique = list(dict.fromkeys(sentences))
    parts = sequence_surprisals(model, encode(tokenizer, unique, context_length(model)), progress=progress)
    totals = {text: -float(part.sum(dtype=np.float64)) for text, part in zip(unique, parts, strict=True)}
    return np.array([totals[text] for text in sentences])


def option_log_probabilities(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    contexts: Sequence[str],
    options: Sequence[Sequence[str]],
    progress: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Log-probability in nats of each option given its context, (item, option), float64.

    The option's own tokens are scored: those after the longest token prefix that the context
    alone and context plus option share.
    """
    limit = context_length(model)
    stems = encode(tokenizer, contexts, limit)
    texts = [context + option for context, choices in zip(contexts, options, strict=True) for option in choices]
    sequences = encode(tokenizer, texts, limit)
    parts = iter(zip(sequences, sequence_surprisals(model, sequences, progress=progress), strict=True))
    scores = np.empty((len(contexts), len(options[0])))
    for item, stem in enumerate(stems):
        for option in range(scores.shape[1]):
            ids, values = next(parts)
            shared = min(len(stem), len(ids))
            different = np.flatnonzero(stem[:shared] != ids[:shared])
            start = int(different[0]) if len(different) else shared
            scores[item, option] = -values[start - 1 :].sum(dtype=np.float64)
    return scores


def context_length(model: PreTrainedModel) -> int:
    """Positions that the model was built for."""
    return int(getattr(model.config, "max_position_embeddings", 2**31))
