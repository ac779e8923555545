"""In training, the candidates are the true labels of the whole batch; at prediction, all labels."""

import torch

from xmlkit import Shortlist, Shortlister, hookimpl, unique_ids


class BatchLabels(Shortlister):
    """Makes the shortlist; it has no loss of its own."""

    every_label = False
    loss_names = ()

    def __init__(self, inner, num_labels):
        super().__init__(inner)
        self.num_labels = num_labels

    def forward(self, vectors, documents, training):
        batch, device = len(vectors.rank_BD), vectors.rank_BD.device
        if training is None:
            ids_C = torch.arange(self.num_labels, device=device)
            real_C = torch.ones_like(ids_C, dtype=torch.bool)
        else:
            ids_C, slots_V = unique_ids(training.labels.values_V)
            real_C = torch.arange(len(ids_C), device=device) <= slots_V.max()
        ids_BC, mask_BC = ids_C.expand(batch, -1), real_C.expand(batch, -1)
        truth_BC = None if training is None else training.labels.contains(ids_BC) & mask_BC
        ones_BC = torch.ones_like(ids_BC, dtype=torch.float)
        return Shortlist(vectors.rank_BD, ids_BC, mask_BC, ones_BC, truth_BC)


@hookimpl(wrapper=True)
def shortlist(build):
    """In place of the inner shortlist."""
    inner = yield
    return BatchLabels(inner, build.num_labels)
