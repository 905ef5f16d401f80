"""Documents as windows of tokens, each token aligned with its word.

Owns tokenisation, windows and the token axis of a store: all per-token coordinates are computed here,
once, before any model runs.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from actstore import bounds
from actstore.errors import CorpusError
from actstore.store.schema import NO_WORD
from actstore.text.documents import UNKNOWN_DEPTH, CorpusDocument
from actstore.text.tokenizing import DocumentEncoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_log = logging.getLogger("actstore")
_FEW_DOCUMENTS = 20
_ENOUGH_TOKENS = 0.9
_STRINGS = ("token_text", "word_form", "upos", "deprel")


@dataclass(frozen=True)
class TokenTable:
    """A row for each token, in the order of the store's `token` axis; names as in the schema."""

    token_id: np.ndarray
    token_text: np.ndarray
    document: np.ndarray
    sentence: np.ndarray
    word: np.ndarray
    word_form: np.ndarray
    window: np.ndarray
    position: np.ndarray
    upos: np.ndarray
    deprel: np.ndarray
    depth: np.ndarray
    is_scored: np.ndarray

    def __len__(self) -> int:
        return len(self.token_id)

    @property
    def window_bounds(self) -> np.ndarray:
        """(window, 2): first and one past the last token of each window."""
        starts = np.flatnonzero(self.position == 0)
        return np.stack([starts, np.append(starts[1:], len(self))], axis=1)

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return int(self.document[-1]) + 1

    def shortfall(self, n_asked: int | None) -> Iterator[str]:
        """Warnings for the user before a model runs: far fewer tokens than requested, or few documents."""
        if n_asked is not None and len(self) < _ENOUGH_TOKENS * n_asked:
            yield f"{len(self):,} of the {n_asked:,} tokens asked: only whole documents are taken, and the next one is too long"
        if self.n_documents < _FEW_DOCUMENTS:
            yield (
                f"the text has {self.n_documents} document{'s' if self.n_documents > 1 else ''}: intervals over fewer than "
                f"{_FEW_DOCUMENTS} are wide, and over one there is none; raise --tokens, or cut plain text with --documents"
            )

    @property
    def fingerprint(self) -> str:
        """Digest of all columns."""
        digest = hashlib.blake2b(digest_size=16)
        for column in fields(self):
            values = getattr(self, column.name)
            digest.update("\0".join(values).encode() if column.name in _STRINGS else values.tobytes())
        return digest.hexdigest()


_COLUMNS = tuple(column.name for column in fields(TokenTable) if column.name != "is_scored")


def bos_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that begins every window: BOS, or EOS if there is no BOS."""
    for candidate in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if candidate is not None:
            return int(candidate)
    raise CorpusError(f"tokenizer {tokenizer.name_or_path} has neither BOS nor EOS, so windows cannot begin")


def tokenize_corpus(
    documents: Iterable[CorpusDocument],
    tokenizer: PreTrainedTokenizerBase,
    window: int,
    n_tokens: int | None = None,
    annotate: Callable[[CorpusDocument], CorpusDocument] = lambda document: document,
    patience: int | None = None,
) -> TokenTable:
    """Split whole documents into non-overlapping windows, up to `n_tokens` tokens.

    Every window begins with BOS, which is stored and not scored. No text is dropped: the last window of
    a document holds the remaining tokens. If the corpus is a single document of more than `n_tokens`
    tokens, its beginning is taken, up to the end of a word, with a warning.

    Parameters
    ----------
    documents : iterable of CorpusDocument
    tokenizer : fast tokenizer
        One that gives character offsets.
    window : int
        Tokens in a window, BOS included.
    n_tokens : int, optional
        Stop before the first document that would exceed this number of tokens (BOS counted). A
        document that exceeds it alone is left out, with a warning.
    annotate : callable, optional
        Adds words to a document that is taken.
    patience : int, optional
        Number of documents that may be too long before the first that fits; for an endless corpus.

    Raises
    ------
    CorpusError
        If the tokenizer gives no offsets or no tokens or takes too long, or no document fits.
    SettingError
        If the window holds no text.
    """
    bounds.check_window("window", window)
    if not tokenizer.is_fast:
        raise CorpusError("this model has no fast tokenizer, so tokens cannot be aligned with words")
    rows = _Rows(tokenizer, window, annotate)
    first_too_long: _Encoded | None = None
    n_read = n_too_long = 0
    for n_read, encoded in enumerate(_encoded(documents, tokenizer), 1):
        n_more = _with_bos(len(encoded.ids), window)
        if n_tokens is None or n_more <= n_tokens:
            if n_tokens is not None and rows.n_tokens + n_more > n_tokens:
                break
            rows.add(encoded)
            continue
        n_too_long += 1
        first_too_long = encoded if n_read == 1 else None
        if not rows.n_tokens and n_too_long == patience:
            break
    if n_read == 1 and first_too_long is not None and n_tokens is not None and n_tokens >= bounds.SMALLEST_WINDOW:
        rows.add_beginning(first_too_long, n_tokens)
    elif n_too_long and not rows.n_tokens:
        raise CorpusError(
            f"no document has as few as {n_tokens:,} tokens (BOS counted; {n_too_long:,} tried); raise --tokens, or cut plain "
            "text with --documents paragraph"
        )
    elif n_too_long:
        _log.warning("%d document(s) left out: each has more than %d tokens", n_too_long, n_tokens)
    return rows.table()


@dataclass(frozen=True)
class _Encoded:
    """A document's tokens: ids, and the characters [start, stop) of each."""

    document: CorpusDocument
    ids: np.ndarray
    offsets: np.ndarray


