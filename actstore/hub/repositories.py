"""The Hugging Face hub: which revisions a repository has, what they hold, and getting the files.

Owns every network call. Waits and retries are bounded, a revision is pinned to its commit before
anything is computed, every file is compared with the hub's digest, and what cannot be had is named.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from actstore.errors import ModelError, first_line
from actstore.hub import watch
from actstore.hub.digests import drop, is_sound

_log = logging.getLogger("actstore")
_ATTEMPTS = 5
"""Times that anything is asked for before it is given up."""
_FETCHES = 3
_FIRST_WAIT = 1.0
"""Seconds before the second attempt; each later wait is twice as long, unless the hub names another."""
_LONGEST_WAIT = 300.0
"""Seconds that are waited at most, whatever the hub asks: so 20 minutes in all."""
_TOLD_WAIT = 1.0
"""Seconds from which on a wait is told."""
_TIMEOUT = 30.0
"""Seconds without an answer; of a body that drips see `hub_watch`."""
_STEP = re.compile(r"(?:stage1-)?step-?(\d+)(?:-tokens\d+[BMT])?")
_SMALL = ("config.json", "generation_config.json")
_TOKENIZER = re.compile(r"(tokenizer.*|vocab\.json|merges\.txt|special_tokens_map\.json|added_tokens\.json|spiece\.model)")
_WEIGHTS = (
    re.compile(r"model(-\d+-of-\d+)?\.safetensors(\.index\.json)?"),
    re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin(\.index\.json)?"),
)
_Result = TypeVar("_Result")


class MissingRevisionError(ModelError):
    """A revision that the hub does not have, or that holds no weights."""


@dataclass(frozen=True)
class HubCheckpoint:
    """One revision of a hub repository; `weights` are its weight files with their digests."""

    repo: str
    revision: str
    commit: str = ""
    weights: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """Repository and revision."""
        return f"{self.repo} at {self.revision}"

    @property
    def digest(self) -> str:
        """What the hub says of the weights, equal for equal files; empty before `inspected`."""
        return " ".join(digest for _, digest in self.weights)

    @property
    def identity(self) -> str:
        """The commit; empty before it is pinned."""
        return self.commit

    def inspected(self) -> HubCheckpoint:
        """With its weight files, from the hub's metadata; pins the commit.

        Raises
        ------
        MissingRevisionError
            If the revision does not exist or has no weights.
        """
        if offline():
            return self
        files = dict(self._files())
        for pattern in _WEIGHTS:
            weights = tuple(sorted((name, digest) for name, digest in files.items() if pattern.fullmatch(name)))
            if weights:
                return replace(self, weights=weights)
        raise MissingRevisionError(f"{self.label} has neither safetensors nor .bin weights")

    def config_folder(self) -> Path:
        """A folder with the configuration, without the weights."""
        return self._cached(()) if offline() else self._download(_SMALL)

    def fetch(self) -> Path:
        """A folder with configuration and weights."""
        if offline():
            return self._cached(_WEIGHTS)
        whole = self if self.weights else self.inspected()
        return whole._download([*_SMALL, *(name for name, _ in whole.weights)])

    def tokenizer_folder(self) -> Path:
        """A folder with configuration and tokenizer."""
        if offline():
            return self._cached((_TOKENIZER,))
        names = [name for name, _ in self._files() if _TOKENIZER.fullmatch(name)]
        return self._download([*_SMALL, *names])

    def _files(self) -> tuple[tuple[str, str], ...]:
        return _tree(self.repo, self.commit or self.revision, self.label)

    def discard(self) -> None:
        """Free the revision's files in the cache, except what other revisions share."""
        from huggingface_hub import constants, scan_cache_dir

        scan_cache_dir(constants.HF_HUB_CACHE).delete_revisions(self.commit).execute()

    def _download(self, names: Sequence[str]) -> Path:
        """The snapshot with these files, as far as the revision has them."""
        known = dict(self.weights)

        def compared(folder: Path) -> dict[Path, str]:
            return {folder / name: known.get(name, "") for name in names if (folder / name).exists()}

        folder = _sound(lambda: self._snapshot(names), compared, self.label)
        # With the hub gone in mid-way the client hands out what it has.
        missing = [name for name in known if name in names and not (folder / name).exists()]
        if missing:
            raise ModelError(f"cannot get {missing[0]} of {self.label}; check the network and run the same command again")
        return folder

    def _cached(self, patterns: Sequence[re.Pattern[str]]) -> Path:
        """The snapshot in the cache, which need not be the whole revision; its configuration and files of these names are compared."""

        def compared(folder: Path) -> dict[Path, str]:
            files = [path for path in folder.iterdir() if path.name in _SMALL or any(p.fullmatch(path.name) for p in patterns)]
            return dict.fromkeys(files, "")

        return _sound(lambda: self._snapshot(_SMALL[:1]), compared, self.label)

    def _snapshot(self, names: Sequence[str]) -> Path:
        from huggingface_hub import snapshot_download
        from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

        disable_progress_bars()
        try:
            folder = Path(_patiently(
                lambda: snapshot_download(
                    self.repo, revision=self.revision, allow_patterns=list(names), local_files_only=offline()
                ),
                self.label,
            ))  # fmt: skip
        finally:
            enable_progress_bars()
        if self.commit and folder.name != self.commit:
            raise ModelError(f"{self.label} changed on the hub during the run; start again")
        return folder


