from __future__ import annotations

import numpy as np
import pytest

from actstore.ablation.readout import Subject
from actstore.ablation.readouts.minimal_pairs import PairScorer
from actstore.errors import CorpusError
from actstore.text.minimal_pairs import MinimalPair
from tests.actstore.model.test_scoring import surprisal_of_pieces as surprisal

PAIRS = [
    MinimalPair("The boy sleeps.", "The boy sleep.", "x", "a", "made"),
    MinimalPair("The boys near him sleep now.", "The boys near him sleeps now.", "x", "a", "made"),
    MinimalPair("The boy sleeps.", "The boy sleeps.", "x", "b", "made"),
    MinimalPair("He slept", "He slept ever", "x", "b", "made"),
]


def test_totals_are_sums_of_plain_surprisal(neox, neox_tokenizer):
    scores = PairScorer(Subject(neox_tokenizer, 256), PAIRS).read(neox)
    for side in ("good", "bad"):
        expected = [-surprisal(neox, neox_tokenizer, getattr(pair, f"sentence_{side}"))[0].sum() for pair in PAIRS]
        np.testing.assert_allclose(scores[f"log_probability_{side}"], expected, atol=1e-4)
    assert scores["log_probability_good"][2] == scores["log_probability_bad"][2], "a tie is exact"


def test_the_critical_region_holds_the_tokens_that_differ(neox, neox_tokenizer):
    scorer = PairScorer(Subject(neox_tokenizer, 256), PAIRS)
    scores = scorer.read(neox)
    values, pieces = surprisal(neox, neox_tokenizer, PAIRS[1].sentence_bad)
    ends = np.cumsum([len(piece) for piece in pieces])
    start, stop = PAIRS[1].sentence_bad.index("sleeps"), PAIRS[1].sentence_bad.index(" now")
    inside = (ends > start) & (ends <= stop)
    np.testing.assert_allclose(scores["critical_log_probability_bad"][1], -values[inside].sum(), atol=1e-4)
    assert scorer.labels["n_critical_bad"][1] == inside.sum()
    assert scorer.labels["n_tokens_bad"][1] == len(values)
    assert np.isnan(scores["critical_log_probability_good"][2:]).all(), "nothing differs, or nothing on one side"


def test_too_long_a_sentence_is_named(neox_tokenizer):
    with pytest.raises(CorpusError, match="exceeds the model's context of 256"):
        PairScorer(Subject(neox_tokenizer, 256), [MinimalPair("boy " * 400, "boy", "", "")])
