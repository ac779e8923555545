"""What a stranger's folder names or links to leads out of it neither to be read nor to be written."""

from __future__ import annotations

import errno
import json
import re
import shutil

import pytest
import tiny

import xmlkit
from xmlkit import UserError
from xmlkit.blend.folder import files_of
from xmlkit.data.corpus import load_corpus
from xmlkit.files import copy_files, inside, replaced
from xmlkit.sharing.push import write
from xmlkit.training import train as training

OUTSIDE = ["../x", "a/../../x", "/x", "//x", "///x", "..", "", ".", "C:/x", "a\\..\\..\\x"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_lead_out_are_told(name):
    with pytest.raises(ValueError, match="leads out of the folder"):
        inside(name)


@pytest.mark.parametrize("name", ["a", "a/b.json", ".hidden", "a..b/c", "towers/0/model.json"])
def test_others_are_taken(name):
    assert inside(name) == name


@pytest.mark.parametrize("name", ["../mine", "encoder/../../mine", "{whole}", "/{whole}"])
def test_a_run_that_names_a_file_outside_is_refused(copied_run, tmp_path, name):
    """Which is there, with the digest that is named."""
    (tmp_path / "mine").write_text("mine")
    name = name.format(whole=tmp_path / "mine")
    document = json.loads((copied_run / "model.json").read_text())
    document["files"][name] = ""
    (copied_run / "model.json").write_text(json.dumps(document))
    tiny.belong_together(copied_run)
    for opened in (xmlkit.load, files_of):
        with pytest.raises(UserError, match=r"model\.json is damaged.*leads out of the folder"):
            opened(copied_run)


@pytest.mark.parametrize("name", OUTSIDE[:4])
def test_an_ensemble_that_names_a_file_outside_is_refused(tmp_path, name):
    recorded = {
        "source": None,
        "corpus": "",
        "training_documents": 1,
        "held_out_documents": 1,
        "fusion": "fitted",
        "metric": "P@1",
        "ks": [1],
        "propensity_a": 0.5,
        "propensity_b": 0.4,
        "shrink": None,
        "judged": {},
        "members": [{"name": "a", "kind": "linear", "alone": {}, "loss_without": [0.0, 0.0, 0.0]}],
        "files": {name: "0"},
    }
    (tmp_path / "ensemble.json").write_text(json.dumps(recorded))
    with pytest.raises(UserError, match=r"ensemble\.json is damaged.*leads out of the folder"):
        xmlkit.load(tmp_path)
    (tmp_path / "ensemble.json").write_text(json.dumps({**recorded, "files": {}}))
    with pytest.raises(UserError, match="names neither labels nor weights"):
        xmlkit.load(tmp_path)


def test_what_is_written_follows_no_link(tmp_path):
    mine, path = tmp_path / "mine", tmp_path / "threshold.json"
    mine.write_text("mine")
    (tmp_path / ".threshold.json").symlink_to(mine)
    with replaced(path) as unfinished:
        unfinished.write_text("new")
    assert mine.read_text() == "mine" and path.read_text() == "new" and not path.is_symlink()


@pytest.mark.parametrize("name", [".lock", ".owner", "log.jsonl"])
def test_a_run_with_a_link_where_training_writes_is_refused(copied_run, tmp_path, name):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (copied_run / name).unlink(missing_ok=True)
    (copied_run / name).symlink_to(mine)
    with pytest.raises(UserError, match=re.escape(f"{copied_run / name} is a link to a file elsewhere")):
        training.resume(copied_run, tiny.learnable_corpus())
    assert mine.read_text() == "mine"


def test_a_dataset_that_names_a_file_outside_is_refused(tmp_path):
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "secret.arrow").write_text("secret")
    state = tmp_path / "data" / "train" / "state.json"
    state.write_text(json.dumps({"_data_files": [{"filename": "../../secret.arrow"}]}))
    with pytest.raises(UserError, match=r"names '\.\./\.\./secret\.arrow', which is no file of its folder"):
        load_corpus(tmp_path / "data")


def test_a_disk_that_is_full_names_what_was_written_and_leaves_nothing(copied_run, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space left") as error:
        copy_files(copied_run, tmp_path / "copy", ["model.json"])
    assert error.value.filename == str(tmp_path / "copy" / "model.json")
    with pytest.raises(OSError, match="No space left"):
        write(copied_run, "some/model", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "run"]
