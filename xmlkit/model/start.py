"""Label rows and cluster rows that begin as what the encoder knows (`start=warm`).

B documents, D document width, R rows (labels or clusters), E row width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xmlkit.hooks import BuildContext
from xmlkit.model.projection import Projection
from xmlkit.passing import Start
from xmlkit.tables import RowTable

LEAST = 1e-6  # of a length that is divided by


class Centred(nn.Module):
    """Document vectors less the mean one, at length one: what is compared in `start=warm`."""

    centre_D: Tensor

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("centre_D", torch.zeros(width))

    def forward(self, x_BD: Tensor) -> Tensor:
        """See `centred`."""
        return centred(x_BD, self.centre_D)

    def length_B1(self, x_BD: Tensor) -> Tensor:
        """What is divided by."""
        return (x_BD - self.centre_D).norm(dim=1, keepdim=True).clamp(min=LEAST)


def centred(x_BD: Tensor, centre_D: Tensor) -> Tensor:
    """(x - centre) / |x - centre|."""
    return F.normalize(x_BD - centre_D, dim=1, eps=LEAST)


def centring(build: BuildContext, width: int) -> nn.Module:
    """Nothing where rows don't begin warm."""
    return Centred(width) if build.start == "warm" else nn.Identity()


def take_rows(start: Start, centre: nn.Module, project: nn.Module, rows: RowTable, biases: RowTable) -> None:
    """Sets all of them so that they score as the start does, as far as E dimensions hold its vectors."""
    assert isinstance(centre, Centred)
    centre.centre_D.copy_(start.centre_D)
    vectors = start.vectors_RD
    if isinstance(project, Projection):
        if project.out_features < project.in_features:
            project.weight.copy_(principal_ED(vectors, project.out_features))
        vectors = vectors @ project.weight.T
    rows.weight.copy_(vectors)
    biases.weight.copy_(start.bias_R[:, None])


def principal_ED(vectors_RD: Tensor, width: int) -> Tensor:
    """The orthonormal directions that hold most of these vectors' squared length (Eckart and Young, 1936)."""
    _, directions_DD = torch.linalg.eigh((vectors_RD.T @ vectors_RD).double())  # ascending
    return directions_DD[:, -width:].flip(1).T.to(vectors_RD.dtype)
