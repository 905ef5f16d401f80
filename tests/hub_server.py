"""A Hugging Face hub on 127.0.0.1 that the real client can be pointed at, with faults to order."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import struct
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

_API = re.compile(r"/api/(models|datasets)/([^/]+?(?:/[^/]+?)??)(?:/(refs)|/(revision|tree)/([^/]+)(?:/(.+))?)?")
_RESOLVE = re.compile(r"/(?:(datasets)/)?([^/]+(?:/[^/]+)?)/resolve/([^/]+)/(.+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_LFS = (".safetensors", ".bin", ".parquet")
_STATUSES = ("404", "429", "500", "503")
_RESET = struct.pack("ii", 1, 0)


class HubServer:
    """A hub in a thread; nothing of it is left running after the `with` block.

    Attributes
    ----------
    url : str
        The endpoint, for `HF_ENDPOINT` or `HfApi(endpoint=...)`; known inside the `with` block.
    requests : list[tuple[str, str]]
        Method and path (unquoted, without the query) of every request, in order of arrival.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, str]] = []
        self.closing = threading.Event()
        self._repos: dict[tuple[str, str], _Repo] = {}
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()

    def __enter__(self) -> HubServer:
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="hub")
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def add(
        self, repo: str, revision: str, folder: Path | Mapping[str, bytes], *, kind: str = "models", gated: bool = False
    ) -> str:
        """Register a revision's files, or put new ones in their place; returns the commit.

        Without a revision `main` of its own, a repository's `main` is the revision added last. As on the
        hub, a gated repository can be listed, and its files are what is refused.
        """
        if isinstance(folder, Path):
            folder = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        files = {name: _file(name, folder[name]) for name in sorted(folder)}
        described = json.dumps([kind, repo, revision, {name: file.oid for name, file in files.items()}])
        commit = hashlib.sha1(described.encode()).hexdigest()
        with self._lock:
            entry = self._repos.setdefault((kind, repo), _Repo())
            entry.gated |= gated
            entry.named.pop(revision, None)
            entry.named[revision] = commit
            entry.commits[commit] = files
        return commit

    def fail(self, pattern: str, fault: str, times: int | None = 1, **options: Any) -> None:
        """Let requests fail whose path (as in `requests`) the pattern is found in; the oldest fault that fits is used.

        Parameters
        ----------
        fault : str
            `slow`: `delay` (0.05) seconds before each eighth of the body (HEAD: before the answer).
            `dropped`: half of the body (HEAD: no answer), then the connection's end, or its reset with `reset=True`.
            `truncated`: half of the body, with a Content-Length that fits.
            `flipped`: the whole body with its middle bit turned.
            `404`, `429`, `500`, `503`: that status without an X-Error-Code; `retry_after` is sent (429: 0 or that).
        times : int | None
            How many requests fail; None means all.
        **options
            Those above, and `method` (GET).
        """
        if fault not in ("slow", "dropped", "truncated", "flipped", *_STATUSES):
            raise ValueError(f"unknown fault {fault!r}")
        with self._lock:
            self._faults.append(_Fault(pattern, fault, times, **options))

    def received(self, method: str, path: str) -> _Fault:
        """Log a request; the fault that it meets (without a kind: none) is thereby used once."""
        with self._lock:
            self.requests.append((method, path))
            for fault in self._faults:
                if fault.method == method and fault.times != 0 and re.search(fault.pattern, path):
                    fault.times = fault.times and fault.times - 1
                    return fault
        return _Fault()

    def reply(self, path: str, query: str, headers: Message) -> _Reply:
        """What a hub without faults answers; the path is still quoted."""
        if match := _API.fullmatch(path):
            kind, name, refs, part, revision, wanted = match.groups()
        elif match := _RESOLVE.fullmatch(path):
            (kind, name, revision, wanted), refs, part = match.groups(), None, "file"
        else:
            return _refusal(404, "", "no such page")
        with self._lock:
            repo = self._repos.get((kind or "models", name))
            if repo is None:
                return _refusal(404, "RepoNotFound", "Repository not found")
            names = {"main": [*repo.named.values()][-1], **repo.named}
            if refs:
                branches = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": c} for n, c in names.items()]
                return _json({"branches": branches, "tags": [], "converts": [], "pullRequests": []})
            revision = unquote(revision or "main")
            commit = names.get(revision, revision)
            files = repo.commits.get(commit)
        if files is None:
            return _refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if part == "tree":
            return _listing(files, unquote(wanted or ""), commit, recursive="recursive=true" in query)
        if part != "file":
            gated, siblings = "auto" if repo.gated else False, [{"rfilename": path} for path in files]
            return _json({"id": name, "sha": commit, "private": False, "gated": gated, "siblings": siblings})
        if repo.gated:
            return _refusal(403 if headers.get("Authorization") else 401, "GatedRepo", "Access is restricted")
        return _content(files.get(unquote(wanted)), commit, headers)


class _File(NamedTuple):
    data: bytes
    oid: str
    lfs: dict[str, Any]


class _Reply(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]


