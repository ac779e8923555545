"""`--encoder auto`: the hub's cache, a hub that answers (here on this machine), and neither of them."""

from __future__ import annotations

import hashlib
import shutil
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import tiny
from commands import QUICK, write_corpus
from commands import xmlkit as command

from xmlkit.hub import SMALL

COMMIT = "0123456789abcdef0123456789abcdef01234567"
xmlkit = partial(command, fresh=True)  # the hub's library reads the environment when it is imported
FEW = ["--set", "max_steps=1", *QUICK]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    write_corpus(folder / "corpus")
    tiny.save_encoder(folder / "encoder")
    return folder


@pytest.fixture
def hub_folder(tmp_path, monkeypatch):
    """Of a user who has never fetched a model."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    return tmp_path / "home" / "hub"


def keep(hub_folder, name, encoder, **more):
    """As the hub's library lays out what it has fetched."""
    repository = hub_folder / f"models--{name.replace('/', '--')}"
    shutil.copytree(encoder, repository / "snapshots" / COMMIT)
    for file, text in more.items():
        (repository / "snapshots" / COMMIT / f"{file}.json").write_text(text)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)


@pytest.mark.slow
def test_what_is_in_the_cache_is_taken_and_proposed(place, hub_folder, tmp_path):
    keep(hub_folder, "some/plain", place / "encoder")
    keep(hub_folder, "some/of-sentences", place / "encoder", modules="[]")
    keep(hub_folder, "some/decoder", place / "encoder", modules="", config='{"model_type": "gpt2"}')
    keep(hub_folder, "some/broken", place / "encoder", modules="", config="{")
    _, err = xmlkit("train", place / "corpus", *FEW, "--out", tmp_path / "scratch")
    assert "better: --encoder some/of-sentences, which is in the hub's cache" in err
    _, err = xmlkit("train", place / "corpus", "--encoder", "auto", *FEW, "--out", tmp_path / "run")
    assert "encoder: some/of-sentences, from the hub's cache, as the hub cannot be reached" in err
    assert '"encoder": "some/of-sentences"' in (tmp_path / "run" / "config.json").read_text()
    keep(hub_folder, SMALL, place / "encoder")
    _, err = xmlkit("train", place / "corpus", "--encoder", "auto", *FEW, "--out", tmp_path / "small")
    assert f'"encoder": "{SMALL}"' in (tmp_path / "small" / "config.json").read_text()


def test_without_cache_and_hub_the_way_without_an_encoder_is_named(place, hub_folder, tmp_path):
    _, err = xmlkit("train", place / "corpus", "--encoder", "auto", code=1)
    assert err.startswith("error: --encoder auto: the hub cannot be reached") and err.count("\n") == 1
    _, err = xmlkit("train", place / "corpus", *FEW, "--out", tmp_path / "scratch")
    assert "better: --encoder FOLDER, or --encoder none --plugin lexical" in err


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a model's files need."""

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        name = self.path.rpartition("/")[2].partition("?")[0]
        path = self.server.encoder / name
        if self.path.startswith(f"/api/models/{SMALL}"):
            body = b'{"id": "%s", "sha": "%s", "siblings": []}' % (SMALL.encode(), COMMIT.encode())
            body = b"[]" if "/tree/" in self.path else body
        elif self.path.startswith(f"/{SMALL}/resolve/") and path.is_file():
            body = path.read_bytes()
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
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


@pytest.fixture
def hub(place, hub_folder, monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.encoder = place / "encoder"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        yield hub_folder
        server.shutdown()


@pytest.mark.slow
def test_where_the_hub_answers_it_is_asked_only_on_request(place, hub, tmp_path):
    _, err = xmlkit("train", place / "corpus", *FEW, "--out", tmp_path / "scratch")
    assert f"better: --encoder auto, which fetches {SMALL} (90 MB)" in err and not hub.exists()
    _, err = xmlkit("train", place / "corpus", "--encoder", "auto", *FEW, "--out", tmp_path / "run")
    assert f"encoder: {SMALL}, which is fetched from the hub once (90 MB)\n" in err
    assert f'"encoder": "{SMALL}"' in (tmp_path / "run" / "config.json").read_text()
    assert list(hub.glob("models--sentence-transformers--*/snapshots/*/model.safetensors"))
    (tmp_path / "texts").write_text("w3\n")
    assert "w" in xmlkit("predict", tmp_path / "run", tmp_path / "texts")[0]
