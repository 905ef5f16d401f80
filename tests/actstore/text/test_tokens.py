from __future__ import annotations

import itertools
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actstore.config import ExtractConfig, TextConfig
from actstore.errors import CorpusError, SettingError
from actstore.model import sources
from actstore.store.schema import NO_WORD
from actstore.text.corpus import read_corpus
from actstore.text.documents import CorpusDocument, CorpusWord
from actstore.text.tokens import tokenize_corpus


def split_on_spaces(text: str) -> CorpusDocument:
    words, start = [], 0
    for part in text.split(" "):
        if part:
            words.append(CorpusWord(start, start + len(part), "X", "dep"))
        start += len(part) + 1
    return CorpusDocument("d", text, (tuple(words),))


def test_pieces_of_a_window_give_back_the_text(neox_tokenizer):
    documents = list(itertools.islice(read_corpus("builtin"), 5))
    table = tokenize_corpus(documents, neox_tokenizer, window=32)
    for index, document in enumerate(documents):
        ids = table.token_id[(table.document == index) & table.is_scored]
        assert neox_tokenizer.decode(ids) == document.text


def test_windows_begin_with_bos_and_do_not_overlap(neox_tokenizer):
    table = tokenize_corpus(itertools.islice(read_corpus("builtin"), 5), neox_tokenizer, window=16)
    starts, stops = table.window_bounds.T
    assert (table.token_id[starts] == neox_tokenizer.bos_token_id).all()
    assert not table.is_scored[starts].any()
    assert table.is_scored.sum() == len(table) - len(starts)
    assert (stops[:-1] == starts[1:]).all()
    assert (stops - starts).max() <= 16


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet="abc déß漢字🙂.,'", min_size=1, max_size=60).filter(str.strip))
def test_every_character_of_a_word_is_covered_by_its_tokens(neox_tokenizer, text):
    document = split_on_spaces(text)
    table = tokenize_corpus([document], neox_tokenizer, window=8)
    for number, word in enumerate(document.sentences[0]):
        form = text[word.start : word.end]
        in_word = table.word == number
        assert set(table.word_form[in_word]) == {form}
        assert neox_tokenizer.decode(table.token_id[in_word]).strip() == form
    assert (table.word[table.position == 0] == NO_WORD).all()


def test_token_limit_takes_whole_documents(neox_tokenizer):
    table = tokenize_corpus(read_corpus("builtin"), neox_tokenizer, 128, 600)
    longer = tokenize_corpus(read_corpus("builtin"), neox_tokenizer, 128, 1200)
    assert 400 < len(table) <= 600
    assert (longer.token_id[: len(table)] == table.token_id).all()
    assert longer.position[len(table)] == 0


def test_a_document_beyond_the_limit_is_an_error(neox_tokenizer):
    with pytest.raises(CorpusError, match="raise --tokens"):
        tokenize_corpus(read_corpus("builtin"), neox_tokenizer, 128, 5, patience=10)


def test_fingerprint_sees_a_changed_label(neox_tokenizer):
    text = "the boy sleeps ."
    table = tokenize_corpus([split_on_spaces(text)], neox_tokenizer, 32)
    repeated = tokenize_corpus([split_on_spaces(text)], neox_tokenizer, 32)
    words = split_on_spaces(text).sentences[0]
    relabelled = CorpusDocument("d", text, ((*words[:-1], CorpusWord(words[-1].start, words[-1].end, "PUNCT")),))
    assert table.fingerprint == repeated.fingerprint
    assert table.fingerprint != tokenize_corpus([relabelled], neox_tokenizer, 32).fingerprint
    assert table.token_id.dtype == np.int64


def test_a_slow_tokenizer_is_refused(neox_tokenizer):
    slow = SimpleNamespace(is_fast=False)
    with pytest.raises(CorpusError, match="no fast tokenizer"):
        tokenize_corpus([CorpusDocument("d", "text")], slow, 16)


def test_documents_that_alone_are_too_long_are_reported(neox_tokenizer, caplog):
    documents = [CorpusDocument("long", "The dog sees the cat. " * 50), CorpusDocument("short", "The dog sees the cat.")]
    table = tokenize_corpus(documents, neox_tokenizer, 16, 40)
    assert set(table.document) == {0}
    assert "1 document(s) left out: each has more than 40 tokens" in caplog.text


