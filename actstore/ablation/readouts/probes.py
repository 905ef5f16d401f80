"""Embedded non-grammatical probes: log-probability of every option of multiple-choice items, given the context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from actstore import bounds
from actstore.ablation.readout import Reading, Readout, Subject, register_readout
from actstore.builtin.probes import PROBES, MultipleChoice
from actstore.settings import setting, with_settings
from actstore.store.schema import CHECKPOINT, CONDITION, ITEM, OPTION, Field

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@register_readout
@with_settings
class Probes(Readout):
    """Multiple choice whose options are all grammatical: facts of the embedded world, and recall of what the context states."""

    name = "probes"
    is_default = True
    fields: ClassVar = {
        "log_probability_option": Field(
            (CHECKPOINT, CONDITION, ITEM, OPTION), "float64", "log-probability of an option given its context", "nat"
        ),
        "probe": Field((ITEM,), "str", "non-grammatical probe that the item belongs to"),
        "answer": Field((ITEM,), "int64", "index of the right option"),
    }

    names: tuple[str, ...] = setting("the probes", default=tuple(PROBES), choices=tuple(PROBES), is_some=True)
    seed: int = setting("seed of the items", default=0, check=bounds.between(0, bounds.LARGEST_SEED))

    @property
    def summary(self) -> str:
        """Items of the probes."""
        return "probe items"

    def prepare(self, subject: Subject) -> Reading:
        """Every item of every probe."""
        items = [item for name in self.names for item in PROBES[name](seed=self.seed)]
        labels = {"probe": np.array([item.probe for item in items]), "answer": np.array([item.answer for item in items])}
        return Reading(labels, ChoiceScorer(subject, items).read, {OPTION: len(items[0].options)})


class ChoiceScorer:
    """Each option is scored after its context, by its own tokens alone."""

    def __init__(self, subject: Subject, items: Sequence[MultipleChoice]) -> None:
        contexts = subject.encode([item.context for item in items])
        texts = [item.context + option for item in items for option in item.options]
        self._ids = subject.encode(texts)
        self._n_options = len(items[0].options)
        stems = [stem for stem in contexts for _ in range(self._n_options)]
        # The option's own tokens: those after the longest prefix that the context alone shares with both together.
        self._starts = [_n_shared(stem, ids) for stem, ids in zip(stems, self._ids, strict=True)]

    def read(self, model: PreTrainedModel) -> dict[str, NDArray[Any]]:
        """`log_probability_option` (item, option) in nats."""
        from actstore.model.prefixes import shared_surprisals

        parts = zip(shared_surprisals(model, self._ids), self._starts, strict=True)
        scores = np.array([-values[start - 1 :].sum(dtype=np.float64) for values, start in parts])
        return {"log_probability_option": scores.reshape(-1, self._n_options)}


def _n_shared(a: NDArray[np.int64], b: NDArray[np.int64]) -> int:
    size = min(len(a), len(b))
    different = np.flatnonzero(a[:size] != b[:size])
    return int(different[0]) if len(different) else size
