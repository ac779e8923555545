"""How well are labels found that no training document has?

    python -m benchmarks.unseen CORPUS --encoder FOLDER [--share 0.1] [--seed 0] [--plugin label-text]
                                [--set KEY=VALUE ...] [--out FILE]

A random share of the labels is taken out of the training documents; those that have no other are left out.
Two models learn from the rest: of one the labels taken out are labels without documents (`named`), the other
gets them when it is trained (`added`). Then how well these are found, ranked among themselves, on the test
documents that have any, beside the untrained encoder's cosine of document and name (token means); and the
usual metrics of both models, where all labels are ranked.

N documents, U unseen labels, H encoder width.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

import xmlkit
from benchmarks.machine import machine
from xmlkit.config import merge, parse_assignments, resolve
from xmlkit.data.corpus import Corpus, Labels, Split
from xmlkit.data.template import Template
from xmlkit.data.tokens import tokenise
from xmlkit.inference.predict import RunPredictor
from xmlkit.inference.unseen import Unseen, evaluate_unseen, unseen_documents
from xmlkit.model.encoder import Encoder, load_backbone, load_tokenizer
from xmlkit.model.inputs import Reader
from xmlkit.model.ranking import mean_states

DIGITS = 2


def cut(corpus: Corpus, share: float, seed: int) -> tuple[Corpus, set[str]]:
    """The corpus, without names of labels taken out, and these."""
    ids, train = corpus.labels.ids, corpus.train
    rng = np.random.default_rng(seed)
    taken = {ids[row] for row in rng.choice(len(ids), round(share * len(ids)), replace=False)}
    left = [
        [ids[row] for row in train.labels[document] if ids[row] not in taken]
        for document in range(len(train))
    ]
    kept = [document for document, labels in enumerate(left) if labels]
    learnt = Corpus.of([train.texts[document] for document in kept], [left[document] for document in kept])
    return _of_labels(learnt, corpus, [label for label in ids if label not in taken]), taken


def _of_labels(learnt: Corpus, whole: Corpus, ids: list[str]) -> Corpus:
    """What is learnt from, of these labels of the whole corpus."""
    labels = Labels(ids, [whole.labels.name(whole.labels.rows[label]) for label in ids])
    return replace(learnt, name=whole.name, labels=labels, train=learnt.train.numbered_as(labels))


def of_run(model: RunPredictor, test: Split) -> dict[str, Any]:
    """Both kinds of metrics."""
    unseen = evaluate_unseen(model, test)
    assert unseen is not None
    return {
        "unseen": _rounded(unseen),
        "all": {name: round(v, DIGITS) for name, v in model.evaluate(test).items()},
    }


def of_cosines(model: RunPredictor, test: Split, encoder: str) -> dict[str, Any]:
    """Of the encoder as it is, as this model's labels and test documents are chosen."""
    tokenizer = load_tokenizer(encoder)
    backbone = Encoder(load_backbone(encoder, tokenizer), Template.of(tokenizer), 1).eval()

    def units_NH(texts: list[str]) -> Tensor:
        reader = Reader(
            tokenise(texts, tokenizer, model.config.text_cap), backbone.template, model.config.max_len
        )
        return F.normalize(mean_states(backbone, reader, model.config.tokens_at_once, False), dim=1)

    asked = unseen_documents(model, test)
    rows_U = np.flatnonzero(asked.is_unseen_L)
    names_UH = units_NH([model.labels.name(row) for row in rows_U.tolist()])
    best_NK = (units_NH(asked.texts) @ names_UH.T).topk(max(model.scoring.ks), 1).indices.numpy()
    return {"unseen": _rounded(asked.scored(rows_U[best_NK]))}


def _rounded(unseen: Unseen) -> dict[str, Any]:
    return {name: round(value, DIGITS) for name, value in unseen.as_document().items()}


def main() -> None:
    """Trains, measures, prints JSON, writes it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus")
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plugin", default="label-text")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    settings = {"encoder": given.encoder, "plugins": given.plugin.split(",")}
    config = resolve(merge(settings, parse_assignments(given.settings)))
    whole = xmlkit.load_corpus(given.corpus)
    assert whole.test is not None
    learnt, taken = cut(whole, given.share, given.seed)
    with tempfile.TemporaryDirectory() as folder:
        named = xmlkit.train(_of_labels(learnt, whole, whole.labels.ids), config, f"{folder}/named").model
        xmlkit.train(learnt, config, f"{folder}/plain")
        names = {label: whole.labels.name(whole.labels.rows[label]) for label in sorted(taken)}
        added = xmlkit.load(xmlkit.add_labels(f"{folder}/plain", names, f"{folder}/added"))
        assert isinstance(added, RunPredictor)
        found = {"cosine": of_cosines(named, whole.test, given.encoder)}
        found |= {"named": of_run(named, whole.test), "added": of_run(added, whole.test)}
    document = {
        "corpus": Path(given.corpus).name,
        "share": given.share,
        "seed": given.seed,
        "machine": machine(),
    }
    settings |= {"encoder": Path(given.encoder).name, **parse_assignments(given.settings)}
    document |= {"settings": settings, "taken_out": len(taken)}
    document |= {
        "training_documents": len(learnt.train),
        "left_out": len(whole.train) - len(learnt.train),
        **found,
    }
    print(json.dumps(document, indent=2))
    if given.out:
        given.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
