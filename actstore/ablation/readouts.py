"""What is read out of a model, whatever state it is in: every readout item by item.

Owns surprisal of a text, minimal pairs, multiple-choice probes, and tasks of lm-evaluation-harness.
Each says which arrays it fills, labels their items, and reads one state of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from actstore.builtin.probes import MultipleChoice
from actstore.errors import CorpusError
from actstore.model import scoring
from actstore.model.prefixes import shared_surprisals
from actstore.store.schema import TOKEN_COORDS
from actstore.text import tokenizing
from actstore.text.minimal_pairs import MinimalPair, critical_regions
from actstore.text.tokens import TokenTable, bos_id


class Readout(Protocol):
    """One kind of readout."""

    @property
    def labels(self) -> dict[str, NDArray[Any]]:
        """Coordinates of its items."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The arrays it fills, without the dims of checkpoint and condition."""

    def read(self, model: PreTrainedModel) -> dict[str, NDArray[Any]]:
        """The values of every array, for the model as it is."""


class TextReadout:
    """Surprisal of every token of a text, and its perplexity."""

    def __init__(self, table: TokenTable) -> None:
        self._table = table
        self._windows = [table.token_id[a:b] for a, b in table.window_bounds]
        self.labels = {name: getattr(table, name) for name in TOKEN_COORDS}
        self.shapes: dict[str, tuple[int, ...]] = {"ablated_surprisal": (len(table),), "perplexity": ()}

    def read(self, model: PreTrainedModel) -> dict[str, NDArray[Any]]:
        """`ablated_surprisal` (token,) in nats, NaN where unscored, and `perplexity` ()."""
        surprisal = np.full(len(self._table), np.nan, np.float32)
        for (a, b), values in zip(self._table.window_bounds, scoring.sequence_surprisals(model, self._windows), strict=True):
            surprisal[a + 1 : b] = values
        scored = surprisal[self.labels["is_scored"]]  # NaN among these is damage, and stays
        return {"ablated_surprisal": surprisal, "perplexity": np.exp(scored.mean(dtype=np.float64))}

    def perplexity(self, model: PreTrainedModel) -> float:
        """Exponential of the mean surprisal."""
        return float(self.read(model)["perplexity"])


class PairReadout:
    """Log-probability of both sentences of every minimal pair: total, and over the critical region."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, pairs: Sequence[MinimalPair], max_length: int) -> None:
        regions = [critical_regions(pair) for pair in pairs]
        self._ids: list[NDArray[np.int64]] = []
        self._index: dict[str, NDArray[np.int64]] = {}
        self._critical: dict[str, list[NDArray[np.bool_]]] = {}
        self.labels = {
            name: np.array([getattr(pair, name) for pair in pairs])
            for name in ("benchmark", "phenomenon", "paradigm", "sentence_good", "sentence_bad")
        }
        unique: dict[str, int] = {}
        encoded = []
        for side, name in enumerate(("good", "bad")):
            texts = [getattr(pair, f"sentence_{name}") for pair in pairs]
            for text in texts:
                if text not in unique:
                    unique[text] = len(unique)
                    encoded.append(_encode_with_offsets(tokenizer, text, max_length))
            self._index[name] = np.array([unique[text] for text in texts])
            self._critical[name] = [
                _overlaps(encoded[index][1], region[side]) for index, region in zip(self._index[name], regions, strict=True)
            ]
            self.labels[f"n_tokens_{name}"] = np.array([len(encoded[index][1]) for index in self._index[name]])
            self.labels[f"n_critical_{name}"] = np.array([int(inside.sum()) for inside in self._critical[name]])
        self._ids = [ids for ids, _ in encoded]
        kinds = ("log_probability", "critical_log_probability")
        self.shapes: dict[str, tuple[int, ...]] = {
            f"{kind}_{name}": (len(pairs),) for kind in kinds for name in ("good", "bad")
        }

    def read(self, model: PreTrainedModel) -> dict[str, NDArray[Any]]:
        """Log-probabilities (pair,) in nats; over the critical region NaN where a side has no token in it."""
        values = [-part.astype(np.float64) for part in shared_surprisals(model, self._ids)]
        found = {}
        is_defined = (self.labels["n_critical_good"] > 0) & (self.labels["n_critical_bad"] > 0)
        for name, index in self._index.items():
            found[f"log_probability_{name}"] = np.array([values[i].sum() for i in index])
            critical = np.array([values[i][inside].sum() for i, inside in zip(index, self._critical[name], strict=True)])
            found[f"critical_log_probability_{name}"] = np.where(is_defined, critical, np.nan)
        return found


def _encode_with_offsets(
    tokenizer: PreTrainedTokenizerBase, text: str, max_length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids after BOS, and the characters [start, stop) of each but BOS."""
    made = tokenizing.encode(tokenizer, text, return_offsets_mapping=True)
    ids = np.array([bos_id(tokenizer), *made["input_ids"]], np.int64)
    if len(ids) > max_length:
        raise CorpusError(f"a sentence of {len(ids)} tokens exceeds the model's context of {max_length}: {text[:60]!r}…")
    return ids, np.array(made["offset_mapping"], np.int64).reshape(-1, 2)


def _overlaps(offsets: NDArray[np.int64], region: tuple[int, int]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (offsets[:, 0] < region[1]) & (offsets[:, 1] > region[0])
    return inside


class ChoiceReadout:
    """Log-probability of every option of multiple-choice items, given the context."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, items: Sequence[MultipleChoice], max_length: int) -> None:
        contexts = scoring.encode(tokenizer, [item.context for item in items], max_length)
        texts = [item.context + option for item in items for option in item.options]
        self._ids = scoring.encode(tokenizer, texts, max_length)
        self._n_options = len(items[0].options)
        stems = [stem for stem in contexts for _ in range(self._n_options)]
        # The option's own tokens: those after the longest prefix that the context alone shares with both together.
        self._starts = [_n_shared(stem, ids) for stem, ids in zip(stems, self._ids, strict=True)]
        self.labels = {"probe": np.array([item.probe for item in items]), "answer": np.array([item.answer for item in items])}
        self.shapes: dict[str, tuple[int, ...]] = {"log_probability_option": (len(items), self._n_options)}

    def read(self, model: PreTrainedModel) -> dict[str, NDArray[Any]]:
        """`log_probability_option` (item, option) in nats."""
        parts = zip(shared_surprisals(model, self._ids), self._starts, strict=True)
        scores = np.array([-values[start - 1 :].sum(dtype=np.float64) for values, start in parts])
        return {"log_probability_option": scores.reshape(-1, self._n_options)}


def _n_shared(a: NDArray[np.int64], b: NDArray[np.int64]) -> int:
    size = min(len(a), len(b))
    different = np.flatnonzero(a[:size] != b[:size])
    return int(different[0]) if len(different) else size
