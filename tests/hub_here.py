"""As much of the Hugging Face hub as a repository's files need, on this machine."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Hub(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        root, name = self.server.folder, self.server.name
        files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
        where = self.path.partition("?")[0]
        asked = where.partition(f"/{name}/resolve/")[2].partition("/")[2]
        if where.startswith(f"/api/models/{name}/tree/"):
            sizes = {file: path.stat().st_size for file, path in files.items()}
            body = json.dumps(
                [
                    {"type": "file", "path": file, "size": size, "oid": "0" * 40}
                    for file, size in sizes.items()
                ]
            ).encode()
        elif where.startswith(f"/api/models/{name}"):
            siblings = [{"rfilename": file} for file in files]
            body = json.dumps({"id": name, "sha": COMMIT, "siblings": siblings}).encode()
        elif asked in files:
            self.server.asked.append(asked)
            body = files[asked].read_bytes()
        else:
            of_it = where.startswith(f"/{name}/")
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound" if of_it else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@contextmanager
def hub_with(name: str, folder: Path, monkeypatch) -> Iterator[ThreadingHTTPServer]:
    """A hub with one repository, of this folder's files; `asked` are the names of those that were fetched."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
        server.name, server.folder, server.asked = name, folder, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        yield server
        server.shutdown()
