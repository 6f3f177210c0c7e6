"""A model hub on this machine: the part of the hub's API that fetching uses, with faults to order.

Files under LFS are redirected to another host name, as the real hub sends them to its storage.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40


@dataclass
class Repository:
    """What the hub has under one id.

    Attributes:
        files: name -> content.
        commit: of the default branch.
        revisions: other names -> (commit, files).
        gated: whether only a login with TOKEN gets files.
        proposals: pull requests of the hub's safetensors converter.
    """

    files: Mapping[str, bytes]
    commit: str = COMMIT
    revisions: Mapping[str, tuple[str, Mapping[str, bytes]]] = field(default_factory=dict)
    gated: bool = False
    proposals: tuple[int, ...] = ()

    def at(self, revision: str) -> tuple[str, Mapping[str, bytes]] | None:
        """The commit and the files a revision stands for."""
        known = {"main": (self.commit, self.files), self.commit: (self.commit, self.files), **self.revisions}
        return (known | {commit: (commit, files) for commit, files in self.revisions.values()}).get(revision)


class FakeHub:
    """The server, its content and its faults.

    Attributes:
        repositories: hub id -> content.
        requests: (method, path, headers) of every request, in order.
        cut_after: name of a file -> numbers of bytes after which its next downloads break off.
        error: status that answers every request, 0 for none.
        login_page: whether every request is answered with HTML, as hotel networks do.
        waits: seconds that the client would have waited before it tried again.
        token: that opens what is gated.
    """

    token = "hf_opensesame"

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[tuple[str, str, Mapping[str, str]]] = []
        self.cut_after: dict[str, list[int]] = {}
        self.error = 0
        self.login_page = False
        self.waits: list[float] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *arguments: _Handler(self, *arguments))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def paths(self, method: str) -> list[str]:
        """What was asked for with GET or HEAD."""
        return [path for asked, path, _ in self.requests if asked == method]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def blob_of(name: str, content: bytes) -> str:
    """Its name in the hub's storage: sha256 under LFS, git's sha1 otherwise."""
    if is_lfs(name):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_lfs(name: str) -> bool:
    return name.endswith((".safetensors", ".bin", ".model", ".pth", ".h5"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: FakeHub, *arguments) -> None:
        self.hub = hub
        super().__init__(*arguments)

    def log_message(self, *_: object) -> None:
        """Nothing: tests read stderr."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        headers = {name.title(): value for name, value in self.headers.items()}
        self.hub.requests.append((self.command, path, headers))
        if self.hub.error:
            return self._send(self.hub.error, b"out of order")
        if self.hub.login_page:
            return self._send(200, b"<html>Welcome! Accept our terms</html>")
        if path.startswith("/api/models/"):
            return self._api(path.removeprefix("/api/models/"))
        if path.startswith("/storage/"):
            return self._storage(*path.removeprefix("/storage/").split("/", 1))
        weights, _, rest = path.strip("/").partition("/resolve/")
        repository = self.hub.repositories.get(weights)
        revision = next((r for r in (rest.split("/")[0], "/".join(rest.split("/")[:3]))
                         if repository and repository.at(r)), None)  # fmt: skip
        if revision is None:
            return self._refuse(404, "RepoNotFound")
        if repository.gated and not self._logged_in():
            return self._refuse(403, "GatedRepo")
        commit, files = repository.at(revision)
        name = rest.removeprefix(f"{revision}/")
        if name not in files:
            return self._refuse(404, "EntryNotFound")
        headers = {"X-Repo-Commit": commit, "ETag": f'"{blob_of(name, files[name])}"'}
        if not is_lfs(name):
            return self._file(name, files[name], headers)
        linked = {"X-Linked-Etag": headers.pop("ETag"), "X-Linked-Size": str(len(files[name]))}
        location = f"http://localhost:{self.hub.server.server_port}/storage/{blob_of(name, files[name])}/{name}"
        return self._send(302, b"", {**headers, **linked, "Location": location})

    def _api(self, path: str) -> None:
        weights, tree, revision = path.partition("/tree/")
        if not tree:
            weights, _, revision = path.partition("/revision/")
        repository = self.hub.repositories.get(weights.removesuffix("/discussions"))
        if repository is None:
            return self._refuse(401, "RepoNotFound")
        if path.endswith("/discussions"):
            return self._json(_proposals(repository))
        known = repository.at(revision or "main")
        if known is None:
            return self._refuse(404, "RevisionNotFound")
        commit, files = known
        if tree:
            return self._json([_tree_entry(name, content) for name, content in files.items()])
        siblings = [_sibling(name, content) for name, content in files.items()]
        return self._json({"id": weights, "sha": commit, "gated": "manual" if repository.gated else False,
                           "siblings": siblings})  # fmt: skip

    def _storage(self, blob: str, name: str) -> None:
        for repository in self.hub.repositories.values():
            for _, files in [("", repository.files), *repository.revisions.values()]:
                if name in files and blob_of(name, files[name]) == blob:
                    return self._file(name, files[name], {})
        return self._refuse(404, "EntryNotFound")

    def _file(self, name: str, content: bytes, headers: Mapping[str, str]) -> None:
        asked = self.headers.get("Range", "")
        start = 0 if not asked else int(asked.removeprefix("bytes=").rstrip("-"))
        status, extra = 200, {}
        if start:
            status, extra = 206, {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        cuts = self.hub.cut_after.get(name, [])
        limit = cuts.pop(0) if cuts and self.command == "GET" else None
        self._send(status, content[start:], {**headers, **extra}, limit)

    def _logged_in(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {self.hub.token}"

    def _json(self, content: object) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"{}", {"X-Error-Code": code})

    def _send(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None, limit: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body if limit is None else body[:limit])
        if limit is not None:
            self.close_connection = True


def _sibling(name: str, content: bytes) -> dict[str, object]:
    lfs = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "pointerSize": 134}
    sibling = {"rfilename": name, "size": len(content), "blobId": blob_of(name, content)}
    return sibling | {"lfs": lfs} if is_lfs(name) else sibling


