"""How long does clustering the labels take, and how good is it?

    python -m benchmarks.clusters [CORPUS] [--labels N] [--cluster-size N] [--pecos PYTHON] [--out FILE]

With CORPUS its training labels, from texts to clusters; without, N made-up labels (670,091: features of 150
Zipf-drawn words each, of 135,909, around 6,000 topics). `--pecos` is an interpreter that has `libpecos`,
which needs an environment of its own: its hierarchical k-means (two splits a node, as many rounds at the
most, as many threads as there are cores) then clusters the same features in the same run. The figure of merit
is the mean similarity of a label to its cluster's centre. Each is a process of its own, for its memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.machine import in_a_process_of_its_own, machine, peak_gib
from xmlkit.data.corpus import load_corpus
from xmlkit.labels.clusters import MOST_ROUNDS, cluster_labels, label_features

LABELS, WORDS, WORDS_A_LABEL, TOPICS = 670_091, 135_909, 150, 6_000
PECOS = """
import json, resource, sys, time
import numpy as np
from scipy import sparse
from pecos.xmc import Indexer

features = sparse.load_npz(sys.argv[1]).astype(np.float32)
start = time.perf_counter()
limits = {"max_leaf_size": int(sys.argv[2]), "kmeans_max_iter": int(sys.argv[3])}
chain = Indexer.gen(features, indexer_type="hierarchicalkmeans", nr_splits=2, seed=0, **limits)
seconds = time.perf_counter() - start
member_LK = chain[-1].tocsr()
np.save(sys.argv[1] + ".pecos.npy", np.asarray(member_LK.argmax(1)).ravel())
print(json.dumps({"seconds": round(seconds, 1),
                  "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)}))
"""


def made_up_features(num_labels: int, seed: int = 0) -> sparse.csr_array:
    """(L, F), L2-normalised: half of a label's words are its topic's, half are anyone's."""
    rng = np.random.default_rng(seed)
    half = WORDS_A_LABEL // 2
    topic_L = rng.integers(TOPICS, size=num_labels)
    topic_words = _zipf(rng, (TOPICS, 4 * half))
    own = topic_words[topic_L[:, None], rng.integers(4 * half, size=(num_labels, half))]
    words = np.concatenate([own, _zipf(rng, (num_labels, half))], 1)
    values = rng.random(words.size, np.float32) + 0.1
    offsets = np.arange(num_labels + 1) * 2 * half
    features = sparse.csr_array((values, words.ravel(), offsets), shape=(num_labels, WORDS))
    features.sum_duplicates()
    norms = np.sqrt(np.asarray(features.multiply(features).sum(1)))
    features.data /= np.repeat(norms, np.diff(features.indptr)).astype(np.float32)
    return features


def _zipf(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Word numbers, the r-th as frequent as about 1 / r."""
    return (WORDS ** rng.random(shape, np.float32)).astype(np.int32) - 1


def ours(corpus: str | None, num_labels: int, largest: int, features_file: str) -> dict[str, Any]:
    """Seconds and quality of xmlkit's clustering; the features stay in the file."""
    start = time.perf_counter()
    if corpus:
        train = load_corpus(corpus)
        begun = time.perf_counter()
        features = label_features(train.train.texts, train.train.labels, len(train.labels))
    else:
        features, begun = made_up_features(num_labels), start
    middle = time.perf_counter()
    found = cluster_labels(features, largest, 0)
    end = time.perf_counter()
    cluster_L = np.empty(features.shape[0], np.int64)
    cluster_L[found.order_L] = np.repeat(np.arange(len(found.starts) - 1), np.diff(found.starts))
    peak = peak_gib()
    sparse.save_npz(features_file, sparse.csr_matrix(features), compressed=False)
    return {
        "labels": features.shape[0],
        "numbers": int(features.nnz),
        "features_seconds": round(middle - begun, 1) if corpus else None,
        "seconds": round(end - middle, 1),
        "peak_gib": peak,
        **quality(features, cluster_L),
    }


def quality(features: sparse.csr_array, cluster_L: np.ndarray) -> dict[str, Any]:
    """Clusters, and the mean similarity of labels to their centres."""
    num_labels, clusters = len(cluster_L), int(cluster_L.max()) + 1
    member_KL = sparse.csr_array((np.ones(num_labels, np.float32), (cluster_L, np.arange(num_labels))))
    norms = sparse.linalg.norm(sparse.csr_array(member_KL @ features), axis=1)
    return {"clusters": clusters, "similarity": round(float(norms.sum() / num_labels), 4)}


def pecos(python: str, features_file: str, largest: int) -> dict[str, Any]:
    """The same of libpecos, in its own interpreter."""
    command = [python, "-c", PECOS, features_file, str(largest), str(MOST_ROUNDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"--pecos {python}: {done.stderr.strip().splitlines()[-1]}")
    features = sparse.csr_array(sparse.load_npz(features_file))
    return json.loads(done.stdout) | quality(features, np.load(features_file + ".pecos.npy"))


def main() -> None:
    """Measures, prints JSON, writes it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", nargs="?")
    parser.add_argument("--labels", type=int, default=LABELS)
    parser.add_argument("--cluster-size", type=int, default=100)
    parser.add_argument("--pecos", metavar="PYTHON")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "features.npz")
        work = (given.corpus, given.labels, given.cluster_size, file)
        found = {"xmlkit": in_a_process_of_its_own(ours, *work)}
        if given.pecos:
            found["libpecos"] = pecos(given.pecos, file, given.cluster_size)
    corpus = Path(given.corpus).name if given.corpus else "made up"
    document = {"machine": machine(), "corpus": corpus, "cluster_size": given.cluster_size, **found}
    print(json.dumps(document, indent=2))
    if given.out:
        given.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
