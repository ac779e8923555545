"""Annif (https://annif.org): one of the projects below, with what its tutorial has for them.

Its analyzers cut words by NLTK's Punkt model, which they fetch; where that can't be had, one without
abbreviations stands in: titles have hardly any, and the cut of sentences changes few words.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.given import TOP, Given

REQUIREMENTS = ("annif[omikuji]==1.4.3",)
PROJECTS = """
[omikuji-bonsai]
name=Bonsai
language=en
vocab=given
backend=omikuji
analyzer=snowball(english)
cluster_balanced=False
cluster_k=100
max_depth=3
min_df=2
ngram=2

[mllm]
name=MLLM
language=en
vocab=given
backend=mllm
analyzer=snowball(english)

[ensemble]
name=Ensemble
language=en
vocab=given
backend=ensemble
sources=omikuji-bonsai:2,mllm:1
"""


def train(given: Given, folder: Path, project: str, trained: list[str]) -> None:
    """The vocabulary, then the projects that are asked or that it asks."""
    import annif.corpus
    import annif.vocab

    _cut_words()
    (folder / "projects.cfg").write_text(PROJECTS)
    subjects = [f"<http://example.org/{row}>\t{name}\n" for row, name in enumerate(given.names)]
    (folder / "labels.tsv").write_text("".join(subjects), encoding="utf-8")
    rows = zip(given.texts, given.labels, strict=True)
    lines = [
        f"{' '.join(text.split())}\t{' '.join(f'<http://example.org/{row}>' for row in labels)}\n"
        for text, labels in rows
    ]
    (folder / "train.tsv").write_text("".join(lines), encoding="utf-8")
    (folder / "asked.txt").write_text(project)
    registry = _registry(folder)
    vocabulary = registry.get_vocab("given")
    vocabulary.load_vocabulary(annif.vocab.VocabFileTSV(str(folder / "labels.tsv"), "en"))
    for name in trained:
        documents = annif.corpus.DocumentFileTSV(str(folder / "train.tsv"), vocabulary.subjects)
        registry.get_project(name).train(documents)
    (folder / "train.tsv").unlink()


def load(folder: Path) -> Any:
    """The project, ready to be asked."""
    project = _registry(folder).get_project((folder / "asked.txt").read_text())
    project.initialize()
    return project


def predict(model: Any, texts: list[str]) -> list[list[int]]:
    """In batches of its own."""
    from annif.corpus import Document, DocumentList

    found = model.suggest_corpus(DocumentList([Document(text) for text in texts])).filter(limit=TOP)
    return [[one.subject_id for one in sorted(row, key=lambda one: -one.score)] for row in found]


def _registry(folder: Path) -> Any:
    from annif.registry import AnnifRegistry

    return AnnifRegistry(str(folder / "projects.cfg"), str(folder / "data"), False)


def _cut_words() -> None:
    """Once for an environment."""
    import sys

    import nltk

    if not nltk.download("punkt_tab", quiet=True):
        punkt = Path(sys.prefix) / "nltk_data" / "tokenizers" / "punkt_tab" / "english"
        punkt.mkdir(parents=True, exist_ok=True)
        for name in ("collocations.tab", "sent_starters.txt", "abbrev_types.txt", "ortho_context.tab"):
            (punkt / name).touch()