def _tree_entry(name: str, content: bytes) -> dict[str, object]:
    entry = {"type": "file", "path": name, "size": len(content), "oid": blob_of(name, content)}
    lfs = {"size": len(content), "oid": hashlib.sha256(content).hexdigest(), "pointerSize": 134}
    return entry | {"lfs": lfs} if is_lfs(name) else entry


def _proposals(repository: Repository) -> dict[str, object]:
    proposals = [
        {"num": number, "title": "Adding `safetensors` variant of this model", "status": "open", "isPullRequest": True,
         "createdAt": "2024-01-01T00:00:00.000Z", "author": {"name": "SFconvertbot"},
         "repo": {"name": "x", "type": "model"}}
        for number in repository.proposals
    ]  # fmt: skip
    return {"discussions": proposals, "count": len(proposals), "start": 0}


@contextmanager
def serving(monkeypatch, folder: Path) -> Iterator[FakeHub]:
    """A hub that huggingface_hub in this process talks to, its cache in a folder, nobody logged in, no waiting.

    Args:
        monkeypatch: pytest's.
        folder: for the cache.
    """
    from huggingface_hub import close_session, constants

    hub = FakeHub()
    patches = {
        "ENDPOINT": hub.endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(folder / "cache"),
        "HF_TOKEN_PATH": str(folder / "token"),
        "HF_HUB_OFFLINE": False,
    }
    for name, value in patches.items():
        monkeypatch.setattr(constants, name, value)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_ETAG_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", hub.waits.append)
    close_session()
    try:
        yield hub
    finally:
        close_session()
        hub.close()


def files_in(folder: Path) -> dict[str, bytes]:
    """A folder's files, as a repository has them."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def checkpoint(parameters: int = 1000, **more: bytes) -> dict[str, bytes]:
    """The least a repository with safetensors has; no loader would take it."""
    import torch
    from safetensors.torch import save

    weights = save({"w": torch.arange(parameters, dtype=torch.float32)})
    return {
        "config.json": b'{"model_type": "x"}',
        "preprocessor_config.json": b"{}",
        "model.safetensors": weights,
        **more,
    }
