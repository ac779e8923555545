"""What the tests of the command line share."""

from __future__ import annotations

import pytest
import tiny
from commands import QUICK, write_corpus, xmlkit
from installing import EXAMPLES, GUIDE, install


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder with an encoder, a corpus and a run that was trained on it with two plugins."""
    folder = tmp_path_factory.mktemp("cli")
    tiny.save_encoder(folder / "encoder")
    write_corpus(folder / "corpus")
    (folder / "site").mkdir()
    for name, source in (EXAMPLES | GUIDE).items():
        install(folder / "site", name, source)
    settings = ["--set", "epochs=10", "--set", "lr=3e-3", "--set", "head_lr=1e-2", "--set", "pooling=mean"]
    plugins = ["--plugin", "layer-gain,label-smoothing", "--set", "label-smoothing.amount=0.01"]
    out, err = xmlkit(
        *["train", "corpus", "--encoder", "encoder", "--out", "run", *QUICK, *settings, *plugins],
        cwd=folder,
        path=folder / "site",
        fresh=True,
    )
    assert "corpus, test split" in out and "PSnDCG" in out and "word w3" in out and "✓" in out
    assert "representation: TokenMean (lightxml), LayerGain (layer-gain) around it\n" in err
    assert "loss: PlainSum (lightxml), Smoothed (label-smoothing) around it\n" in err and "run: run" in err
    return folder