def offline() -> bool:
    """Whether the user asked for the cache alone (HF_HUB_OFFLINE=1)."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def revisions(repo: str) -> tuple[dict[int, HubCheckpoint], HubCheckpoint]:
    """The training checkpoints of a repository by step, ascending, and its `main`.

    Raises
    ------
    ModelError
        If the repository does not exist, is gated, or the hub cannot be reached.
    """
    if offline():
        commits = _cached_refs(repo)
    else:
        refs = _ask(f"{repo}/refs", repo)
        commits = {ref["name"]: ref["targetCommit"] for kind in ("tags", "branches") for ref in refs[kind]}
    steps = {int(m[1]): HubCheckpoint(repo, name, commits[name]) for name in commits if (m := _STEP.fullmatch(name))}
    return dict(sorted(steps.items())), HubCheckpoint(repo, "main", commits.get("main", ""))


def inspect(checkpoints: dict[int, HubCheckpoint]) -> dict[int, HubCheckpoint | MissingRevisionError]:
    """Every checkpoint with its weight files, or why it cannot be had; several requests at a time."""

    def one(checkpoint: HubCheckpoint) -> HubCheckpoint | MissingRevisionError:
        try:
            return checkpoint.inspected()
        except MissingRevisionError as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        return dict(zip(checkpoints, pool.map(one, checkpoints.values()), strict=True))


def dataset_file(repo: str, name: str) -> Path:
    """A file of a data set, downloaded once into the hub's cache.

    Raises
    ------
    ModelError
        If it cannot be had, or its content is not the hub's.
    """
    from huggingface_hub import hf_hub_download

    def fetch() -> Path:
        return Path(hf_hub_download(repo, name, repo_type="dataset", local_files_only=offline()))

    label = f"data set {repo}"
    return _sound(lambda: _patiently(fetch, label), lambda path: {path: ""}, label)


def dataset_folder(repo: str, pattern: str) -> Path:
    """The folder of a data set's files that match a pattern, downloaded once into the hub's cache.

    Raises
    ------
    ModelError
        If they cannot be had, or their content is not the hub's.
    """
    from huggingface_hub import snapshot_download

    def fetch() -> Path:
        return Path(snapshot_download(repo, repo_type="dataset", allow_patterns=pattern, local_files_only=offline()))

    label = f"data set {repo}"
    return _sound(lambda: _patiently(fetch, label), lambda folder: dict.fromkeys(folder.rglob(pattern), ""), label)


def _sound(fetch: Callable[[], Path], compared: Callable[[Path], Mapping[Path, str]], label: str) -> Path:
    """What `fetch` puts into the cache, fetched again while the content of a file is not what its digest says.

    Parameters
    ----------
    fetch : callable
        Downloads what is not in the cache, and gives its path there.
    compared : callable
        Of that path: its files with the digests that the hub told, empty where the cache's own name of it has to do.
    label : str
        What messages call it.

    Raises
    ------
    ModelError
        If files are damaged every time, or without the hub.
    """
    for left in reversed(range(_FETCHES)):
        place = fetch()
        damaged = [path for path, digest in compared(place).items() if not is_sound(path, digest)]
        if not damaged:
            return place
        what = f"{damaged[0].name} of {label}"
        if offline():
            raise ModelError(f"{what} is damaged in the cache; unset HF_HUB_OFFLINE to fetch it again")
        for path in damaged:
            drop(path)
        if left:
            _log.warning("%s is damaged; fetching it again", what)
    raise ModelError(
        f"{what} came damaged {_FETCHES} times: its digest is not the hub's; check the network and try again later"
    )


def _cached_refs(repo: str) -> dict[str, str]:
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE, "models--" + repo.replace("/", "--"), "refs")
    commits = {path.name: path.read_text(errors="replace").strip() for path in folder.glob("*") if path.is_file()}
    if not commits:
        raise ModelError(f"{repo} is not in the cache and HF_HUB_OFFLINE is set; unset it, or name a local folder")
    return commits


@cache
def _tree(repo: str, revision: str, what: str) -> tuple[tuple[str, str], ...]:
    """Names of a revision's top-level files and a digest of each one's content."""
    files = _ask(f"{repo}/tree/{revision}", what)
    return tuple((f["path"], f.get("lfs", f)["oid"]) for f in files if f["type"] == "file")


def _ask(path: str, what: str) -> Any:
    """What the hub's API says of a model; with a time limit, which the client's own calls lack."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    def ask() -> Any:
        response = get_session().get(
            f"{constants.ENDPOINT}/api/models/{path}", headers=build_hf_headers(), timeout=_TIMEOUT, follow_redirects=True
        )
        hf_raise_for_status(response)
        return response.json()

    return _patiently(ask, what)