def _encoded(documents: Iterable[CorpusDocument], tokenizer: PreTrainedTokenizerBase) -> Iterator[_Encoded]:
    """The documents that have tokens."""
    n_read = n_empty = 0
    with DocumentEncoder(tokenizer) as encode:
        for document in documents:
            n_read += 1
            ids, offsets = encode(document.text)
            n_empty = 0 if len(ids) else n_empty + 1
            if n_empty == bounds.TOKENLESS_DOCUMENTS:
                break
            if len(ids):
                yield _Encoded(document, ids, offsets)
    if not n_read:
        raise CorpusError("the corpus holds no text to extract")
    if n_empty in (n_read, bounds.TOKENLESS_DOCUMENTS):
        raise CorpusError(
            f"the tokenizer {tokenizer.name_or_path} gives no token for {n_empty:,} documents in a row; "
            "does the model's folder have a tokenizer.json?"
        )


def _with_bos(n_tokens: int, window: int) -> int:
    """Tokens of a document, with the BOS of each of its windows."""
    return n_tokens + -(-n_tokens // (window - 1))


def _without_bos(n_tokens: int, window: int) -> int:
    """The most tokens of a document that fit into `n_tokens`, with the BOS of their windows."""
    n_windows, n_last = divmod(n_tokens, window)
    return n_windows * (window - 1) + max(n_last - 1, 0)


class _Rows:
    """Collects the rows of a token table, document by document."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, window: int, annotate: Callable[[CorpusDocument], CorpusDocument]
    ) -> None:
        self._tokenizer, self._window, self._annotate = tokenizer, window, annotate
        self._rows: list[list[np.ndarray]] = []
        self._counters = _Counters()
        self.n_tokens = 0

    def add(self, encoded: _Encoded, max_tokens: int | None = None) -> None:
        """Add a document, or its words up to `max_tokens` tokens."""
        text, offsets = encoded.document.text, encoded.offsets
        aligned = _align(self._annotate(encoded.document), offsets, self._counters)
        part = slice(None if max_tokens is None else _word_end(aligned[1], max_tokens))
        pieces = np.array([text[a:b] for a, b in offsets[part]], dtype=object)
        columns = [column[part] for column in aligned]
        self._rows.extend(_windows(encoded.ids[part], pieces, columns, self._tokenizer, self._window, self._counters))
        self._counters.document += 1
        self.n_tokens += _with_bos(len(pieces), self._window)

    def add_beginning(self, encoded: _Encoded, n_tokens: int) -> None:
        """Add the words of a document that fit into `n_tokens`, with a warning."""
        max_tokens = _without_bos(n_tokens, self._window)
        document, part = encoded.document, slice(max_tokens + 1)  # the next token shows whether a word ends
        line_end = document.text.find("\n", int(encoded.offsets[max_tokens, 1]))
        if line_end >= 0 and not document.sentences:  # later lines need no words
            document = replace(document, text=document.text[:line_end])
        self.add(_Encoded(document, encoded.ids[part], encoded.offsets[part]), max_tokens)
        n_all, mend = _with_bos(len(encoded.ids), self._window), "--documents paragraph cuts plain text into more"
        _log.warning("the corpus is a single document of %d tokens: its first %d are taken; %s", n_all, self.n_tokens, mend)

    def table(self) -> TokenTable:
        """The table of all rows."""
        columns = dict(zip(_COLUMNS, (np.concatenate(column) for column in zip(*self._rows, strict=True)), strict=True))
        return TokenTable(**columns, is_scored=columns["position"] > 0)


def _word_end(word: np.ndarray, max_tokens: int) -> int:
    """The most tokens up to `max_tokens` that end with the end of a word; `max_tokens` if there is none."""
    ends = np.flatnonzero((word[1 : max_tokens + 1] != word[:max_tokens]) | (word[:max_tokens] == NO_WORD)) + 1
    return int(ends[-1]) if len(ends) else max_tokens


@dataclass
class _Counters:
    """Running numbers through the corpus."""

    document: int = 0
    sentence: int = 0
    word: int = 0
    window: int = 0


def _align(document: CorpusDocument, offsets: np.ndarray, counters: _Counters) -> list[np.ndarray]:
    """Sentence, word, word form, upos, deprel and depth of each token, by character offsets.

    A token belongs to the first word whose characters it overlaps; a token of white space to no word.
    """
    n = len(offsets)
    sentence, word = (np.full(n, NO_WORD, dtype=np.int64) for _ in range(2))
    depth = np.full(n, UNKNOWN_DEPTH, dtype=np.int64)
    form, upos, deprel = (np.full(n, "", dtype=object) for _ in range(3))
    words = [w for s in document.sentences for w in s]
    if words:
        numbers = np.repeat(np.arange(len(document.sentences)), [len(s) for s in document.sentences])
        starts = np.array([w.start for w in words])
        ends = np.array([w.end for w in words])
        first = np.searchsorted(ends, offsets[:, 0], side="right")
        in_word = first < len(words)
        in_word[in_word] = starts[first[in_word]] < np.maximum(offsets[in_word, 1], offsets[in_word, 0] + 1)
        index = first[in_word]
        sentence[in_word] = counters.sentence + numbers[index]
        word[in_word] = counters.word + index
        form[in_word] = np.array([document.text[w.start : w.end] for w in words], dtype=object)[index]
        upos[in_word] = np.array([w.upos for w in words], dtype=object)[index]
        deprel[in_word] = np.array([w.deprel for w in words], dtype=object)[index]
        depth[in_word] = np.array([w.depth for w in words])[index]
    counters.sentence += len(document.sentences)
    counters.word += len(words)
    return [sentence, word, form, upos, deprel, depth]


def _windows(
    ids: np.ndarray,
    pieces: np.ndarray,
    aligned: list[np.ndarray],
    tokenizer: PreTrainedTokenizerBase,
    window: int,
    counters: _Counters,
) -> Iterator[list[np.ndarray]]:
    """The columns of a `TokenTable` without `is_scored`, a list for each window."""
    bos = bos_id(tokenizer)
    bos_text = str(tokenizer.convert_ids_to_tokens(bos))
    sentence, word, form, upos, deprel, depth = aligned
    for start in range(0, len(ids), window - 1):
        part = slice(start, start + window - 1)
        n = len(ids[part]) + 1
        yield [
            np.concatenate([[bos], ids[part]]),
            np.concatenate([np.array([bos_text], dtype=object), pieces[part]]),
            np.full(n, counters.document, dtype=np.int64),
            np.concatenate([[NO_WORD], sentence[part]]),
            np.concatenate([[NO_WORD], word[part]]),
            np.concatenate([np.array([""], dtype=object), form[part]]),
            np.full(n, counters.window, dtype=np.int64),
            np.arange(n, dtype=np.int64),
            np.concatenate([np.array([""], dtype=object), upos[part]]),
            np.concatenate([np.array([""], dtype=object), deprel[part]]),
            np.concatenate([[UNKNOWN_DEPTH], depth[part]]),
        ]
        counters.window += 1
