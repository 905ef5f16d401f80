from __future__ import annotations

import numpy as np
import pytest
import torch

from actstore.errors import ModelError
from actstore.model import scoring
from tests.helpers import FAMILIES, GATED, tiny_model


def reference(model, sequence):
    """Unbatched, all logits, float32 log-softmax."""
    ids = torch.from_numpy(sequence)[None]
    with torch.inference_mode():
        log_probabilities = torch.log_softmax(model(input_ids=ids).logits.float(), dim=-1)
    return -log_probabilities[0, :-1].gather(1, ids[0, 1:, None]).squeeze(1).numpy()


def surprisal_of_pieces(model, tokenizer, text):
    """Of every token, with the text of each."""
    ids = tokenizer(text)["input_ids"]
    return reference(model, np.array([0, *ids])), [tokenizer.decode([i]) for i in ids]


@pytest.mark.parametrize("family", FAMILIES)
def test_batched_surprisal_equals_plain_log_softmax(family):
    model = tiny_model(family)
    rng = np.random.default_rng(0)
    sequences = [rng.integers(0, 64, size=n) for n in (3, 17, 9, 17, 2)]
    for sequence, values in zip(sequences, scoring.sequence_surprisals(model, sequences, max_tokens=40), strict=True):
        np.testing.assert_allclose(values, reference(model, sequence), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("rows", "elements"), [(5, 64 * 5), (7, 7 * 9), (1024, 1024), (1, 1)])
def test_a_projection_in_tiles_equals_the_whole(monkeypatch, rows, elements):
    model = tiny_model("gpt_neox")
    sequence = np.arange(1, 30)
    monkeypatch.setattr(scoring, "_TILE_ROWS", rows)
    monkeypatch.setattr(scoring, "_TILE_ELEMENTS", {"cpu": elements})
    np.testing.assert_allclose(scoring.sequence_surprisals(model, [sequence])[0], reference(model, sequence), rtol=1e-5)


def test_large_logits_do_not_overflow():
    model = tiny_model("gpt_neox")
    model.get_output_embeddings().weight.mul_(1e4)
    sequence = np.arange(1, 30)
    expected = reference(model, sequence)
    assert expected.max() > 1000
    np.testing.assert_allclose(scoring.sequence_surprisals(model, [sequence])[0], expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("family", "key"), [("cohere", "logit_scale"), ("granite", "logits_scaling"), ("gemma2", "final_logit_softcapping")]
)
def test_a_familys_scaling_of_logits_is_applied(family, key):
    model = tiny_model(family, GATED | {key: 0.25, "pad_token_id": 0})
    model.get_output_embeddings().weight.mul_(50)
    assert getattr(model.config, key) == 0.25
    sequence = np.arange(1, 30)
    np.testing.assert_allclose(
        scoring.sequence_surprisals(model, [sequence])[0], reference(model, sequence), rtol=1e-4, atol=1e-4
    )
    scoring.check_logits(model)


def test_logits_that_are_not_understood_are_refused(monkeypatch):
    model = tiny_model("granite", GATED | {"logits_scaling": 4.0})
    model.get_output_embeddings().weight.mul_(50)
    monkeypatch.setattr(scoring, "_scaled", lambda model, logits: logits)
    with pytest.raises(ModelError, match="granite model changes its logits"):
        scoring.check_logits(model)


def test_several_targets_of_one_row(monkeypatch):
    model = tiny_model("gpt_neox")
    monkeypatch.setattr(scoring, "_TILE_ROWS", 3)
    monkeypatch.setattr(scoring, "_TILE_ELEMENTS", {"cpu": 3 * 10})
    hidden, targets, rows = torch.randn(8, 16), torch.tensor([1, 63, 5, 40, 5]), torch.tensor([7, 0, 0, 3, 7])
    expected = -torch.log_softmax(model.get_output_embeddings()(hidden), dim=1)[rows, targets]
    torch.testing.assert_close(scoring.surprisals(model, hidden, targets, rows), expected)


def test_batches_hold_every_index_once_within_the_limit():
    lengths = np.random.default_rng(1).integers(1, 50, size=200)
    batches = list(scoring.batches(lengths, 64))
    assert sorted(np.concatenate(batches)) == list(range(200))
    assert all(len(batch) * lengths[batch].max() <= 64 or len(batch) == 1 for batch in batches)
