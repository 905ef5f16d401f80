"""What comes from the hub, watched as it comes.

Owns the rules that end a request which the client itself would wait for without end: an answer that
tells how long to wait, and a body that drips. Both end the request with an error; `repositories.py` decides
what to do then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import httpx2

SLOWEST_RATE = 1000.0
"""Bytes a second; below, a body is said to drip."""
PATIENCE = 30.0
"""Seconds for which a body may drip before its request is ended."""
_BUSY = (408, 429)
_LOCK = Lock()
_Hook = Callable[..., Any]


class BusyError(OSError):
    """The hub asks to wait.

    Attributes
    ----------
    status : int
    told : str
        The hub's `Retry-After`; empty if it said none.
    """

    def __init__(self, status: int, told: str) -> None:
        super().__init__(f"the hub answers {status}")
        self.status, self.told = status, told


class DripError(OSError):
    """The hub sends so little that nothing would ever be whole."""


@contextmanager
def watched(client: httpx2.Client) -> Iterator[None]:
    """Watch every answer to a client meanwhile; afterwards it is as it was, as it belongs to the whole process."""
    _set_hooks(client, lambda hooks: [*hooks, _watch])
    try:
        yield
    finally:
        _set_hooks(client, _without_one)


def _set_hooks(client: httpx2.Client, change: Callable[[list[_Hook]], list[_Hook]]) -> None:
    with _LOCK:  # other threads go through the lists meanwhile: a new one takes their place
        hooks = client.event_hooks
        client.event_hooks = {**hooks, "response": change(hooks["response"])}


def _without_one(hooks: list[_Hook]) -> list[_Hook]:
    place = hooks.index(_watch)
    return hooks[:place] + hooks[place + 1 :]


def _watch(response: httpx2.Response) -> None:
    if response.status_code in _BUSY:
        raise BusyError(response.status_code, response.headers.get("Retry-After", ""))
    if isinstance(response.stream, httpx2.SyncByteStream) and not isinstance(response.stream, _WatchedBody):
        response.stream = _WatchedBody(response.stream)


class _WatchedBody(httpx2.SyncByteStream):
    """A body that ends with `DripError` when it drips; only waiting for the hub counts."""

    def __init__(self, body: httpx2.SyncByteStream) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        waited, n_bytes, before = 0.0, 0, time.monotonic()
        for part in self._body:
            waited += time.monotonic() - before
            n_bytes += len(part)
            if waited >= PATIENCE:
                if n_bytes < SLOWEST_RATE * waited:
                    raise DripError(f"the hub sends {n_bytes / waited:,.0f} bytes a second")
                waited, n_bytes = 0.0, 0
            yield part
            before = time.monotonic()

    def close(self) -> None:
        self._body.close()
