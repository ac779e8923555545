"""A bag of n-grams beside the encoder: what a linear model knows of a text, learnt with the rest.

A text's terms are the n-grams of its tokens, all of them however short the encoder's window is, and those of
characters within each token (Bojanowski et al., TACL 2017), a space before what begins a word. Each is hashed
into one of `buckets` rows (the hashing trick: Weinberger et al., ICML 2009):

    w_Bt = (1 + log tf) idf, idf = log(N / df), by `weighting`; 0 for a term in fewer than `min_documents`
    s_BF = sum over terms t of w_Bt / |w_B| E[t]
    x_BF = scale s_BF / |s_BF|                              after fastText (Joulin et al., EACL 2017)

x stands beside the document vector, in both of its forms, so that shortlist and ranker see it. Frequencies
are those of the training texts. A text without any known term has x = 0.

A label's logit is linear in x, and so a sum over terms: g being what x is multiplied with, term t adds
scale w_Bt / (|w_B| |s_BF|) <E[t], g>, in equal parts at each place where it occurs.

Shapes: B documents, W tokens of all texts, T unique ones, V tokens of the vocabulary, P pieces of a token,
G n-grams of tokens, Q all terms, U unique ones, D document width, F width of the bag, L buckets, O labels
that are asked about.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zlib import crc32

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, BeforeValidator, Field, model_validator
from torch import Tensor, nn

from xmlkit import (
    BuildContext,
    Contributions,
    LayerStates,
    RaggedTokens,
    Representation,
    RowTable,
    UserError,
    Vectors,
    hookimpl,
    unique_ids,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

tiny_options = {"buckets": 2**10, "width": 16}

PRIME = 2**31 - 1
MOST_PIECES = 32  # n-grams of characters of one token; the longest tokens have more
DOCUMENTS_AT_ONCE = 4096  # whose terms are counted in one go
SHORTEST = 1e-6  # of a sum's length that is divided by


def _as_list(given: Any) -> Any:
    """`orders=1` is a list of one, and `characters=none` an empty one."""
    if isinstance(given, str):
        raise ValueError("expected whole numbers, as in [1,2], or none")
    return [] if given is None else [given] if isinstance(given, int) else given


Lengths = Annotated[tuple[Annotated[int, Field(ge=1, le=16)], ...], BeforeValidator(_as_list)]


class Options(BaseModel, extra="forbid", allow_inf_nan=False):
    """Settings."""

    orders: Lengths = Field(default=(1, 2), description="lengths of the n-grams of tokens")
    characters: Lengths = Field(
        default=(3, 5), description="lengths of the n-grams of characters, within a token"
    )
    buckets: int = Field(default=2**18, ge=2, le=2**26, description="rows that n-grams are hashed into")
    width: int = Field(default=256, ge=1, description="of the bag's part of the document vector")
    weighting: Literal["tf-idf", "idf", "tf", "binary"] = Field(
        default="tf-idf", description="of a document's terms"
    )
    min_documents: int = Field(default=2, ge=1, description="training texts that a term must occur in")
    scale: float = Field(default=4.0, gt=0, description="length of the bag's vector")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="on the bag's vector")
    text_cap: int | None = Field(default=None, ge=1, description="tokens of a text that are read; none: all")
    learning_rate: float = Field(default=0.5, gt=0, description="of the rows, whose direction alone counts")

    @model_validator(mode="after")
    def _some(self) -> Options:
        if not self.orders and not self.characters:
            raise ValueError("orders and characters are both empty: there is nothing to count")
        return self


class Bag(Representation):
    """The inner vectors, each with the bag's beside it."""

    reads_states = False
    counted = ("idf_L",)
    idf_L: Tensor
    pieces_VP: Tensor

    def __init__(self, inner: Representation, build: BuildContext, options: Options):
        width = options.width
        super().__init__(inner, inner.recall_width + width, inner.rank_width + width)
        self.options = options
        self.register_buffer("pieces_VP", _pieces_VP(build.vocabulary, options), persistent=False)
        self.register_buffer("idf_L", self._idf_L(build.train_text))
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
        ids_U, weights_UB = self.weights(text)
        sums_BF = self.rows.sums_BE(F.normalize(weights_UB, dim=0).T, ids_U)
        return self.dropout(self.options.scale * F.normalize(sums_BF, dim=1, eps=SHORTEST))

    def contributions(self, states: LayerStates, directions_OD: Tensor) -> Contributions | None:
        """Of each n-gram of tokens, and of each token by the characters in it, beside what the inner says."""
        text, width = states.documents.text, self.options.width
        ids_U, weights_U1 = self.weights(text)
        known_U = weights_U1[:, 0] > 0
        ids_U, shares_U = ids_U[known_U], F.normalize(weights_U1[known_U, 0], dim=0)
        length = self.rows.sums_BE(shares_U[None], ids_U).norm().clamp(min=SHORTEST)
        products_UO = self.rows(ids_U) @ directions_OD[:, -width:].T
        adds_UO = self.options.scale / length * shares_U[:, None] * products_UO

        _, read_W, buckets_G = self.grams(text)
        pieces_WP = self.pieces_VP[text.values_W].long() * read_W[:, None]
        of_orders = buckets_G.view(len(self.options.orders), len(read_W), 1)
        places_W = torch.arange(len(read_W), device=read_W.device)
        spans, slots = [], []  # behind all terms that are known there is a slot for the others
        for order, buckets_WX in [(1, pieces_WP), *zip(self.options.orders, of_orders)]:
            slots_WX = torch.searchsorted(ids_U, buckets_WX.contiguous())
            is_known_WX = F.pad(ids_U, (0, 1), value=-1)[slots_WX] == buckets_WX
            some_W = is_known_WX.any(1)
            slots.append(torch.where(is_known_WX, slots_WX, len(ids_U))[some_W])
            spans.append(torch.stack([places_W, places_W + order], 1)[some_W])
        counts_U = torch.bincount(torch.cat([some.flatten() for some in slots]), minlength=len(ids_U) + 1)
        each_UO = F.pad(adds_UO / counts_U[:-1, None], (0, 0, 0, 1))
        found = [Contributions(*pair) for pair in zip(spans, (each_UO[some].sum(1) for some in slots))]
        inner = self.inner.contributions(states, directions_OD[:, :-width])
        return Contributions.joined(found if inner is None else [*found, inner])

    def weights(self, text: RaggedTokens) -> tuple[Tensor, Tensor]:
        """Buckets of the known terms, and how much each weighs in each document: (U,) and (U, B).

        All that are not known share bucket 0, which weighs nothing.
        """
        documents_W, read_W, buckets_G = self.grams(text)
        ids_T, slots_W = unique_ids(text.values_W, len(self.pieces_VP))
        pieces_TP = self.pieces_VP[ids_T].long()
        buckets_Q = torch.cat([buckets_G, pieces_TP.flatten()])
        known_Q = torch.where(self.idf_L[buckets_Q] > 0, buckets_Q, 0)
        ids_U, slots_Q = unique_ids(known_Q, self.options.buckets)

        batch = len(text.offsets) - 1
        counts_TB = self.idf_L.new_zeros(len(ids_T), batch)
        counts_TB.index_put_((slots_W, documents_W), read_W.to(counts_TB), accumulate=True)
        counts_UB = self.idf_L.new_zeros(len(ids_U), batch)
        documents_G = documents_W.repeat(len(self.options.orders))
        one = counts_UB.new_ones(())
        counts_UB.index_put_((slots_Q[: len(buckets_G)], documents_G), one, accumulate=True)
        for slots_T in slots_Q[len(buckets_G) :].view(pieces_TP.shape).T:
            counts_UB.index_add_(0, slots_T, counts_TB)

        weights_UB = self.idf_L[ids_U][:, None] * (counts_UB > 0)
        if "tf" in self.options.weighting:  # in place, as there are many; the logarithm of 0 is slow
            weights_UB.mul_(counts_UB.clamp_(min=1).log_().add_(1))
        return ids_U, weights_UB

    def grams(self, text: RaggedTokens) -> tuple[Tensor, Tensor, Tensor]:
        """Each token's document, whether it is read, and the buckets of the n-grams that begin at it, order
        by order; 0 is that of none."""
        tokens_W, offsets = text.values_W, text.offsets
        rows = torch.arange(len(offsets) - 1, device=offsets.device)
        documents_W = rows.repeat_interleave(offsets.diff(), output_size=len(tokens_W))
        places_W = torch.arange(len(tokens_W), device=offsets.device)
        end_W = offsets[documents_W + 1]
        if self.options.text_cap:
            end_W = torch.minimum(end_W, offsets[documents_W] + self.options.text_cap)
        found = [tokens_W[:0]]
        for order in self.options.orders:
            hash_W = torch.full_like(tokens_W, order)
            for n in range(order):
                hash_W = (hash_W * 1_000_003 + tokens_W.roll(-n)) % PRIME
            bucket_W = 1 + (hash_W * 1_103_515_245 >> 7) % (self.options.buckets - 1)
            found.append(torch.where(places_W + order <= end_W, bucket_W, 0))
        return documents_W, places_W < end_W, torch.cat(found)

    def _idf_L(self, text: RaggedTokens | None) -> Tensor:
        """log(N / df) of each bucket by the training texts, 0 for those of too few; for a saved model its
        shape alone."""
        if text is None:
            return torch.zeros(self.options.buckets)
        count, least = len(text.offsets) - 1, self.options.min_documents
        df_L = self._document_frequencies(text)
        rare_L = df_L < least
        rare_L[0] = True
        if rare_L.all():
            raise UserError(
                f"lexical.min_documents={least}: no term is in so many of the {count:,} training texts; "
                "lower it, or choose other orders and characters"
            )
        if "idf" not in self.options.weighting:
            return (~rare_L).float()
        # A term of every text has the weight of a term of all but one, not 0; of a single text, as if of two.
        return (max(count, 2) / df_L.clamp(min=1, max=max(count - 1, 1))).log().masked_fill(rare_L, 0)

    def _document_frequencies(self, text: RaggedTokens) -> Tensor:
        """In how many texts each bucket occurs (L,); what is in bucket 0 does not count."""
        vocabulary, most = self.pieces_VP.shape
        tokens = np.repeat(np.arange(vocabulary), most)
        pieces_VL = _counts(tokens, self.pieces_VP.flatten().numpy(), vocabulary, self.options.buckets)
        df_L = np.zeros(self.options.buckets)
        for start in range(0, len(text.offsets) - 1, DOCUMENTS_AT_ONCE):
            offsets = text.offsets[start : start + DOCUMENTS_AT_ONCE + 1]
            part = RaggedTokens(text.values_W[offsets[0] : offsets[-1]], offsets - offsets[0])
            documents_W, read_W, buckets_G = (found.numpy() for found in self.grams(part))
            read = documents_W[read_W], part.values_W.numpy()[read_W]
            documents_G = np.tile(documents_W, len(self.options.orders))
            batch = len(offsets) - 1
            terms_BL = _counts(*read, batch, vocabulary) @ pieces_VL
            terms_BL += _counts(documents_G, buckets_G, batch, self.options.buckets)
            df_L += np.bincount(terms_BL.indices, minlength=len(df_L))
        return torch.from_numpy(df_L).float()


