from __future__ import annotations

import json

import numpy as np
import pytest
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from actstore import bounds
from actstore.errors import CorpusError
from actstore.text.tokenizing import DocumentEncoder, encode


def with_pattern(tokenizer, pattern):
    """The tokenizer with another pattern for splitting text."""
    definition = json.loads(tokenizer.backend_tokenizer.to_str())
    definition["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(definition)), eos_token="<|endoftext|>")


@pytest.fixture(scope="module")
def backtracking(neox_tokenizer):
    return with_pattern(neox_tokenizer, r"(a+)+$")


def test_tokens_of_a_document_are_those_of_the_tokenizer(neox_tokenizer):
    text = "The dog sees the cat. Déjà vu 🙂."
    plain = neox_tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    with DocumentEncoder(neox_tokenizer) as encoder:
        ids, offsets = encoder(text)
        assert ids.tolist() == plain["input_ids"] == encode(neox_tokenizer, text)["input_ids"]
        np.testing.assert_array_equal(offsets, plain["offset_mapping"])
        assert [part.shape for part in encoder("")] == [(0,), (0, 2)]


def test_a_pattern_that_the_library_gives_up_is_one_line(backtracking, capfd):
    text = "a" * 200 + "!"
    with DocumentEncoder(backtracking) as encoder:
        for call in (encoder, lambda text: encode(backtracking, text)):
            with pytest.raises(CorpusError, match=r"fails on 'a+'… \(201 characters\): .*retry-limit"):
                call(text)
        assert len(encoder("The dog.")[0]), "text that suits the pattern is still tokenised"
    assert capfd.readouterr().err == "", "the library's own messages are suppressed"


def test_a_pattern_that_takes_for_ever_is_given_up(backtracking, monkeypatch):
    monkeypatch.setattr(bounds, "TOKENIZING_SECONDS", 0.2)
    monkeypatch.setattr(bounds, "TOKENIZING_RATE", 1e9)
    with DocumentEncoder(backtracking) as encoder, pytest.raises(CorpusError, match=r"took more than 0 s for .*another model"):
        encoder(("a" * 20 + "! ") * 40)


def test_an_error_of_the_tokenizer_is_one_line():
    from tokenizers.models import WordLevel

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"dog": 0}, unk_token="none")))
    with pytest.raises(CorpusError, match=r"the tokenizer .* fails on 'cat'…"):
        encode(tokenizer, "cat")
