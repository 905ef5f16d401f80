"""Watches the hub's answers as they arrive.

Owns the rules that end a request for which the client itself would wait without end: an answer that
asks to wait, and a body that arrives too slowly (drips). Both end the request with an error;
`calls.py` decides whether to try again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import httpx2

SLOWEST_RATE = 1000.0
"""Bytes a second below which a body drips."""
PATIENCE = 30.0
"""Seconds for which a body may drip before its request ends."""
_BUSY = (408, 429)
_LOCK = Lock()
_Hook = Callable[..., Any]


class BusyError(OSError):
    """The hub asks to wait.

    Attributes
    ----------
    status : int
    retry_after : str
        The hub's `Retry-After`; empty if it sent none.
    """

    def __init__(self, status: int, retry_after: str) -> None:
        super().__init__(f"the hub answers {status}")
        self.status, self.retry_after = status, retry_after


class DripError(OSError):
    """The hub sends too slowly to complete any file."""


@contextmanager
def watched(client: httpx2.Client) -> Iterator[None]:
    """Watch every answer to a client; on exit the client, which the whole process shares, is as before."""
    _set_hooks(client, lambda hooks: [*hooks, _watch])
    try:
        yield
    finally:
        _set_hooks(client, _without_watch)


def _set_hooks(client: httpx2.Client, change: Callable[[list[_Hook]], list[_Hook]]) -> None:
    with _LOCK:  # other threads may iterate over the lists, so they are replaced and not changed
        hooks = client.event_hooks
        client.event_hooks = {**hooks, "response": change(hooks["response"])}


def _without_watch(hooks: list[_Hook]) -> list[_Hook]:
    index = hooks.index(_watch)  # one of several, if watches nest
    return hooks[:index] + hooks[index + 1 :]


def _watch(response: httpx2.Response) -> None:
    if response.status_code in _BUSY:
        raise BusyError(response.status_code, response.headers.get("Retry-After", ""))
    if isinstance(response.stream, httpx2.SyncByteStream) and not isinstance(response.stream, _WatchedBody):
        response.stream = _WatchedBody(response.stream)


class _WatchedBody(httpx2.SyncByteStream):
    """A body that raises `DripError` when it drips; only the time of waiting for the hub counts."""

    def __init__(self, body: httpx2.SyncByteStream) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        waited, n_bytes, start = 0.0, 0, time.monotonic()
        for part in self._body:
            waited += time.monotonic() - start
            n_bytes += len(part)
            if waited >= PATIENCE:
                if n_bytes < SLOWEST_RATE * waited:
                    raise DripError(f"the hub sends {n_bytes / waited:,.0f} bytes a second")
                waited, n_bytes = 0.0, 0
            yield part
            start = time.monotonic()

    def close(self) -> None:
        self._body.close()
