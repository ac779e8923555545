"""`--encoder auto`: the hub's cache, a hub that answers (here on this machine), and neither of them."""

from __future__ import annotations

import shutil
import socket
import threading
from contextlib import contextmanager, suppress
from functools import partial

import pytest
import tiny
from commands import QUICK, write_corpus
from commands import xmlkit as command
from hub_here import COMMIT, hub_with

from xmlkit.hub import SMALL

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


@pytest.mark.slow
def test_without_cache_and_hub_the_way_without_an_encoder_is_named(place, hub_folder, tmp_path):
    _, err = xmlkit("train", place / "corpus", "--encoder", "auto", code=1)
    assert err.startswith("error: --encoder auto: the hub cannot be reached") and err.count("\n") == 1
    _, err = xmlkit("train", place / "corpus", *FEW, "--out", tmp_path / "scratch")
    assert "better: --encoder FOLDER, or --encoder none --plugin lexical" in err


@pytest.fixture
def hub(place, hub_folder, monkeypatch):
    with hub_with(SMALL, place / "encoder", monkeypatch):
        yield hub_folder


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


@contextmanager
def nobody(monkeypatch, hangs_up):
    """Takes connections in the hub's place and says nothing, or ends them; how many came."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        came = []

        def take():
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    came.append(connection)
                    if hangs_up:
                        connection.close()

        threading.Thread(target=take, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{listening.getsockname()[1]}")
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        yield came
        listening.shutdown(socket.SHUT_RDWR)
        for connection in came:
            connection.close()


@pytest.mark.slow
def test_a_hub_that_says_nothing_is_asked_once(place, hub_folder, tmp_path, monkeypatch):
    keep(hub_folder, "some/plain", place / "encoder")
    train = ["train", place / "corpus", *FEW, "--out", tmp_path / "run", "--encoder"]
    with nobody(monkeypatch, hangs_up=True) as came:
        _, err = xmlkit(*train, "some/other", code=1)
        assert "or in the hub's cache of that name, and the hub cannot be reached; name a folder" in err
        assert err.count("\n") == 1
        xmlkit(*train, "some/plain")
        assert (tmp_path / "run" / "model.json").exists()
        assert len(came) <= 4  # a request may be said twice; the hub's library says six, of each file


@pytest.mark.slow
@pytest.mark.parametrize("hangs_up", [True, False])
def test_nothing_goes_to_a_hub_that_says_nothing_and_nothing_comes(
    place, hub_folder, tmp_path, monkeypatch, hangs_up
):
    xmlkit("train", place / "corpus", *FEW, "--out", tmp_path / "run")
    with nobody(monkeypatch, hangs_up):
        _, err = xmlkit("push", tmp_path / "run", "me/mine", code=1)
        assert err == "error: hub:me/mine: the hub cannot be reached\n"
        _, err = xmlkit("predict", "hub:me/mine", stdin="w3\n", code=1)
    assert err == "error: hub:me/mine: the hub cannot be reached, and its cache does not have all of it\n"
