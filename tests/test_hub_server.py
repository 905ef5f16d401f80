"""The hub stand-in, driven by the real client."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile, RepoFolder

from tests.hub_server import HubServer

WEIGHTS = bytes(range(256)) * 40
FIRST = {"config.json": b'{"step": 0}', "model.safetensors": WEIGHTS, "extra/notes.txt": b"first"}
SECOND = FIRST | {"config.json": b'{"step": 1}', "model.safetensors": WEIGHTS[::-1]}
REPO = "org/model"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with HubServer() as server:
        server.add(REPO, "step0", FIRST)
        server.add(REPO, "step1", SECOND)
        yield server


def fetch(
    hub: HubServer, folder: Path, revision: str = "step0", repo: str = REPO, token: str | bool = False
) -> dict[str, bytes]:
    snapshot = Path(snapshot_download(repo, revision=revision, cache_dir=folder, endpoint=hub.url, token=token))
    return {path.relative_to(snapshot).as_posix(): path.read_bytes() for path in snapshot.rglob("*") if path.is_file()}


def test_download_of_two_revisions(hub, tmp_path):
    assert fetch(hub, tmp_path, "step0") == FIRST
    assert fetch(hub, tmp_path, "step1") == SECOND
    notes = [method for method, path in hub.requests if path.endswith("notes.txt")]
    assert notes == ["HEAD", "GET", "HEAD"]  # the same file in both: fetched once
    assert fetch(hub, tmp_path, "main") == SECOND


def test_refs_follow_what_is_added(hub):
    api = HfApi(endpoint=hub.url)
    replaced = hub.add(REPO, "step0", SECOND)
    main_commit = hub.add(REPO, "main", FIRST)
    branches = {ref.name: ref.target_commit for ref in api.list_repo_refs(REPO).branches}
    assert set(branches) == {"step0", "step1", "main"}
    assert (branches["step0"], branches["main"]) == (replaced, main_commit)
    assert api.model_info(REPO, revision="step0").sha == replaced
    assert api.model_info(REPO).sha == main_commit


def test_tree_has_the_digests(hub):
    api = HfApi(endpoint=hub.url)
    files = {f.path: f for f in api.list_repo_tree(REPO, revision="step0", recursive=True) if isinstance(f, RepoFile)}
    assert set(files) == set(FIRST)
    weights, config = files["model.safetensors"], files["config.json"]
    assert weights.lfs is not None
    assert (weights.lfs.sha256, weights.size) == (hashlib.sha256(WEIGHTS).hexdigest(), len(WEIGHTS))
    assert config.lfs is None
    assert config.blob_id == hashlib.sha1(b"blob 11\0" + FIRST["config.json"]).hexdigest()
    top = list(api.list_repo_tree(REPO, revision="step0"))
    assert [f.path for f in top if isinstance(f, RepoFolder)] == ["extra"]
    assert {f.path for f in top if isinstance(f, RepoFile)} == {"config.json", "model.safetensors"}


def test_tree_of_a_folder(hub):
    api = HfApi(endpoint=hub.url)
    assert [f.path for f in api.list_repo_tree(REPO, "extra", revision="step0")] == ["extra/notes.txt"]
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree(REPO, "data", revision="step0"))


def test_data_set(hub, tmp_path):
    (tmp_path / "source" / "data").mkdir(parents=True)
    (tmp_path / "source" / "data" / "train.parquet").write_bytes(WEIGHTS)
    hub.add("org/text", "main", tmp_path / "source", kind="datasets")
    path = hf_hub_download(
        "org/text", "data/train.parquet", repo_type="dataset", cache_dir=tmp_path / "cache", endpoint=hub.url
    )
    assert Path(path).read_bytes() == WEIGHTS
    assert HfApi(endpoint=hub.url).dataset_info("org/text").id == "org/text"


def test_resumes_what_was_dropped(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)  # the client forgets a chunk that is not full
    ranges, reply = [], hub.reply

    def spy(path, query, headers):
        ranges.extend(headers.get_all("Range", []))
        return reply(path, query, headers)

    monkeypatch.setattr(hub, "reply", spy)
    hub.fail(r"model\.safetensors$", "dropped")
    assert fetch(hub, tmp_path) == FIRST
    assert ranges == [f"bytes={len(WEIGHTS) // 2}-"]


def test_answers_a_range(hub):
    url = f"{hub.url}/{REPO}/resolve/main/model.safetensors"
    with urlopen(Request(url, headers={"Range": "bytes=10-19"})) as answer:
        assert (answer.status, answer.headers["Content-Range"]) == (206, f"bytes 10-19/{len(WEIGHTS)}")
        assert answer.read() == SECOND["model.safetensors"][10:20]


def test_retries_a_file_after_429(hub, tmp_path):
    hub.fail(r"model\.safetensors$", "429")
    assert fetch(hub, tmp_path) == FIRST


def test_slow_is_whole(hub, tmp_path):
    hub.fail(r"model\.safetensors$", "slow", delay=0.01)
    assert fetch(hub, tmp_path) == FIRST


def test_truncated_is_noticed(hub, tmp_path):
    hub.fail(r"model\.safetensors$", "truncated", times=None)
    with pytest.raises(OSError, match="Consistency check failed"):
        fetch(hub, tmp_path)
    assert not list(tmp_path.rglob("model.safetensors"))


def test_flipped_is_one_bit_of_the_same_length(hub, tmp_path):
    hub.fail(r"model\.safetensors$", "flipped")
    content = fetch(hub, tmp_path)["model.safetensors"]
    assert len(content) == len(WEIGHTS)
    assert sum((a ^ b).bit_count() for a, b in zip(content, WEIGHTS, strict=True)) == 1


def test_missing_and_gated(hub, tmp_path):
    with pytest.raises(RevisionNotFoundError):
        fetch(hub, tmp_path, "step2")
    with pytest.raises(RepositoryNotFoundError):
        fetch(hub, tmp_path, repo="org/none")
    hub.add("org/gated", "main", FIRST, gated=True)
    for token in (False, "hf_nobody"):
        with pytest.raises(GatedRepoError):
            fetch(hub, tmp_path, "main", repo="org/gated", token=token)


def test_fault_is_used_as_often_as_told(hub):
    api = HfApi(endpoint=hub.url)
    hub.fail("/refs$", "503", times=2)
    for _ in range(2):
        with pytest.raises(HfHubHTTPError) as raised:
            api.list_repo_refs(REPO)
        assert raised.value.response.status_code == 503
    assert len(api.list_repo_refs(REPO).branches) == 3


def test_waits_for_no_client():
    """The block ends while one client says nothing and another is being answered slowly."""
    with HubServer() as hub:
        hub.add(REPO, "main", FIRST)
        hub.fail("/refs$", "slow", delay=60)
        address = ("127.0.0.1", int(hub.url.rpartition(":")[2]))
        silent, slow = socket.create_connection(address), socket.create_connection(address)
        slow.sendall(f"GET /api/models/{REPO}/refs HTTP/1.1\r\n\r\n".encode())
        assert slow.recv(12) == b"HTTP/1.1 200"
    silent.close()
    slow.close()
    assert not [thread.name for thread in threading.enumerate() if "hub" in thread.name or "request" in thread.name]
