"""Repositories of the Hugging Face hub: their revisions, the files of these, and downloads.

Owns the client's download functions. A revision is pinned to its commit before anything is computed,
and every file is compared with the hub's digest. `calls.py` makes the network calls and bounds them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from actstore.errors import ModelError
from actstore.hub.calls import MissingRevisionError, api, offline, with_retries
from actstore.hub.digests import drop, is_sound

_log = logging.getLogger("actstore")
_FETCHES = 3
"""Downloads of a file that comes damaged, before it is given up."""
_STEP = re.compile(r"(?:stage1-)?step-?(\d+)(?:-tokens\d+[BMT])?")
_SMALL = ("config.json", "generation_config.json")
_TOKENIZER = re.compile(r"(tokenizer.*|vocab\.json|merges\.txt|special_tokens_map\.json|added_tokens\.json|spiece\.model)")
_WEIGHTS = (
    re.compile(r"model(-\d+-of-\d+)?\.safetensors(\.index\.json)?"),
    re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin(\.index\.json)?"),
)


@dataclass(frozen=True)
class HubCheckpoint:
    """A revision of a hub repository; `weights` are its weight files with their digests."""

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
        """Digests of the weight files, as the hub states them; empty before `inspected`."""
        return " ".join(digest for _, digest in self.weights)

    @property
    def identity(self) -> str:
        """The commit; empty if it is not pinned."""
        return self.commit

    def inspected(self) -> HubCheckpoint:
        """The checkpoint with its weight files, from the hub's metadata.

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
        checkpoint = self if self.weights else self.inspected()
        return checkpoint._download([*_SMALL, *(name for name, _ in checkpoint.weights)])

    def tokenizer_folder(self) -> Path:
        """A folder with configuration and tokenizer."""
        if offline():
            return self._cached((_TOKENIZER,))
        names = [name for name, _ in self._files() if _TOKENIZER.fullmatch(name)]
        return self._download([*_SMALL, *names])

    def _files(self) -> tuple[tuple[str, str], ...]:
        return _tree(self.repo, self.commit or self.revision, self.label)

    def discard(self) -> None:
        """Remove the revision's files from the cache, except those that other revisions share."""
        from huggingface_hub import constants, scan_cache_dir

        scan_cache_dir(constants.HF_HUB_CACHE).delete_revisions(self.commit).execute()

    def _download(self, names: Sequence[str]) -> Path:
        """A snapshot with those of these files that the revision has."""
        digests = dict(self.weights)

        def digests_in(folder: Path) -> dict[Path, str]:
            return {folder / name: digests.get(name, "") for name in names if (folder / name).exists()}

        folder = _undamaged(lambda: self._snapshot(names), digests_in, self.label)
        # If the hub becomes unreachable during a download, the client returns an incomplete snapshot.
        missing = [name for name in digests if name in names and not (folder / name).exists()]
        if missing:
            raise ModelError(f"cannot get {missing[0]} of {self.label}; check the network and run the same command again")
        return folder

    def _cached(self, patterns: Sequence[re.Pattern[str]]) -> Path:
        """The snapshot in the cache, which may lack files; its configuration and the files of these names are checked."""

        def digests_in(folder: Path) -> dict[Path, str]:
            files = [path for path in folder.iterdir() if path.name in _SMALL or any(p.fullmatch(path.name) for p in patterns)]
            return dict.fromkeys(files, "")

        return _undamaged(lambda: self._snapshot(_SMALL[:1]), digests_in, self.label)

    def _snapshot(self, names: Sequence[str]) -> Path:
        from huggingface_hub import snapshot_download
        from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

        def download() -> Path:
            options = {"revision": self.revision, "allow_patterns": list(names), "local_files_only": offline()}
            return Path(snapshot_download(self.repo, **options))

        disable_progress_bars()
        try:
            folder = with_retries(download, self.label)
        finally:
            enable_progress_bars()
        if self.commit and folder.name != self.commit:
            raise ModelError(f"{self.label} changed on the hub during the run; start again")
        return folder


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
        refs = api(f"{repo}/refs", repo)
        commits = {ref["name"]: ref["targetCommit"] for kind in ("tags", "branches") for ref in refs[kind]}
    steps = {int(m[1]): HubCheckpoint(repo, name, commits[name]) for name in commits if (m := _STEP.fullmatch(name))}
    return dict(sorted(steps.items())), HubCheckpoint(repo, "main", commits.get("main", ""))


