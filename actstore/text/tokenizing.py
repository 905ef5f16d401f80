"""Calls of a tokenizer, which end in tokens or in one line whatever the tokenizer's file holds.

Owns the bounds on a tokenizer of unknown origin. The pattern by which a tokenizer cuts text may take
for ever on some text; its library then gives up in a panic of its own, or never. A call cannot be
stopped from outside, so long texts are tokenised in a thread that is left behind when time is up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actstore import bounds
from actstore.errors import CorpusError, first_line

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_STDERR = 2


def encode(tokenizer: PreTrainedTokenizerBase, text: str, **options: Any) -> Any:
    """What the tokenizer makes of a short text, without special tokens.

    Raises
    ------
    CorpusError
        If it fails.
    """
    with _no_notes():
        return _checked(_attempt(tokenizer, text, options), tokenizer, text)


class DocumentEncoder:
    """Tokens of documents; in a `with` block, which ends its thread.

    Parameters
    ----------
    tokenizer : fast tokenizer
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._texts: SimpleQueue[str | None] = SimpleQueue()
        self._outcomes: SimpleQueue[Any] = SimpleQueue()
        self._thread = Thread(target=self._work, name="actstore-tokenizer", daemon=True)

    def __enter__(self) -> DocumentEncoder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._texts.put(None)

    def __call__(self, text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ids (token) and the characters [start, stop) of each (token, 2).

        Raises
        ------
        CorpusError
            If the tokenizer fails, or takes longer than `bounds.TOKENIZING_SECONDS` and what the length adds.
        """
        seconds = bounds.TOKENIZING_SECONDS + len(text) / bounds.TOKENIZING_RATE
        with _no_notes():
            self._texts.put(text)
            try:
                outcome = self._outcomes.get(timeout=seconds)
            except Empty:
                raise CorpusError(
                    f"the tokenizer {self._tokenizer.name_or_path} took more than {seconds:.0f} s for {_shown(text)}; "
                    "its pattern does not suit this text: use another model or corpus"
                ) from None
        encoded = _checked(outcome, self._tokenizer, text)
        ids = np.asarray(encoded["input_ids"], dtype=np.int64)
        return ids, np.asarray(encoded["offset_mapping"], dtype=np.int64).reshape(-1, 2)

    def _work(self) -> None:
        while (text := self._texts.get()) is not None:
            self._outcomes.put(_attempt(self._tokenizer, text, {"return_offsets_mapping": True}))


def _attempt(tokenizer: PreTrainedTokenizerBase, text: str, options: dict[str, Any]) -> Any:
    """The encoding, or the error in its place."""
    try:
        return tokenizer(text, add_special_tokens=False, verbose=False, **options)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the library is no Exception
        return error


def _checked(outcome: Any, tokenizer: PreTrainedTokenizerBase, text: str) -> Any:
    if not isinstance(outcome, BaseException):
        return outcome
    if not isinstance(outcome, Exception) and type(outcome).__name__ != "PanicException":
        raise outcome
    reason = first_line(outcome)
    raise CorpusError(
        f"the tokenizer {tokenizer.name_or_path} fails on {_shown(text)}: {reason}; use another model or corpus"
    ) from None


def _shown(text: str) -> str:
    return f"{text[:40]!r}… ({len(text):,} characters)"


@contextmanager
def _no_notes() -> Iterator[None]:
    """Keep the library's own notes of a panic, which go past Python, off the error stream."""
    try:
        kept = os.dup(_STDERR)
    except OSError:  # there is no error stream
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _STDERR)
        os.close(nowhere)
        yield
    finally:
        with suppress(OSError):
            os.dup2(kept, _STDERR)
        os.close(kept)
