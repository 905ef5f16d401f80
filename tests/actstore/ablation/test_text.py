from __future__ import annotations

import numpy as np
import pytest

from actstore.ablation.text import TextScorer
from actstore.model import scoring
from actstore.text.corpus import read_corpus
from actstore.text.tokens import tokenize_corpus
from tests.actstore.model.test_scoring import reference


def test_text_is_scored_window_by_window(neox, neox_tokenizer):
    table = tokenize_corpus(read_corpus("builtin-evaluation", 0), neox_tokenizer, 32, 300)
    scorer = TextScorer(table)
    scores = scorer.read(neox)
    start, stop = table.window_bounds[1]
    np.testing.assert_allclose(
        scores["ablated_surprisal"][start + 1 : stop], reference(neox, table.token_id[start:stop]), atol=1e-4
    )
    assert np.isnan(scores["ablated_surprisal"][table.window_bounds[:, 0]]).all()
    expected = np.exp(
        np.mean(np.concatenate(scoring.sequence_surprisals(neox, [table.token_id[a:b] for a, b in table.window_bounds])))
    )
    assert scorer.perplexity(neox) == pytest.approx(expected, rel=1e-5)