def inspect(checkpoints: dict[int, HubCheckpoint]) -> dict[int, HubCheckpoint | MissingRevisionError]:
    """Every checkpoint with its weight files, or the error if it is missing; several requests at a time."""

    def inspected(checkpoint: HubCheckpoint) -> HubCheckpoint | MissingRevisionError:
        try:
            return checkpoint.inspected()
        except MissingRevisionError as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        return dict(zip(checkpoints, pool.map(inspected, checkpoints.values()), strict=True))


def dataset_file(repo: str, name: str) -> Path:
    """A file of a data set, downloaded once into the hub's cache.

    Raises
    ------
    ModelError
        If it cannot be downloaded, or its content is not the hub's.
    """
    from huggingface_hub import hf_hub_download

    def fetch() -> Path:
        return Path(hf_hub_download(repo, name, repo_type="dataset", local_files_only=offline()))

    label = f"data set {repo}"
    return _undamaged(lambda: with_retries(fetch, label), lambda path: {path: ""}, label)


def dataset_folder(repo: str, pattern: str) -> Path:
    """The folder of a data set's files that match a pattern, downloaded once into the hub's cache.

    Raises
    ------
    ModelError
        If they cannot be downloaded, or their content is not the hub's.
    """
    from huggingface_hub import snapshot_download

    def fetch() -> Path:
        return Path(snapshot_download(repo, repo_type="dataset", allow_patterns=pattern, local_files_only=offline()))

    label = f"data set {repo}"
    return _undamaged(lambda: with_retries(fetch, label), lambda folder: dict.fromkeys(folder.rglob(pattern), ""), label)


def _undamaged(fetch: Callable[[], Path], digests_in: Callable[[Path], Mapping[Path, str]], label: str) -> Path:
    """The path that `fetch` returns; damaged files are fetched again.

    Parameters
    ----------
    fetch : callable
        Downloads what is missing in the cache, and returns its path there.
    digests_in : callable
        Maps that path to its files and their digests, as the hub states them; an empty digest stands
        for the one in the file's name in the cache.
    label : str
        Name for messages.

    Raises
    ------
    ModelError
        If files are damaged every time, or are damaged and the hub may not be asked.
    """
    for n_left in reversed(range(_FETCHES)):
        path = fetch()
        damaged = [file for file, digest in digests_in(path).items() if not is_sound(file, digest)]
        if not damaged:
            return path
        name = f"{damaged[0].name} of {label}"
        if offline():
            raise ModelError(f"{name} is damaged in the cache; unset HF_HUB_OFFLINE to fetch it again")
        for file in damaged:
            drop(file)
        if n_left:
            _log.warning("%s is damaged; fetching it again", name)
    raise ModelError(
        f"{name} came damaged {_FETCHES} times: its digest is not the hub's; check the network and try again later"
    )


def _cached_refs(repo: str) -> dict[str, str]:
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE, "models--" + repo.replace("/", "--"), "refs")
    commits = {path.name: path.read_text(errors="replace").strip() for path in folder.glob("*") if path.is_file()}
    if not commits:
        raise ModelError(f"{repo} is not in the cache and HF_HUB_OFFLINE is set; unset it, or name a local folder")
    return commits


@cache
def _tree(repo: str, revision: str, label: str) -> tuple[tuple[str, str], ...]:
    """Names of a revision's top-level files, with a digest of each."""
    files = api(f"{repo}/tree/{revision}", label)
    return tuple((f["path"], f.get("lfs", f)["oid"]) for f in files if f["type"] == "file")
