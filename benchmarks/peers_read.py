r"""Whether peers read what `xmlkit data convert` writes: the same texts, and which document has which label.

    python -m benchmarks.peers_read CORPUS OUT.json annif=PYTHON pecos=PYTHON libmultilabel=PYTHON \
        napkinxc=PYTHON

Each PYTHON is of an environment that has the peer, since their pins leave no room for ours: annif 1.4;
libpecos with NumPy below 2; libmultilabel with python-graphblas; napkinxc with gdown. There this file runs
again, by itself, and reads with the peer's own functions.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SPLITS = ("train", "test")
Read = tuple[str, list[str]]  # a text, the ids of its labels


def told(documents: Iterable[Read]) -> list[Any]:
    """How many documents and labels of documents, and a digest of which text has which."""
    digest, count, pairs = hashlib.blake2b(digest_size=8), 0, 0
    for text, labels in documents:
        count, pairs = count + 1, pairs + len(labels)
        digest.update(json.dumps([" ".join(text.split()), sorted(labels)]).encode())
    return [count, pairs, digest.hexdigest()]


def by_annif(folder: Path, split: str, form: str) -> Iterator[Read]:
    """As its `annif train` reads it."""
    import annif.corpus as corpora  # before annif.vocab, which can't be imported first
    from annif.vocab import SubjectIndexFile, VocabFileTSV

    index = SubjectIndexFile()
    index.load_subjects(VocabFileTSV(str(folder / "labels.tsv"), "en"))
    readers = {
        "annif-tsv": lambda: corpora.DocumentFileTSV(str(folder / f"{split}.tsv"), index),
        "annif-csv": lambda: corpora.DocumentFileCSV(str(folder / f"{split}.csv"), index),
        "annif-jsonl": lambda: corpora.DocumentFileJSONL(str(folder / f"{split}.jsonl"), index, "en"),
        "annif-folder": lambda: corpora.DocumentDirectory(str(folder / split), index, "en", True),
    }
    for document in readers[form]().documents:
        yield document.text, [index[subject].uri for subject in document.subject_set]


def by_pecos(folder: Path, split: str, form: str) -> Iterator[Read]:
    """By its text2text preprocessor; or its matrix, and a text a line."""
    from pecos.utils import smat_util
    from pecos.utils.featurization.text.preprocess import Preprocessor

    if form == "pecos-text2text":
        name = {"train": "training-data.txt", "test": "test-data.txt"}[split]
        found = Preprocessor.load_data_from_file(
            str(folder / name), str(folder / "output-labels.txt"), maxsplit=1
        )
        texts, labels_NL = found["corpus"], found["label_matrix"]
        ids = (folder / "output-labels.txt").read_text(encoding="utf-8").split("\n")
    else:
        short = {"train": "trn", "test": "tst"}[split]
        texts = (folder / f"X.{short}.txt").read_text(encoding="utf-8").split("\n")
        labels_NL = smat_util.load_matrix(str(folder / f"Y.{short}.npz")).tocsr()
        ids = (folder / "output-items.txt").read_text(encoding="utf-8").split("\n")
    for row in range(labels_NL.shape[0]):
        columns = labels_NL.indices[labels_NL.indptr[row] : labels_NL.indptr[row + 1]]
        yield texts[row], [ids[column] for column in columns]


def by_libmultilabel(folder: Path, split: str, form: str) -> Iterator[Read]:
    """As its linear trainer reads it."""
    from libmultilabel.linear import load_dataset

    found = load_dataset("txt", **{f"{split}_path": str(folder / f"{split}.txt")})[split]
    for text, labels in zip(found["x"], found["y"], strict=True):
        yield text, list(labels)


def by_napkinxc(folder: Path, split: str, form: str) -> Iterator[Read]:
    """By its reader of the Extreme Classification Repository's JSON Lines."""
    from napkinxc.datasets import load_json_lines_file

    with (folder / "lbl.json").open(encoding="utf-8") as file:
        ids = [json.loads(line)["uid"] for line in file]
    texts, labels = load_json_lines_file(str(folder / f"{ {'train': 'trn', 'test': 'tst'}[split] }.json"))
    for text, columns in zip(texts, labels, strict=True):
        yield text, [ids[column] for column in columns]


PEERS = {
    "annif": (by_annif, "annif", ("annif-tsv", "annif-csv", "annif-jsonl", "annif-folder")),
    "pecos": (by_pecos, "libpecos", ("pecos", "pecos-text2text")),
    "libmultilabel": (by_libmultilabel, "libmultilabel", ("libmultilabel",)),
    "napkinxc": (by_napkinxc, "napkinxc", ("xc-json",)),
}


def read_there(peer: str, folder: Path) -> dict[str, Any]:
    """What a peer finds in the folders of its formats; run in its environment."""
    reader, distribution, forms = PEERS[peer]
    found = {form: {split: told(reader(folder / form, split, form)) for split in SPLITS} for form in forms}
    return {"version": version(distribution), "read": found}


def main(corpus: str, out: str, *given: str) -> None:
    """Converts, asks each peer, and says where it differs."""
    from benchmarks.machine import machine
    from xmlkit.data.corpus import load_corpus

    loaded = load_corpus(corpus)
    ours = {
        split: told((one.text, one.labels) for one in part.documents())
        for split, part in loaded.splits.items()
    }
    result: dict[str, Any] = {
        "command": f"python -m benchmarks.peers_read {Path(corpus).name} OUT.json ...",
        "ours": ours,
    }
    with TemporaryDirectory() as place:
        for peer, python in (one.split("=", 1) for one in given):
            for form in PEERS[peer][2]:
                command = [
                    sys.executable,
                    "-m",
                    "xmlkit",
                    "data",
                    "convert",
                    corpus,
                    f"{place}/{form}",
                    "--format",
                    form,
                ]
                subprocess.run(command, check=True, capture_output=True)
            there = subprocess.run(
                [python, __file__, "--there", peer, place], check=True, capture_output=True, text=True
            )
            found = json.loads(there.stdout.splitlines()[-1])
            result[peer] = {**found, "the_same": {form: read == ours for form, read in found["read"].items()}}
            print(peer, found["version"], result[peer]["the_same"])
    result["machine"] = machine()
    Path(out).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1] == "--there":
        print(json.dumps(read_there(sys.argv[2], Path(sys.argv[3]))))
    else:
        main(*sys.argv[1:])