@dataclass
class _Repo:
    gated: bool = False
    named: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, _File]] = field(default_factory=dict)


@dataclass
class _Fault:
    pattern: str = ""
    kind: str = ""
    times: int | None = None
    method: str = "GET"
    delay: float = 0.05
    retry_after: int | None = None
    reset: bool = False


def _file(name: str, data: bytes) -> _File:
    stored: bytes = data
    lfs: dict[str, Any] = {}
    if name.endswith(_LFS):  # git keeps a text in the place of a large file
        sha256 = hashlib.sha256(data).hexdigest()
        stored = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(data)}\n".encode()
        lfs = {"lfs": {"oid": sha256, "size": len(data), "pointerSize": len(stored)}}
    return _File(data, hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest(), lfs)


def _json(value: object, status: int = 200, **headers: str) -> _Reply:
    return _Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


def _refusal(status: int, code: str, message: str, **headers: str) -> _Reply:
    return _json({"error": message}, status, **({"X-Error-Code": code} if code else {}), **headers)


def _listing(files: dict[str, _File], folder: str, commit: str, *, recursive: bool) -> _Reply:
    """A folder's entries; a folder that is not there is an error of its own to the client."""
    entries = _tree(files, folder, recursive=recursive)
    if folder and not entries:
        return _refusal(404, "EntryNotFound", f"{folder} does not exist", **{"X-Repo-Commit": commit})
    return _json(entries)


def _tree(files: dict[str, _File], folder: str, *, recursive: bool) -> list[dict[str, Any]]:
    """The entries below a folder (empty: the whole revision)."""
    below = f"{folder}/" if folder else ""
    folders = sorted({str(parent) for path in files for parent in PurePosixPath(path).parents[:-1]})
    entries: list[dict[str, Any]] = [
        {"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest()} for path in folders
    ]
    entries += [{"type": "file", "path": path, "oid": f.oid, "size": len(f.data), **f.lfs} for path, f in files.items()]
    entries = [entry for entry in entries if entry["path"].startswith(below)]
    return [entry for entry in entries if recursive or "/" not in entry["path"].removeprefix(below)]


def _content(file: _File | None, commit: str, asked: Message) -> _Reply:
    headers = {"X-Repo-Commit": commit}
    if file is None:
        return _refusal(404, "EntryNotFound", "Entry not found", **headers)
    headers |= {"ETag": f'"{file.oid}"', "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    size = len(file.data)
    for lfs in file.lfs.values():
        headers |= {"ETag": f'"{lfs["oid"]}"', "X-Linked-ETag": f'"{lfs["oid"]}"', "X-Linked-Size": f"{size}"}
    part = _RANGE.fullmatch(asked.get("Range", ""))
    if not part or int(part[1]) >= size:
        return _Reply(200, file.data, headers)
    first, last = int(part[1]), min(int(part[2] or size), size - 1)
    return _Reply(206, file.data[first : last + 1], headers | {"Content-Range": f"bytes {first}-{last}/{size}"})


def _with_fault(reply: _Reply, fault: _Fault) -> _Reply:
    """The reply where a fault changes its status or body; as it is otherwise."""
    half = reply.body[: len(reply.body) // 2]
    if fault.kind in _STATUSES:
        wait = 0 if fault.kind == "429" and fault.retry_after is None else fault.retry_after
        retry = {} if wait is None else {"Retry-After": str(wait)}
        return _refusal(int(fault.kind), "", "a fault made to order", **retry)
    if fault.kind == "truncated":
        return reply._replace(body=half)
    if fault.kind == "flipped":
        return reply._replace(body=half + bytes([reply.body[len(half)] ^ 1]) + reply.body[len(half) + 1 :])
    return reply


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close() joins the others only
    request_queue_size = 64

    def __init__(self, hub: HubServer) -> None:
        self.hub = hub
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_RESET)) == _RESET:
            self.close_request(request)  # an orderly end would hide the reset
        else:
            super().shutdown_request(request)

    def server_close(self) -> None:
        for connection in list(self.connections):  # a client that says nothing would be waited for
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # those are clients that broke off
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        url, hub, is_head = urlsplit(self.path), self.server.hub, self.command == "HEAD"
        fault = hub.received(self.command, unquote(url.path))
        status, body, headers = _with_fault(hub.reply(url.path, url.query, self.headers), fault)
        if is_head and fault.kind == "dropped":
            self.close_connection = True
            return
        if is_head and fault.kind == "slow":
            hub.closing.wait(fault.delay)
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body)), "Connection": "close"}).items():
            self.send_header(name, value)
        self.end_headers()
        if not is_head:
            self._send_body(body, fault)

    def _send_body(self, body: bytes, fault: _Fault) -> None:
        if fault.kind == "dropped":
            body = body[: len(body) // 2]
            if fault.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        size = max(1, -(-len(body) // (8 if fault.kind == "slow" else 1)))
        for start in range(0, len(body), size):
            if fault.kind == "slow":
                self.server.hub.closing.wait(fault.delay)
            self.wfile.write(body[start : start + size])

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass
