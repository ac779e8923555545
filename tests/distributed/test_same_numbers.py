"""Several ranks give the losses, weights and rankings of one process, in float64."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from marking import mostly_slow
from ranks_here import on_ranks

from xmlkit.config import merge
from xmlkit.data.corpus import Corpus, Labels
from xmlkit.distributed import ranks
from xmlkit.doors import LossCombiner
from xmlkit.testing.tiny import SETTINGS
from xmlkit.training.train import prepare

STEPS = 3
COMMON = {"dropout": 0.0, "start": "random", "batch_size": 12, "micro_batch_size": 2, "validation": 0.1}


def trained(folder: Path, encoder: str, names: list[str]) -> dict[str, tuple]:
    """Of each of these sets losses of some steps, weights, and the best labels of held-out documents."""
    found = {}
    for place, name in enumerate(names):
        with pytest.MonkeyPatch.context() as patch:
            if name == AT_ONCE:
                patch.setattr(LossCombiner, "costs_clusters_apart", False)
            found[name] = _trained(folder / str(place), encoder, *SETS[name])
    return found


def _trained(folder: Path, encoder: str, plugins: list[str], settings: dict, labels: int):
    corpus = tiny.learnable_corpus(60 if labels > 3 else 300, labels)
    names = [f"{label} w{40 + row}" for row, label in enumerate(corpus.labels.ids)]
    corpus = replace(corpus, labels=Labels(corpus.labels.ids, names))
    if "distil" in plugins:
        settings = {**settings, **taught(folder.with_suffix(".texts"), corpus)}
    config = merge({**SETTINGS, **COMMON, "encoder": encoder}, {**settings, "plugins": plugins})
    trainer = prepare(corpus, config, folder)
    trainer.model.double()
    losses, order = [], np.random.default_rng(0).permutation(trainer.data.steps.rows)
    for rows in np.resize(order, (STEPS, 12)):
        found = trainer.step(trainer.micro_batches(rows))
        losses.append({name: float(found[name]) for name in trainer.losses})
    weights = {name: value.numpy() for name, value in trainer.model.weights().items() if not value.is_meta}
    documents = trainer.data.reader.documents(trainer.data.validation_rows)
    scores, ids = trainer.model.eval().rank(documents, 5, trainer.model.head_for_prediction())
    return losses, weights, scores.numpy(), ids.numpy()


def taught(folder: Path, corpus: Corpus) -> dict[str, object]:
    """Settings with a teacher, which knows most training documents, and texts without labels."""
    with ranks.first_then_rest():
        folder.mkdir(parents=True, exist_ok=True)
        bare = [f"w1 w{30 + place} w{place}" for place in range(20)]
        (folder / "bare.txt").write_text("".join(f"{text}\n" for text in bare))
        answers = []
        for place, text in enumerate([*corpus.train.texts[:50], *bare]):
            labels = [(corpus.labels.ids[(place + more) % 10], 0.9 / (1 + more)) for more in range(place % 4)]
            scores = [{"label": label, "score": score} for label, score in labels]
            answers.append(json.dumps({"text": text, "labels": scores}) + "\n")
        (folder / "answers.jsonl").write_text("".join(answers))
    teacher = {"teacher": str(folder / "answers.jsonl"), "temperature": 2.0}
    return {"distil": teacher, "unlabelled": str(folder / "bare.txt")}


WITHOUT_DROPOUT = {"lexical": {"dropout": 0.0, "buckets": 64, "width": 8, "min_documents": 1}}
CLUSTERED = {"clustered": True}
SHARDED = {"shard_encoder": True, "precision": "float32"}
AT_ONCE = "clusters costed at once"
SETS = {
    "flat": ([], {}, 10),
    "mean and clip": ([], {"reduction": "mean", "clip": 0.1}, 10),
    "clustered": ([], CLUSTERED, 10),
    "clustered with biases": ([], {**CLUSTERED, "start": "prior", "shortlist": 4}, 10),  # all: they tie
    "clustered and mean": ([], {**CLUSTERED, "reduction": "mean", "cluster_size": 1, "shortlist": 3}, 10),
    AT_ONCE: ([], CLUSTERED, 10),
    "names as documents": ([], {"name_documents": "hard"}, 10),
    "clustered and clip": ([], {**CLUSTERED, "clip": 0.01}, 10),
    "rows with two moments": ([], {**CLUSTERED, "row_state": "full"}, 10),
    "fewer labels than ranks": ([], {}, 3),
    "fewer clusters than ranks": ([], {**CLUSTERED, "cluster_size": 6}, 10),
    "se": (["se"], CLUSTERED, 10),
    "loss-fix": (["loss-fix"], CLUSTERED, 10),
    "uncertainty": (["loss-fix"], {**CLUSTERED, "loss-fix": {"mode": "uncertainty"}}, 10),
    "gradnorm": (["loss-fix"], {**CLUSTERED, "loss-fix": {"mode": "gradnorm"}}, 10),
    "astec-negatives": (["astec-negatives"], {**CLUSTERED, "micro_batch_size": 12}, 10),
    "astec-negatives by clusters": (
        ["astec-negatives"],
        {**CLUSTERED, "micro_batch_size": 12, "astec-negatives": {"unit": "clusters"}},
        10,
    ),
    "combination": (["combination"], CLUSTERED, 10),
    "combination of the ranker": (
        ["combination"],
        {**CLUSTERED, "combination": {"where": "classifier"}},
        10,
    ),
    "combination of labels": (
        ["combination"],
        {**CLUSTERED, "combination": {"where": "labels"}},
        10,
    ),
    "combination of labels, all scored": (
        ["combination"],
        {"combination": {"where": "labels"}},
        10,
    ),
    "lexical": (["lexical"], {**WITHOUT_DROPOUT}, 10),
    "lexical clustered and clip": (["lexical"], {**CLUSTERED, "clip": 0.1, **WITHOUT_DROPOUT}, 10),
    "full-head": (["full-head"], {"full-head": {"labels_at_once": 2}}, 10),
    "fewer labels than ranks, full-head": (["full-head"], {}, 3),
    "full-head, labels combined": (
        ["full-head", "combination"],
        {"full-head": {"labels_at_once": 4}, "combination": {"where": "labels"}},
        10,
    ),
    "label-text": (["label-text"], {}, 10),
    "label-text clustered": (["label-text"], CLUSTERED, 10),
    "label-text and lexical": (["label-text", "lexical"], WITHOUT_DROPOUT, 10),
    "decoupled": (["decoupled"], {}, 10),
    "decoupled clustered": (["decoupled"], CLUSTERED, 10),
    "asymmetric": (["asymmetric"], {}, 10),
    "propensity": (["propensity"], CLUSTERED, 10),
    "propensity and mean": (["propensity"], {**CLUSTERED, "reduction": "mean", "cluster_size": 1}, 10),
    "multi-resolution": (["multi-resolution"], CLUSTERED, 10),
    "neighbours": (["neighbours"], CLUSTERED, 10),
    "distil": (["distil"], {}, 10),
    "distil clustered": (["distil"], CLUSTERED, 10),
    "sharded": ([], SHARDED, 10),
    "sharded, clustered and clip": (
        ["lexical"],
        {**SHARDED, **CLUSTERED, "clip": 0.1, **WITHOUT_DROPOUT},
        10,
    ),
    "sharded, two optimisers": (["loss-fix"], {**SHARDED, **CLUSTERED}, 10),
    "sharded, label-text through": (
        ["label-text"],
        {**SHARDED, "micro_batch_size": 12, "label-text": {"through": True}},
        10,
    ),
    "sharded, frozen": ([], {**SHARDED, "freeze": True}, 10),
}


FEWER = [name for name in SETS if name.startswith("fewer")]
QUICK = [  # one of each kind; the others are slow together
    *(
        "flat",
        "clustered and mean",
        "sharded, clustered and clip",
        "fewer labels than ranks",
        "se",
        "loss-fix",
    ),
    *("astec-negatives", "combination", "lexical clustered and clip", "full-head", "label-text", "decoupled"),
    *("multi-resolution", "neighbours", "distil clustered"),
]
OTHERS = [name for name in SETS if name not in QUICK]


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Callable[[str], tuple[tuple, list[tuple]]]:
    """Of a set what one process finds, and what each of several does; all of a kind are trained together."""
    encoder, known = tiny.save_encoder(tmp_path_factory.mktemp("found") / "encoder"), {}

    def of(name: str) -> tuple[tuple, list[tuple]]:
        if name not in known:
            names = QUICK if name in QUICK else OTHERS
            many, few = ([one for one in names if (one in FEWER) is fewer] for fewer in (False, True))
            folder = tmp_path_factory.mktemp("found")
            (alone,) = on_ranks(1, trained, folder / "one", encoder, names)
            three = on_ranks(3, trained, folder / "three", encoder, many)
            four = on_ranks(4, trained, folder / "four", encoder, few)
            for one in names:
                known[one] = alone[one], [rank[one] for rank in (four if one in FEWER else three)]
        return known[name]

    return of


@pytest.mark.parametrize("name", mostly_slow((*QUICK, *OTHERS), QUICK))
def test_ranks_compute_what_one_process_does(found, name):
    (losses, weights, scores, ids), several = found(name)
    for own_losses, _, own_scores, own_ids in several:
        for own, expected in zip(own_losses, losses, strict=True):
            assert own == pytest.approx(expected, rel=1e-9)
        np.testing.assert_allclose(own_scores, scores, rtol=1e-8, atol=1e-12)
        np.testing.assert_array_equal(own_ids, ids)
    whole, *rest = (own_weights for _, own_weights, _, _ in several)
    assert whole.keys() == weights.keys()
    for key, value in whole.items():
        np.testing.assert_allclose(value, weights[key], rtol=1e-7, atol=1e-10, err_msg=key)
    assert all(
        own.keys() < whole.keys() for own in rest
    )  # tables of rows are put together on the first alone