def _patiently(call: Callable[[], _Result], what: str) -> _Result:
    """Call, and again after a passing failure, a bounded number of times; waits are told."""
    from huggingface_hub.utils import get_session

    wait = _FIRST_WAIT
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with watch.watched(get_session()):
                return call()
        except Exception as error:  # the client lets its transport's own exceptions through
            pause = _pause(error, wait)
            if pause is None or attempt == _ATTEMPTS:
                raise _explained(error, what) from error
            if pause >= _TOLD_WAIT:
                _log.warning("%s: waiting %.0f s for the hub (%s; %d of %d)…", what, pause, _reason(error), attempt, _ATTEMPTS)
            time.sleep(pause)
            wait *= 2
    raise AssertionError


def _reason(error: BaseException) -> str:
    """The first line of what went wrong."""
    cause = error.__cause__ or error
    return first_line(cause)


def _pause(error: BaseException, wait: float) -> float | None:
    """Seconds before the next attempt, None if another one is of no use."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled) or offline():
        return None
    if isinstance(error, watch.BusyError):
        return _asked(error.told, wait)
    if isinstance(error, HfHubHTTPError):
        if error.response.status_code < 500:
            return None
        return _asked(error.response.headers.get("Retry-After", ""), wait)
    if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        return _pause(error.__cause__, wait)
    if isinstance(error, PermissionError) or getattr(error, "errno", None) == errno.ENOSPC:
        return None
    # A body cut short is no JSON (ValueError), or has another size than was promised (OSError).
    passing = isinstance(error, OSError | ValueError) or type(error).__module__.startswith("httpx")
    return wait if passing else None


def _asked(told: str, wait: float) -> float:
    """The seconds that the hub asks to wait, within bounds, or else `wait`."""
    return min(float(told), _LONGEST_WAIT) if told.isdecimal() else wait


def _explained(error: BaseException, what: str) -> ModelError:
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return ModelError(f"{what} is gated: accept its terms on {constants.ENDPOINT} and run `hf auth login`")
    if isinstance(error, RepositoryNotFoundError):
        return ModelError(f"{what} is not on the hub, or private; check the name (`actstore models` lists short names)")
    if isinstance(error, HfHubHTTPError) and error.response.status_code == 404:
        return MissingRevisionError(f"{what} is not on the hub")
    if isinstance(error, HfHubHTTPError | watch.BusyError):
        status = error.status if isinstance(error, watch.BusyError) else error.response.status_code
        return ModelError(f"{what}: the hub keeps answering {status}; try again later")
    if isinstance(error.__cause__, HfHubHTTPError | watch.BusyError):
        return _explained(error.__cause__, what)
    cache_only = (
        "" if os.environ.get("HF_HUB_OFFLINE") else "; check the network, or set HF_HUB_OFFLINE=1 to use the cache alone"
    )
    return ModelError(f"cannot get {what} from {constants.ENDPOINT}: {_reason(error)}{cache_only}")
