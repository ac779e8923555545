"""What is known of labels, or of clusters, before the first step, and how much each source of it counts.

Document vectors are centred and made as long as one, u = (x - centre) / |x - centre|; names likewise, about
their own mean. A row, be it a label's or a cluster's, begins as

    v = unit(share name + (1 - share) centroid)          centroid = unit(sum of the u of its documents)
    z = scale <u, v> + bias

after NGAME (Dahiya et al., WSDM 2023: rows from the embeddings of names) and PEFA (Chang et al., WSDM 2024:
mixed with those of documents). The three numbers minimise the loss of documents that are not in the sums.

B documents, D document width, R rows (labels or clusters), C candidates, V true pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import Parameter

from xmlkit.console import say
from xmlkit.model.start import centred
from xmlkit.passing import Start

ROUNDS = 40  # of the fit, at most
PULL = 1e-3
LARGEST = 6.0  # logarithm of a scale: of cosines four hundred tell no more than a few dozen


@dataclass
class Known:
    """What has been seen of R rows: their names, and the sums of their documents' vectors."""

    centre_D: Tensor
    names_RD: Tensor  # of length one, or zero where there is no name
    sums_RD: Tensor

    def unit_BD(self, x_BD: Tensor) -> Tensor:
        """As the rows will be compared with them."""
        return centred(x_BD, self.centre_D)

    @property
    def centroids_RD(self) -> Tensor:
        """Of length one, or zero where there is no document."""
        return F.normalize(self.sums_RD, dim=1, eps=1e-6)

    def add(self, x_BD: Tensor, rows_V: Tensor, documents_V: Tensor) -> None:
        """Adds documents to the rows that they belong to, pair by pair."""
        self.sums_RD.index_add_(0, rows_V, self.unit_BD(x_BD)[documents_V])


@dataclass(frozen=True)
class Scored:
    """Some documents: their cosines to names and to centroids, and what their scores cost."""

    name_BC: Tensor
    centroid_BC: Tensor
    rows: Tensor | slice  # what is scored: (B, C), or a run of rows along C
    cost: Callable[[Tensor], Tensor]  # of logits (B, C), over all documents


class Mix(nn.Module):
    """The three numbers, from about where titles and a small encoder have them."""

    def __init__(self) -> None:
        super().__init__()
        self.logit_share, self.log_scale = Parameter(torch.tensor(-0.8)), Parameter(torch.tensor(2.5))
        self.bias = Parameter(torch.tensor(-9.0))

    @property
    def share(self) -> Tensor:
        """Of the name, 0 to 1."""
        return self.logit_share.sigmoid()

    @property
    def scale(self) -> Tensor:
        """Of cosines."""
        return self.log_scale.exp()

    def mixed(self, name: Tensor, centroid: Tensor) -> Tensor:
        """Vectors, or their products, before they are made as long as one."""
        return self.share * name + (1 - self.share) * centroid

    @torch.no_grad()
    def start(self, known: Known) -> Start:
        """Rows as these numbers make them; in place, as there may be very many."""
        vectors_RD = known.centroids_RD.mul_(1 - self.share)
        vectors_RD += self.share * known.names_RD
        vectors_RD /= vectors_RD.norm(dim=1, keepdim=True).clamp_(min=1e-6)
        vectors_RD *= self.scale
        return Start(known.centre_D, vectors_RD, self.bias.detach().expand(len(vectors_RD)))


def fit(known: Known, centroids_RD: Tensor, documents: Sequence[Scored]) -> Mix:
    """The numbers at which these documents cost least, by L-BFGS; `known.centroids_RD` are at hand.

    Those that it began with where there is no least cost, as of a loss without a lower bound.
    """
    mix = Mix().to(known.sums_RD.device)
    parameters: list[Tensor] = list(mix.parameters())
    began = torch.stack(parameters).detach()
    optimizer = torch.optim.LBFGS(parameters, max_iter=ROUNDS, line_search_fn="strong_wolfe")
    count = sum(len(some.name_BC) for some in documents)
    # Squared lengths are 1, or 0 where there is no name or no document.
    name_R, centroid_R, both_R = (
        torch.einsum("rd,rd->r", one_RD, other_RD)
        for one_RD, other_RD in (
            (known.names_RD, known.names_RD),
            (centroids_RD, centroids_RD),
            (known.names_RD, centroids_RD),
        )
    )

    def closure() -> Tensor:
        # A trace of a pull to where they began: what a handful of documents says of a scale may be infinity.
        pull = PULL * torch.stack(parameters).sub(began).square().sum()
        whole, gradients = pull.detach(), torch.autograd.grad(pull, parameters)
        for some in documents:
            squares_R = mix.mixed(mix.mixed(name_R, both_R), mix.mixed(both_R, centroid_R))
            lengths_R = squares_R.clamp(min=1e-6).sqrt()
            cosine_BC = mix.mixed(some.name_BC, some.centroid_BC) / lengths_R[some.rows]
            cost = some.cost(mix.scale * cosine_BC + mix.bias) / count
            # Asked for these alone: what else a cost depends on is not to be moved by it.
            found = torch.autograd.grad(cost, parameters)
            whole, gradients = whole + cost.detach(), tuple(map(torch.add, gradients, found))
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        return whole

    with torch.enable_grad():
        optimizer.step(closure)
    if not (torch.stack(parameters).isfinite().all() and mix.log_scale <= LARGEST):
        say("start=warm: the loss has no least cost on what is known, so that rows begin at usual numbers")
        for parameter, number in zip(parameters, began, strict=True):
            parameter.data.copy_(number)
    return mix
