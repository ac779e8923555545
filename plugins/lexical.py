"""A bag of n-grams beside the encoder: what a linear model knows of a text, learnt with the rest.

A text's tokens, whole however short the encoder's window is, give its n-grams, each hashed into one of
`buckets` rows (the hashing trick: Weinberger et al., ICML 2009):

    w_Bt = (1 + log tf) idf, idf = log(N / df), by `weighting`; 0 for a term in fewer than `min_documents`
    s_BF = sum over terms t of w_Bt / |w_B| E[t]
    x_BF = scale s_BF / |s_BF|                              after fastText (Joulin et al., EACL 2017)

x stands beside the document vector, in both of its forms, so that shortlist and ranker see it. Frequencies
are those of the training texts. A text without any known term has x = 0.

Shapes: B documents, W tokens of all texts, G n-grams, P terms of the documents, U rows read, D document
width, F width of the bag, L buckets.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor, nn

from xmlkit import (
    BuildContext,
    LayerStates,
    RaggedTokens,
    Representation,
    RowTable,
    Vectors,
    hookimpl,
    unique_ids,
)

tiny_options = {"buckets": 2**10, "width": 16}

PRIME = 2**31 - 1
DOCUMENTS_AT_ONCE = 4096  # whose terms are counted in one go


class Options(BaseModel, extra="forbid"):
    """Settings."""

    orders: tuple[int, ...] = Field(default=(1, 2), description="lengths of the n-grams")
    buckets: int = Field(default=2**18, ge=2, le=2**26, description="rows that n-grams are hashed into")
    width: int = Field(default=256, ge=1, description="of the bag's part of the document vector")
    weighting: Literal["tf-idf", "idf", "tf", "none"] = Field(
        default="tf-idf", description="of a document's terms"
    )
    min_documents: int = Field(default=2, ge=1, description="training texts that a term must occur in")
    scale: float = Field(default=4.0, gt=0, description="length of the bag's vector")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="on the bag's vector")
    text_cap: int | None = Field(default=None, ge=1, description="tokens of a text that are read; none: all")
    learning_rate: float = Field(default=0.5, gt=0, description="of the rows, whose direction alone counts")


class Bag(Representation):
    """The inner vectors, each with the bag's beside it."""

    idf_L: Tensor

    def __init__(self, inner: Representation, build: BuildContext, options: Options):
        width = options.width
        super().__init__(inner, inner.recall_width + width, inner.rank_width + width)
        self.options = options
        self.register_buffer("idf_L", self._idf_L(build))
        self.rows = RowTable(options.buckets, width)
        self.rows.learning_rate, self.rows.weight_decay = options.learning_rate, 0.0
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, states: LayerStates) -> Vectors:
        """Wider by `width`."""
        x_BF = self.bag_BF(states.documents.text)
        vectors: Vectors = self.inner(states)

        def beside(x_BD: Tensor) -> Tensor:
            return torch.cat([x_BD, x_BF], 1)

        return vectors.map(beside, beside)

    def bag_BF(self, text: RaggedTokens) -> Tensor:
        """The bag's vector of each text."""
        documents_P, buckets_P, counts_P = self.terms_P(text)
        weight_P = self.idf_L[buckets_P] * (counts_P > 0)
        if "tf" in self.options.weighting:
            weight_P = weight_P * (1 + counts_P.clamp(min=1).log())
        batch = len(text.offsets) - 1
        ids_U, slots_P = unique_ids(buckets_P, self.options.buckets)
        weights_BU = weight_P.new_zeros(batch, len(ids_U))
        weights_BU.index_put_((documents_P, slots_P), weight_P, accumulate=True)
        sums_BF = self.rows.sums_BE(F.normalize(weights_BU, dim=1), ids_U)
        return self.dropout(self.options.scale * F.normalize(sums_BF, dim=1, eps=1e-6))

    def terms_P(self, text: RaggedTokens) -> tuple[Tensor, Tensor, Tensor]:
        """Each document's terms once: document, bucket and how often; 0 times where it fills up.

        Terms that are too rare share one bucket, whose weight is 0.
        """
        documents_G, buckets_G = self.grams_G(text)
        buckets_G = torch.where(self.idf_L[buckets_G] > 0, buckets_G, 0)
        return _counted(documents_G, buckets_G, self.options.buckets)

    def grams_G(self, text: RaggedTokens) -> tuple[Tensor, Tensor]:
        """Document and bucket of each n-gram; bucket 0 is that of none."""
        tokens_W, offsets = text.values_W, text.offsets
        rows = torch.arange(len(offsets) - 1, device=offsets.device)
        documents_W = rows.repeat_interleave(offsets.diff(), output_size=len(tokens_W))
        places_W = torch.arange(len(tokens_W), device=offsets.device)
        end_W = offsets[documents_W + 1]
        if self.options.text_cap:
            end_W = torch.minimum(end_W, offsets[documents_W] + self.options.text_cap)
        found = []
        for order in self.options.orders:
            hash_W = torch.full_like(tokens_W, order)
            for n in range(order):
                hash_W = (hash_W * 1_000_003 + tokens_W.roll(-n)) % PRIME
            bucket_W = 1 + (hash_W * 1_103_515_245 >> 7) % (self.options.buckets - 1)
            found.append(torch.where(places_W + order <= end_W, bucket_W, 0))
        return documents_W.repeat(len(found)), torch.cat(found)

    def _idf_L(self, build: BuildContext) -> Tensor:
        """log(N / df) of each bucket by the training texts, 0 for those of too few; for a saved model its
        shape alone."""
        text = build.train_text
        df_L = torch.zeros(self.options.buckets)
        if text is None:
            return df_L
        count = len(text.offsets) - 1
        for start in range(0, count, DOCUMENTS_AT_ONCE):
            offsets = text.offsets[start : start + DOCUMENTS_AT_ONCE + 1]
            part = RaggedTokens(text.values_W[offsets[0] : offsets[-1]], offsets - offsets[0])
            documents_G, buckets_G = self.grams_G(part)
            _, buckets_P, _ = _counted(documents_G, buckets_G, self.options.buckets)
            df_L += torch.bincount(buckets_P, minlength=len(df_L))
        rare_L = df_L < self.options.min_documents
        rare_L[0] = True
        if "idf" not in self.options.weighting:
            return (~rare_L).float()
        # A term of every text has the weight of a term of all but one, not 0.
        return (count / df_L.clamp(min=1, max=max(count - 1, 1))).log().masked_fill(rare_L, 0)


def _counted(documents_G: Tensor, buckets_G: Tensor, buckets: int) -> tuple[Tensor, Tensor, Tensor]:
    keys_P, slots_G = unique_ids(documents_G * buckets + buckets_G)
    counts_P = torch.zeros(len(keys_P), device=keys_P.device).index_add_(
        0, slots_G, torch.ones(len(slots_G), device=keys_P.device)
    )
    return keys_P // buckets, keys_P % buckets, counts_P


@hookimpl(wrapper=True)
def representation(build: BuildContext) -> Generator[None, Representation, Representation]:
    """Around whatever the representation is."""
    inner = yield
    return Bag(inner, build, build.options(Options))
