"""Documents as windows of tokens, each token aligned with its word.

Owns tokenisation, windows and the token axis of a store: every per-token coordinate is made
here, once, before any model runs.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from actstore.documents import UNKNOWN_DEPTH, CorpusDocument
from actstore.errors import CorpusError
from actstore.schema import NO_WORD

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_log = logging.getLogger("actstore")
_FEW_DOCUMENTS = 20
_ENOUGH = 0.9
_STRINGS = ("token_text", "word_form", "upos", "deprel")


@dataclass(frozen=True)
class TokenTable:
    """One row a token, in the order of the store's `token` axis; names as in the schema."""

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
        """Documents that tokens are from."""
        return int(self.document.max()) + 1

    def shortfall(self, n_asked: int | None) -> Iterator[str]:
        """What a user should know before a model runs: much fewer tokens than asked, or few documents."""
        if n_asked is not None and len(self) < _ENOUGH * n_asked:
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
    """The id that opens every window: BOS, or EOS where there is none."""
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
    """Whole documents as non-overlapping windows, up to `n_tokens` tokens.

    Every window begins with BOS, which is stored and not scored. No text is dropped: the last
    window of a document is as long as what remains.

    Parameters
    ----------
    documents : iterable of CorpusDocument
    tokenizer : fast tokenizer
        One that gives character offsets.
    window : int
        Tokens in a window, BOS included.
    n_tokens : int, optional
        Stop before the first document that would exceed this many tokens (BOS counted). A
        document that alone exceeds them is left out, and reported.
    annotate : callable, optional
        Gives a document that is taken its words.
    patience : int, optional
        Give up after so many documents that are too long, of a corpus that has no end.

    Raises
    ------
    CorpusError
        If the tokenizer gives no offsets, or not one document fits.
    """
    if not tokenizer.is_fast:
        raise CorpusError("this model has no fast tokenizer, so tokens cannot be aligned with words")
    rows: list[list[np.ndarray]] = []
    total, n_too_long = 0, 0
    counters = _Counters()
    for document in documents:
        encoded = tokenizer(document.text, return_offsets_mapping=True, add_special_tokens=False, verbose=False)
        ids = np.asarray(encoded["input_ids"], dtype=np.int64)
        if not len(ids):
            continue
        length = len(ids) + -(-len(ids) // (window - 1))
        if n_tokens is not None and length > n_tokens:
            n_too_long += 1
            if not rows and n_too_long == patience:
                break
            continue
        if n_tokens is not None and total + length > n_tokens:
            break
        total += length
        offsets = np.asarray(encoded["offset_mapping"], dtype=np.int64)
        pieces = np.array([document.text[a:b] for a, b in offsets], dtype=object)
        aligned = _align(annotate(document), offsets, counters)
        rows.extend(_windows(ids, pieces, aligned, tokenizer, window, counters))
        counters.document += 1
    if not rows and n_too_long:
        raise CorpusError(
            f"no document has as few as {n_tokens:,} tokens (BOS counted; {n_too_long} tried); "
            "raise --tokens, or cut plain text with --documents paragraph"
        )
    if not rows:
        raise CorpusError("the corpus holds no text to extract")
    if n_too_long:
        _log.warning("%d document(s) left out: each has more than %d tokens", n_too_long, n_tokens)
    columns = dict(zip(_COLUMNS, (np.concatenate(column) for column in zip(*rows, strict=True)), strict=True))
    return TokenTable(**columns, is_scored=columns["position"] > 0)


@dataclass
class _Counters:
    """Running numbers through the corpus."""

    document: int = 0
    sentence: int = 0
    word: int = 0
    window: int = 0


def _align(document: CorpusDocument, offsets: np.ndarray, counters: _Counters) -> list[np.ndarray]:
    """Sentence, word, word form, upos, deprel and depth of each token, by character offsets.

    A token belongs to the first word whose characters it overlaps; a token of white space to none.
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
        inside = first < len(words)
        inside[inside] = starts[first[inside]] < np.maximum(offsets[inside, 1], offsets[inside, 0] + 1)
        chosen = first[inside]
        sentence[inside] = counters.sentence + numbers[chosen]
        word[inside] = counters.word + chosen
        form[inside] = np.array([document.text[w.start : w.end] for w in words], dtype=object)[chosen]
        upos[inside] = np.array([w.upos for w in words], dtype=object)[chosen]
        deprel[inside] = np.array([w.deprel for w in words], dtype=object)[chosen]
        depth[inside] = np.array([w.depth for w in words])[chosen]
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
    """The columns of a `TokenTable` (all but `is_scored`), one list a window."""
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
