from __future__ import annotations

import numpy as np
import pytest

from actstore.ablation.readouts import ChoiceReadout, PairReadout, TextReadout
from actstore.builtin.probes import MultipleChoice
from actstore.errors import CorpusError
from actstore.model import scoring
from actstore.text.corpus import read_corpus
from actstore.text.minimal_pairs import MinimalPair
from actstore.text.tokens import tokenize_corpus
from tests.actstore.model.test_scoring import reference

PAIRS = [
    MinimalPair("The boy sleeps.", "The boy sleep.", "x", "a", "made"),
    MinimalPair("The boys near him sleep now.", "The boys near him sleeps now.", "x", "a", "made"),
    MinimalPair("The boy sleeps.", "The boy sleeps.", "x", "b", "made"),
    MinimalPair("He slept", "He slept ever", "x", "b", "made"),
]


def surprisal(model, tokenizer, text):
    """Of every token, with the text of each."""
    ids = tokenizer(text)["input_ids"]
    return reference(model, np.array([0, *ids])), [tokenizer.decode([i]) for i in ids]


def test_totals_are_sums_of_plain_surprisal(neox, neox_tokenizer):
    found = PairReadout(neox_tokenizer, PAIRS, 256).read(neox)
    for side in ("good", "bad"):
        expected = [-surprisal(neox, neox_tokenizer, getattr(pair, f"sentence_{side}"))[0].sum() for pair in PAIRS]
        np.testing.assert_allclose(found[f"log_probability_{side}"], expected, atol=1e-4)
    assert found["log_probability_good"][2] == found["log_probability_bad"][2], "a tie is exact"


def test_the_critical_region_holds_the_tokens_that_differ(neox, neox_tokenizer):
    readout = PairReadout(neox_tokenizer, PAIRS, 256)
    found = readout.read(neox)
    values, pieces = surprisal(neox, neox_tokenizer, PAIRS[1].sentence_bad)
    ends = np.cumsum([len(piece) for piece in pieces])
    start, stop = PAIRS[1].sentence_bad.index("sleeps"), PAIRS[1].sentence_bad.index(" now")
    inside = (ends > start) & (ends <= stop)
    np.testing.assert_allclose(found["critical_log_probability_bad"][1], -values[inside].sum(), atol=1e-4)
    assert readout.labels["n_critical_bad"][1] == inside.sum()
    assert readout.labels["n_tokens_bad"][1] == len(values)
    assert np.isnan(found["critical_log_probability_good"][2:]).all(), "nothing differs, or nothing on one side"


def test_option_score_is_the_difference_of_two_texts(neox, neox_tokenizer):
    item = MultipleChoice("facts", "0", "Adam lives in", (" Marlow.", " Denby."), 0)
    (scores,) = ChoiceReadout(neox_tokenizer, [item], 256).read(neox)["log_probability_option"]
    context = surprisal(neox, neox_tokenizer, item.context)[0].sum()
    whole = [surprisal(neox, neox_tokenizer, item.context + option)[0].sum() for option in item.options]
    np.testing.assert_allclose(scores, context - np.array(whole), atol=1e-4)


def test_text_is_scored_window_by_window(neox, neox_tokenizer):
    table = tokenize_corpus(read_corpus("builtin-evaluation", 0), neox_tokenizer, 32, 300)
    readout = TextReadout(table)
    found = readout.read(neox)
    start, stop = table.window_bounds[1]
    np.testing.assert_allclose(
        found["ablated_surprisal"][start + 1 : stop], reference(neox, table.token_id[start:stop]), atol=1e-4
    )
    assert np.isnan(found["ablated_surprisal"][table.window_bounds[:, 0]]).all()
    expected = np.exp(
        np.mean(np.concatenate(scoring.sequence_surprisals(neox, [table.token_id[a:b] for a, b in table.window_bounds])))
    )
    assert readout.perplexity(neox) == pytest.approx(expected, rel=1e-5)


def test_too_long_a_sentence_is_named(neox_tokenizer):
    with pytest.raises(CorpusError, match="exceeds the model's context of 256"):
        PairReadout(neox_tokenizer, [MinimalPair("boy " * 400, "boy", "", "")], 256)
