"""A model hub on this machine: serves folders as models and data sets, with commits, tags and gates."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

Repositories = dict[tuple[str, str], "Repository"]
"""By kind ("models" or "datasets") and name."""


@dataclass
class Repository:
    """The folders of a repository by commit, its branches and tags, and whether it is gated."""

    gated: bool = False
    folders: dict[str, Path] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)


class LoopbackHub:
    """The server; `with LoopbackHub() as hub: hub.publish(...)`.

    Attributes:
        endpoint: what HF_ENDPOINT has to be.
        asked: the requests so far, as method and path.
        failing: the status of all answers, where the hub is to be ill.
    """

    def __init__(self) -> None:
        self.repositories: Repositories = {}
        self.asked: list[str] = []
        self.failing: int | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"hub": self}))
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> LoopbackHub:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def publish(
        self, name: str, folder: Path, kind: str = "models", revision: str = "main", gated: bool = False
    ) -> str:
        """Make a folder a repository's revision; returns the commit, another one for other content."""
        repository = self.repositories.setdefault((kind, name), Repository())
        repository.gated = gated
        digest = hashlib.sha1(name.encode())
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                digest.update(f"{file.relative_to(folder)}\0{_blob(file)}".encode())
        commit = digest.hexdigest()
        repository.folders[commit] = folder
        repository.revisions[revision] = commit
        return commit


def _blob(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha1").hexdigest()


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests that huggingface_hub makes."""

    hub: LoopbackHub

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        if self.hub.failing:
            return self.refuse(self.hub.failing)
        if path.startswith("/api/"):
            return self.about(path.removeprefix("/api/"))
        kind, rest = "models", path.removeprefix("/")
        if rest.startswith("datasets/"):
            kind, rest = "datasets", rest.removeprefix("datasets/")
        name, found, rest = rest.partition("/resolve/")
        repository = self.hub.repositories.get((kind, name))
        if not found or repository is None:
            return self.refuse(401, "RepoNotFound")
        revision = next((each for each in _revisions(repository) if rest.startswith(f"{each}/")), None)
        if revision is None:
            return self.refuse(404, "RevisionNotFound")
        if repository.gated:
            return self.refuse(401, "GatedRepo")
        commit = repository.revisions.get(revision, revision)
        file = repository.folders[commit] / rest.removeprefix(f"{revision}/")
        if not file.is_file():
            return self.refuse(404, "EntryNotFound", {"X-Repo-Commit": commit})
        self.send(file.read_bytes(), {"X-Repo-Commit": commit, "ETag": f'"{_blob(file)}"'})

    def about(self, path: str) -> None:
        """What a repository or its folders hold."""
        kind, *names = path.split("/")
        name, rest = "/".join(names[:2]), names[2:]
        repository = self.hub.repositories.get((kind, name))
        if repository is None:
            return self.refuse(401, "RepoNotFound")
        asked = "/".join(rest[1:]) if rest[:1] in (["revision"], ["tree"]) else "main"
        revision = next((each for each in _revisions(repository) if f"{asked}/".startswith(f"{each}/")), None)
        if revision is None:
            return self.refuse(404, "RevisionNotFound")
        if asked != revision:
            return self.refuse(404, "EntryNotFound")
        commit = repository.revisions.get(revision, revision)
        folder = repository.folders[commit]
        files = [str(file.relative_to(folder)) for file in sorted(folder.rglob("*")) if file.is_file()]
        content: Any = {
            "id": name,
            "sha": commit,
            "private": False,
            "gated": "manual" if repository.gated else False,
            "tags": [],
            "siblings": [{"rfilename": file} for file in files],
        }
        if rest[:1] == ["tree"]:
            content = [
                {
                    "type": "file",
                    "path": file,
                    "size": (folder / file).stat().st_size,
                    "oid": _blob(folder / file),
                }
                for file in files
            ]
        self.send(json.dumps(content).encode(), {"Content-Type": "application/json"})

    def send(self, content: bytes, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, status: int, code: str | None = None, headers: dict[str, str] | None = None) -> None:
        self.send(b"", {**({"X-Error-Code": code} if code else {}), **(headers or {})}, status)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def _revisions(repository: Repository) -> list[str]:
    """Branches, tags and commits, the longest first, since one may begin as another one is called."""
    return sorted((*repository.revisions, *repository.folders), key=len, reverse=True)
