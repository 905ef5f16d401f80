"""Ctrl-C and SIGTERM: one line and an exit code of its own, whenever they come.

Owns the two phases of a command. Until it has something of its own on disk a signal ends the process
at once: while libraries are loaded an exception would be a traceback, or be swallowed. From then on
a signal is an exception, so that what is not whole is cleared away.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TerminatedError(BaseException):
    """SIGTERM, as KeyboardInterrupt is SIGINT."""


@contextmanager
def answered(program: str) -> Iterator[None]:
    """Answer both signals, in the first phase; the handlers from before come back on leaving."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _: FrameType | None) -> None:
        what = "interrupted" if number == signal.SIGINT else "terminated"
        os.write(2, f"{program}: {what}\n".encode())
        os._exit(128 + number)

    leave.is_ours = True  # type: ignore[attr-defined]
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler not in (signal.SIG_IGN, None):  # as under nohup, and in the background of a script
            signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


def hidden_signal(error: BaseException) -> BaseException | None:
    """The signal in whose course another error came up, such as in a library's own clearing away; None if there was none."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, (KeyboardInterrupt, TerminatedError)):
        cause = cause.__cause__ or cause.__context__
    return cause


def begin_work() -> None:
    """Enter the second phase: signals are exceptions from here on. Elsewhere than in a command it changes nothing."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, _terminate)):
        if getattr(signal.getsignal(number), "is_ours", False):
            signal.signal(number, handler)


def _terminate(number: int, _: FrameType | None) -> None:
    raise TerminatedError
