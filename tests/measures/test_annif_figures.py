"""What Annif says of the same; the expected numbers are those that annif 1.4.3 gave for these suggestions."""

from __future__ import annotations

import numpy as np
import pytest

from xmlkit.data.ragged import Ragged
from xmlkit.measures.annif import annif_figures
from xmlkit.measures.cut import Cut

SCORES_NK = np.array(
    [
        [0.9, 0.5, 0.25, 0.0, 0.0, 0.0],
        [0.7, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.8, 0.6, 0.4, 0.3, 0.2, 0.1],
        [0.6, 0.0, 0.0, 0.0, 0.0, 0.0],
    ],
    np.float32,
)
IDS_NK = np.array(
    [
        [0, 3, 1, -1, -1, -1],
        [2, -1, -1, -1, -1, -1],
        [-1, -1, -1, -1, -1, -1],
        [5, 4, 0, 1, 2, 3],
        [1, 5, -1, -1, -1, -1],  # label 5 with a score of 0
    ]
)
TRUTH = [[0, 1], [], [4], [1, 2, 3], [1, 5]]
EXPECTED = {  # limit 10, threshold 0; limit 3, threshold 0.3
    "Precision (doc avg)": (0.4333333333333333, 0.3),
    "Recall (doc avg)": (0.5, 0.2),
    "F1 score (doc avg)": (0.42666666666666664, 0.2333333333333333),
    "Precision (subj avg)": (0.4166666666666667, 0.25),
    "Recall (subj avg)": (0.6666666666666666, 0.2222222222222222),
    "F1 score (subj avg)": (0.49999999999999994, 0.19444444444444442),
    "Precision (weighted subj avg)": (0.5625, 0.4375),
    "Recall (weighted subj avg)": (0.75, 0.25),
    "F1 score (weighted subj avg)": (0.625, 0.2708333333333333),
    "Precision (microavg)": (0.5454545454545454, 0.2857142857142857),
    "Recall (microavg)": (0.75, 0.25),
    "F1 score (microavg)": (0.631578947368421, 0.26666666666666666),
    "F1@5": (0.39333333333333337, 0.2333333333333333),
    "NDCG": (0.616735577583313, 0.4452589154243469),
    "NDCG@5": (0.5833034515380859, 0.4452589154243469),
    "NDCG@10": (0.616735577583313, 0.4452589154243469),
    "Precision@1": (0.4, 0.4),
    "Precision@3": (0.3333333333333333, 0.3),
    "Precision@5": (0.4133333333333333, 0.3),
    "True positives": (6, 2),
    "False positives": (5, 5),
    "False negatives": (2, 6),
    "Documents evaluated": (5, 5),
}


@pytest.mark.parametrize(("number", "cut"), [(0, Cut(0.0, 10)), (1, Cut(0.3, 3))])
def test_annif_itself_says_the_same(number, cut):
    found = annif_figures(SCORES_NK, IDS_NK, Ragged.of(TRUTH), 6, cut)
    assert list(found) == list(EXPECTED)
    assert found == pytest.approx({name: figures[number] for name, figures in EXPECTED.items()}, rel=1e-7)


def test_labels_that_the_vocabulary_lacks_are_no_subjects():
    truth = Ragged.of([[0, 1, 6], [7], [4], [1, 2, 3], [1, 5, 9]])
    cut = Cut(0.0, 10)
    expected = annif_figures(SCORES_NK, IDS_NK, Ragged.of(TRUTH), 6, cut)
    assert annif_figures(SCORES_NK, IDS_NK, truth, 6, cut) == expected
