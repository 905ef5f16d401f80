"""Minimal pairs: log-probability of both sentences, total and over the critical region."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from actstore import bounds
from actstore.ablation.readout import Reading, Readout, Subject, register_readout
from actstore.errors import CorpusError
from actstore.settings import setting, with_settings
from actstore.store.schema import CHECKPOINT, CONDITION, PAIR, Field
from actstore.text import tokenizing
from actstore.text.minimal_pairs import BUILTIN, MinimalPair, critical_regions, locate_pairs, read_pairs
from actstore.text.tokens import bos_id

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_VALUES = (CHECKPOINT, CONDITION, PAIR)
_SIDES = ("good", "bad")
_TEXTS = ("benchmark", "phenomenon", "paradigm", "sentence_good", "sentence_bad")


@register_readout
@with_settings
class MinimalPairs(Readout):
    """Minimal pairs: two sentences that differ in one thing, which makes one of them ill-formed."""

    name = "minimal_pairs"
    is_default = True
    fields: ClassVar = {
        "log_probability_good": Field(_VALUES, "float64", "total log-probability of the good sentence", "nat"),
        "log_probability_bad": Field(_VALUES, "float64", "total log-probability of the bad sentence", "nat"),
        "critical_log_probability_good": Field(
            _VALUES, "float64", "log-probability of the good sentence's critical region", "nat"
        ),
        "critical_log_probability_bad": Field(
            _VALUES, "float64", "log-probability of the bad sentence's critical region", "nat"
        ),
        "benchmark": Field((PAIR,), "str", "source of the minimal pair"),
        "phenomenon": Field((PAIR,), "str", "linguistic phenomenon of the minimal pair"),
        "paradigm": Field((PAIR,), "str", "paradigm (UID) of the minimal pair"),
        "sentence_good": Field((PAIR,), "str", "well-formed sentence"),
        "sentence_bad": Field((PAIR,), "str", "ill-formed sentence"),
        "n_tokens_good": Field((PAIR,), "int64", "scored tokens of the good sentence"),
        "n_tokens_bad": Field((PAIR,), "int64", "scored tokens of the bad sentence"),
        "n_critical_good": Field((PAIR,), "int64", "tokens in the good sentence's critical region, where the two differ"),
        "n_critical_bad": Field((PAIR,), "int64", "tokens in the bad sentence's critical region, where the two differ"),
    }

    sources: tuple[str, ...] = setting(
        "builtin, blimp, tse (agreement by Marvin and Linzen's templates), or paths of .jsonl files in BLiMP's form",
        default=(BUILTIN,),
        is_path=True,
        is_some=True,
    )
    per_paradigm: int = setting(
        "at most N pairs of a paradigm, drawn by seed; 0 for all (50 of the embedded ones)",
        default=0,
        check=bounds.between(0, bounds.MOST_ITEMS),
    )
    seed: int = setting("seed of the choice of pairs", default=0, check=bounds.between(0, bounds.LARGEST_SEED))
    skip_bad: bool = setting("leave malformed records out, and count them", default=False)

    @property
    def attrs(self) -> dict[str, str]:
        """Where the pairs are from, and how they are scored."""
        return {
            "pairs": ", ".join(self.sources),
            "pair_score": "total log-probability; its mean and that of the critical region can be had",
        }

    @property
    def summary(self) -> str:
        """Minimal pairs, and where they are from."""
        return f"minimal pairs of {', '.join(Path(source).name for source in self.sources)}"

    def check(self) -> None:
        """Refuse a source that is not there."""
        for source in self.sources:
            locate_pairs(source)

    def prepare(self, subject: Subject) -> Reading:
        """Every pair of every source."""
        pairs = [
            pair
            for source in self.sources
            for pair in read_pairs(source, self.per_paradigm or None, self.seed, skip_bad=self.skip_bad)
        ]
        scorer = PairScorer(subject, pairs)
        return Reading(scorer.labels, scorer.read)


class PairScorer:
    """Each distinct sentence is scored once, whatever pairs it is in."""

    def __init__(self, subject: Subject, pairs: Sequence[MinimalPair]) -> None:
        self.labels = {name: np.array([getattr(pair, name) for pair in pairs]) for name in _TEXTS}
        regions = [critical_regions(pair) for pair in pairs]
        sentences = np.stack([self.labels[f"sentence_{side}"].astype(object) for side in _SIDES])
        distinct = list(dict.fromkeys(sentences.ravel().tolist()))
        number = {sentence: index for index, sentence in enumerate(distinct)}
        encoded = [_encode_with_offsets(subject.tokenizer, sentence, subject.context) for sentence in distinct]
        self._ids = [ids for ids, _ in encoded]
        self._index: dict[str, list[int]] = {}
        self._critical: dict[str, list[NDArray[np.bool_]]] = {}
        for position, side in enumerate(_SIDES):
            index = [number[sentence] for sentence in sentences[position]]
            critical = [_overlaps(encoded[i][1], region[position]) for i, region in zip(index, regions, strict=True)]
            self._index[side], self._critical[side] = index, critical
            self.labels[f"n_tokens_{side}"] = np.array([len(encoded[i][1]) for i in index])
            self.labels[f"n_critical_{side}"] = np.array([int(inside.sum()) for inside in critical])

    def read(self, model: PreTrainedModel) -> dict[str, NDArray[Any]]:
        """Log-probabilities (pair,) in nats; over the critical region NaN where a side has no token in it."""
        from actstore.model.prefixes import shared_surprisals

        scores = [-surprisals.astype(np.float64) for surprisals in shared_surprisals(model, self._ids)]
        is_defined = (self.labels["n_critical_good"] > 0) & (self.labels["n_critical_bad"] > 0)
        values = {}
        for side, index in self._index.items():
            values[f"log_probability_{side}"] = np.array([scores[i].sum() for i in index])
            critical = [scores[i][inside].sum() for i, inside in zip(index, self._critical[side], strict=True)]
            values[f"critical_log_probability_{side}"] = np.where(is_defined, critical, np.nan)
        return values


def _encode_with_offsets(
    tokenizer: PreTrainedTokenizerBase, text: str, context: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids after BOS, and the characters [start, stop) of each but BOS."""
    encoding = tokenizing.encode(tokenizer, text, return_offsets_mapping=True)
    ids = np.array([bos_id(tokenizer), *encoding["input_ids"]], np.int64)
    if len(ids) > context:
        raise CorpusError(f"a sentence of {len(ids)} tokens exceeds the model's context of {context}: {text[:60]!r}…")
    return ids, np.array(encoding["offset_mapping"], np.int64).reshape(-1, 2)


def _overlaps(offsets: NDArray[np.int64], region: tuple[int, int]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (offsets[:, 0] < region[1]) & (offsets[:, 1] > region[0])
    return inside
