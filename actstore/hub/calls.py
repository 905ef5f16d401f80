"""Network calls of the hub: repeated after a passing failure, a bounded number of times.

Owns the waits, and the message for each kind of failure.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

from actstore.errors import ModelError, first_line
from actstore.hub import watch

_log = logging.getLogger("actstore")
_ATTEMPTS = 5
"""Attempts of a call before it is given up."""
_FIRST_WAIT = 1.0
"""Seconds before the second attempt; each later wait is twice as long, unless the hub names another."""
_LONGEST_WAIT = 300.0
"""Seconds of the longest wait, even if the hub asks for more: 20 minutes in all."""
_REPORTED_WAIT = 1.0
"""Seconds from which on a wait is reported."""
_TIMEOUT = 30.0
"""Seconds without an answer; `watch` handles answers that come too slowly."""
_Result = TypeVar("_Result")


class MissingRevisionError(ModelError):
    """A revision that the hub does not have, or that has no weights."""


def offline() -> bool:
    """Whether the user allows the cache only (HF_HUB_OFFLINE=1)."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def api(path: str, label: str) -> Any:
    """The answer of the hub's API about a model; with a time limit, which the client's own calls lack.

    Raises
    ------
    ModelError
        If the hub gives no answer.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    def get() -> Any:
        response = get_session().get(
            f"{constants.ENDPOINT}/api/models/{path}", headers=build_hf_headers(), timeout=_TIMEOUT, follow_redirects=True
        )
        hf_raise_for_status(response)
        return response.json()

    return with_retries(get, label)


def with_retries(call: Callable[[], _Result], label: str) -> _Result:
    """Call, and again after a passing failure, a bounded number of times; waits are reported.

    Raises
    ------
    ModelError
        If the last attempt fails, or another one cannot help.
    """
    from huggingface_hub.utils import get_session

    wait = _FIRST_WAIT
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with watch.watched(get_session()):
                return call()
        except Exception as error:  # the client does not catch the errors of its transport
            pause = _pause(error, wait)
            if pause is None or attempt == _ATTEMPTS:
                raise _model_error(error, label) from error
            if pause >= _REPORTED_WAIT:
                reason = _reason(error)
                _log.warning("%s: waiting %.0f s for the hub (%s; %d of %d)…", label, pause, reason, attempt, _ATTEMPTS)
            time.sleep(pause)
            wait *= 2
    raise AssertionError


def _reason(error: BaseException) -> str:
    return first_line(error.__cause__ or error)


def _pause(error: BaseException, wait: float) -> float | None:
    """Seconds before the next attempt, None if another attempt cannot help."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled) or offline():
        return None
    if isinstance(error, watch.BusyError):
        return _bounded(error.retry_after, wait)
    if isinstance(error, HfHubHTTPError):
        if error.response.status_code < 500:
            return None
        return _bounded(error.response.headers.get("Retry-After", ""), wait)
    if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        return _pause(error.__cause__, wait)
    if isinstance(error, PermissionError) or getattr(error, "errno", None) == errno.ENOSPC:
        return None
    # A body that was cut short is no JSON (ValueError), or is shorter than its stated size (OSError).
    is_passing = isinstance(error, OSError | ValueError) or type(error).__module__.startswith("httpx")
    return wait if is_passing else None


def _bounded(retry_after: str, wait: float) -> float:
    """The seconds that the hub asks to wait, up to the longest wait; `wait` if it names none."""
    return min(float(retry_after), _LONGEST_WAIT) if retry_after.isdecimal() else wait


def _model_error(error: BaseException, label: str) -> ModelError:
    """The error with a message that says what to do."""
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return ModelError(f"{label} is gated: accept its terms on {constants.ENDPOINT} and run `hf auth login`")
    if isinstance(error, RepositoryNotFoundError):
        return ModelError(f"{label} is not on the hub, or private; check the name (`actstore models` lists short names)")
    if isinstance(error, HfHubHTTPError) and error.response.status_code == 404:
        return MissingRevisionError(f"{label} is not on the hub")
    if isinstance(error, HfHubHTTPError | watch.BusyError):
        status = error.status if isinstance(error, watch.BusyError) else error.response.status_code
        return ModelError(f"{label}: the hub keeps answering {status}; try again later")
    if isinstance(error.__cause__, HfHubHTTPError | watch.BusyError):
        return _model_error(error.__cause__, label)
    mend = "" if os.environ.get("HF_HUB_OFFLINE") else "; check the network, or set HF_HUB_OFFLINE=1 to use the cache alone"
    return ModelError(f"cannot get {label} from {constants.ENDPOINT}: {_reason(error)}{mend}")
