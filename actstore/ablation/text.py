"""The readout that every ablation has: surprisal of every token of the design's text, and its perplexity."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from actstore.model import scoring
from actstore.store.schema import TOKEN_COORDS
from actstore.text.tokens import TokenTable


class TextScorer:
    """Reads a model on the windows of a text."""

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
