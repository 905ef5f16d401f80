"""Ctrl-C and SIGTERM end a command with one line and an exit code of their own, at any time.

Owns the two phases of a command. In the first phase the command has written nothing yet, and a signal
ends the process at once: while libraries are loading, an exception would print a traceback or be
swallowed. In the second phase a signal raises an exception, so that unfinished files are removed.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TerminatedError(BaseException):
    """Raised on SIGTERM, as KeyboardInterrupt is on SIGINT."""


@contextmanager
def answered(program: str) -> Iterator[None]:
    """Handle both signals as in the first phase; the earlier handlers are restored on exit."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _: FrameType | None) -> None:
        message = "interrupted" if number == signal.SIGINT else "terminated"
        os.write(2, f"{program}: {message}\n".encode())
        os._exit(128 + number)

    leave.is_ours = True  # type: ignore[attr-defined]
    earlier = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in earlier.items():
        if handler not in (signal.SIG_IGN, None):  # ignored: under nohup, and in the background of a script
            signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in earlier.items():
            if handler is not None:
                signal.signal(number, handler)


def hidden_signal(error: BaseException) -> BaseException | None:
    """The signal behind an error that a library raised while cleaning up after it; None if there was no signal."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, (KeyboardInterrupt, TerminatedError)):
        cause = cause.__cause__ or cause.__context__
    return cause


def begin_work() -> None:
    """Enter the second phase, in which signals raise exceptions; outside a command this does nothing."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, _terminate)):
        if getattr(signal.getsignal(number), "is_ours", False):
            signal.signal(number, handler)


def _terminate(number: int, _: FrameType | None) -> None:
    raise TerminatedError
