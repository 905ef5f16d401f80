"""Calls of a tokenizer of unknown origin, which end in tokens or in a one-line error.

Owns the time limit. The pattern by which a tokenizer splits text may take very long on some text; its
library then gives up with a panic (an error that is no Exception), or never. A call cannot be stopped
from outside, so documents are tokenised in a thread, which is abandoned when the time is up.
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
    """The tokenizer's encoding of a short text, without special tokens.

    Raises
    ------
    CorpusError
        If it fails.
    """
    with _silenced():
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
            If the tokenizer fails or exceeds the time limit (`bounds.TOKENIZING_SECONDS`, plus the
            characters over `bounds.TOKENIZING_RATE`).
        """
        seconds = bounds.TOKENIZING_SECONDS + len(text) / bounds.TOKENIZING_RATE
        with _silenced():
            self._texts.put(text)
            try:
                outcome = self._outcomes.get(timeout=seconds)
            except Empty:
                raise CorpusError(
                    f"the tokenizer {self._tokenizer.name_or_path} took more than {seconds:.0f} s for {_beginning(text)}; "
                    "its pattern does not suit this text: use another model or corpus"
                ) from None
        encoded = _checked(outcome, self._tokenizer, text)
        ids = np.asarray(encoded["input_ids"], dtype=np.int64)
        return ids, np.asarray(encoded["offset_mapping"], dtype=np.int64).reshape(-1, 2)

    def _work(self) -> None:
        while (text := self._texts.get()) is not None:
            self._outcomes.put(_attempt(self._tokenizer, text, {"return_offsets_mapping": True}))


def _attempt(tokenizer: PreTrainedTokenizerBase, text: str, options: dict[str, Any]) -> Any:
    """The encoding, or the error that was raised."""
    try:
        return tokenizer(text, add_special_tokens=False, verbose=False, **options)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the library
        return error


def _checked(outcome: Any, tokenizer: PreTrainedTokenizerBase, text: str) -> Any:
    if not isinstance(outcome, BaseException):
        return outcome
    if not isinstance(outcome, Exception) and type(outcome).__name__ != "PanicException":
        raise outcome
    reason = first_line(outcome)
    raise CorpusError(
        f"the tokenizer {tokenizer.name_or_path} fails on {_beginning(text)}: {reason}; use another model or corpus"
    ) from None


def _beginning(text: str) -> str:
    return f"{text[:40]!r}… ({len(text):,} characters)"


@contextmanager
def _silenced() -> Iterator[None]:
    """Suppress the messages of a panic, which the library writes to the error stream directly."""
    try:
        stderr = os.dup(_STDERR)
    except OSError:  # there is no error stream
        yield
        return
    try:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, _STDERR)
        os.close(devnull)
        yield
    finally:
        with suppress(OSError):
            os.dup2(stderr, _STDERR)
        os.close(stderr)