def _counts(rows: np.ndarray, columns: np.ndarray, height: int, width: int) -> csr_matrix:
    """How often each pair occurs, as a matrix."""
    from scipy.sparse import csr_matrix  # slow to import, and whoever only predicts never comes here

    return csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), (height, width))


def _pieces_VP(vocabulary: tuple[str, ...], options: Options) -> Tensor:
    """The buckets of each token's n-grams of characters, the first ones in it; filled up with 0."""
    lengths = options.characters
    grams = [
        [token[i : i + n] for i in range(len(token)) for n in lengths if i + n <= len(token)][:MOST_PIECES]
        for token in vocabulary
    ]
    counts_V = np.array([len(some) for some in grams], np.int64)
    hashes = np.fromiter((crc32(gram.encode()) for some in grams for gram in some), np.int64)
    pieces_VP = np.zeros((len(grams), counts_V.max(initial=0)), np.int32)
    pieces_VP[np.arange(pieces_VP.shape[1]) < counts_V[:, None]] = 1 + hashes % (options.buckets - 1)
    return torch.from_numpy(pieces_VP)


@hookimpl(wrapper=True)
def representation(build: BuildContext) -> Generator[None, Representation, Representation]:
    """Around whatever the representation is."""
    inner = yield
    return Bag(inner, build, build.options(Options))