def test_a_shortfall_of_tokens_is_reported(neox_tokenizer):
    """As with 8,192 tokens of WikiText-2 by articles: the third article does not fit, and two have only 5,322."""
    sizes = (50, 40, 60)
    documents = [CorpusDocument(f"d{n}", "The dog sees the cat. " * n) for n in sizes]
    lengths = [len(tokenize_corpus([document], neox_tokenizer, 128)) for document in documents]
    n_asked = lengths[0] + lengths[1] + lengths[2] // 2
    table = tokenize_corpus(documents, neox_tokenizer, 128, n_asked)
    assert (len(table), table.n_documents) == (lengths[0] + lengths[1], 2)
    tokens, few = table.shortfall(n_asked)
    assert tokens.startswith(f"{len(table):,} of the {n_asked:,} tokens asked")
    assert few.startswith("the text has 2 documents: intervals over fewer than 20 are wide")
    enough = tokenize_corpus(read_corpus("builtin"), neox_tokenizer, 128, 4000)
    assert list(enough.shortfall(4000)) == []
    assert enough.n_documents >= 20
    (single,) = tokenize_corpus(documents[:1], neox_tokenizer, 128).shortfall(None)
    assert single.startswith("the text has 1 document:")


def test_a_finite_corpus_is_read_to_its_end(neox_tokenizer):
    documents = [CorpusDocument("long", "The dog sees the cat. " * 5)] * 150 + [CorpusDocument("short", "The dog.")]
    assert len(tokenize_corpus(documents, neox_tokenizer, 16, 10)) < 10


def test_only_documents_that_are_taken_are_annotated(neox_tokenizer):
    annotated = []

    def annotate(document):
        annotated.append(document.name)
        return document

    documents = [CorpusDocument(str(i), "The dog sees the cat.") for i in range(10)]
    table = tokenize_corpus(documents, neox_tokenizer, 16, 30, annotate)
    assert annotated == [str(i) for i in range(table.document.max() + 1)]


@pytest.mark.parametrize("n_tokens", [2, 17, 33, 40, 64])
def test_of_a_single_long_document_the_beginning_is_taken(neox_tokenizer, caplog, n_tokens):
    text = "The determined dogs see the tired cats. " * 30
    document = split_on_spaces(text)
    complete = tokenize_corpus([document], neox_tokenizer, 16)
    table = tokenize_corpus([document], neox_tokenizer, 16, n_tokens)
    n = len(table)
    assert n_tokens - 8 <= n <= n_tokens
    for column in ("token_id", "token_text", "word", "word_form", "position", "window", "upos"):
        np.testing.assert_array_equal(getattr(table, column), getattr(complete, column)[:n], err_msg=column)
    cut_in_a_word = complete.word[n] == complete.word[n - 1] != NO_WORD
    assert not cut_in_a_word or len(set(table.word[table.is_scored])) == 1, "only a word that alone is too long is cut"
    assert table.n_documents == 1
    assert f"the corpus is a single document of {len(complete)} tokens: its first {n} are taken" in caplog.text


def test_the_beginning_of_a_document_is_annotated_up_to_its_line(neox_tokenizer):
    annotated = []

    def annotate(document):
        annotated.append(document.text)
        return split_on_spaces(document.text)

    line = "The dog sees the cat."
    table = tokenize_corpus([CorpusDocument("d", f"{line}\n" * 50)], neox_tokenizer, 16, 20, annotate)
    assert len(annotated[0]) % (len(line) + 1) == len(line)
    assert len(annotated[0]) < 200
    assert "".join(table.token_text[table.is_scored]).startswith(line)


def test_of_two_long_documents_none_is_cut(neox_tokenizer):
    with pytest.raises(CorpusError, match=r"no document has as few as 16 tokens .*2 tried.*--documents paragraph"):
        tokenize_corpus([CorpusDocument("d", "The dog sees the cat. " * 50)] * 2, neox_tokenizer, 16, 16)


def test_a_model_folder_without_a_tokenizer_is_named(neox_source, tmp_path):
    shutil.copytree(neox_source.checkpoints[4000].path, tmp_path / "model")
    tokenizer = sources.load_tokenizer(sources.resolve(str(tmp_path / "model")))
    with pytest.raises(CorpusError, match=r"model gives no token for 1,000 documents in a row; .*tokenizer\.json"):
        tokenize_corpus(read_corpus("builtin"), tokenizer, 128, 1000)
    with pytest.raises(CorpusError, match="gives no token for 2 documents"):
        tokenize_corpus([CorpusDocument("d", "text")] * 2, tokenizer, 128, 1000)


@pytest.mark.parametrize("window", [-1, 0, 1])
def test_a_window_without_text_is_refused_everywhere(neox_tokenizer, window):
    message = f"window must be 2 or more, as it holds BOS and a token, got {window}"
    for use in (
        lambda: tokenize_corpus([], neox_tokenizer, window),
        lambda: ExtractConfig("m", text=TextConfig(window=window)),
        lambda: TextConfig("builtin-evaluation", window=window),
    ):
        with pytest.raises(SettingError, match=message):
            use()
