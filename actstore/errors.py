"""Errors that a user can mend.

Owns the exceptions, the wording of messages about unknown names, and the rule that a command
prints a mendable problem as one line on stderr and ends with exit code 2.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterable

from actstore.signals import TerminatedError, answered


class ActstoreError(Exception):
    """A problem whose message names the cause and the mend."""


class UnknownNameError(ActstoreError):
    """A name that is not among the valid ones."""

    def __init__(self, kind: str, name: object, choices: Iterable[object], where: str = "") -> None:
        valid = [str(choice) for choice in choices]
        close = difflib.get_close_matches(str(name), valid, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
        listing = ", ".join(valid[:20]) + (f", … ({len(valid)} in all)" if len(valid) > 20 else "")
        prefix = f"{where}: " if where else ""
        super().__init__(f"{prefix}unknown {kind} {str(name)!r}: {hint}Choose from: {listing or 'none available'}")


class SettingError(ActstoreError):
    """A value that is not valid for a setting; `key` is the setting's name."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class CorpusError(ActstoreError):
    """Text that cannot be read, or is empty."""


class ModelError(ActstoreError):
    """A model or checkpoint that cannot be found, loaded or understood."""


class StoreError(ActstoreError):
    """A store that cannot be created, written or read."""


class StoreExistsError(StoreError):
    """A store that another process finished while this one was starting."""


class SelectionError(ActstoreError):
    """A selection of neurons that is not valid, or does not fit the model."""


class FitError(ActstoreError):
    """A statistical model that cannot be fitted to a table."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message; the name of its class if there is no message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def printable(text: str) -> str:
    """A text with escape codes in place of the characters that control a terminal or end a line."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def run_reporting(action: Callable[[], object], program: str) -> int:
    """Call `action` and return the exit code: 0, 2 on a mendable problem, 130 on Ctrl-C, 143 on SIGTERM."""
    try:
        with answered(program):
            action()
            sys.stdout.flush()
    except BrokenPipeError:  # `… | head` has read enough; Python must not flush at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "transformers"):
            raise
        print(f"{program}: this needs {error.name}, which is not installed; pip install torch transformers", file=sys.stderr)
        return 2
    except ActstoreError as error:
        print(f"{program}: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 130
    except TerminatedError:
        print(f"{program}: terminated; finished work is kept, and the same command continues from there", file=sys.stderr)
        return 143
    return 0
