"""The model: an encoder, four doors, and the boundary that every loss is differentiated down to first.

B documents, D document width, C candidates, L labels, V true labels in the batch, k ranks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from xmlkit.config import Config
from xmlkit.discovery import BASE
from xmlkit.distributed import collectives, ranks
from xmlkit.distributed.part import own_part
from xmlkit.distributed.share import Share, own_rows
from xmlkit.doors import Head, LossCombiner, Part, Shortlister
from xmlkit.errors import Incompatible, UserError
from xmlkit.hooks import DOORS, BuildContext
from xmlkit.model.encoder import Encoder
from xmlkit.model.head import for_prediction, runs_of_labels
from xmlkit.model.in_runs import LossInRuns, cost_of_labels
from xmlkit.model.parts import RANKER, Known, Parts, build_context, build_parts, chain, loss_names
from xmlkit.model.vectoriser import Vectoriser
from xmlkit.passing import Documents, RaggedLabels, Shortlist, Training, Vectors
from xmlkit.plugins import Active
from xmlkit.search import best_of_runs
from xmlkit.tables import shares_of

CANDIDATES_AT_ONCE = 131_072  # whose label rows are gathered at prediction


@dataclass(frozen=True)
class Output:
    """The losses of a micro-batch, means over its documents, and the two ends of the boundary."""

    losses: dict[str, Tensor]
    whole_BD: Tensor  # the representation's end
    leaf_BD: Tensor  # the doors' end


class Model(Vectoriser):
    """Texts to ranked labels."""

    shortlister: Shortlister
    head: Head
    combiner: LossCombiner

    def __init__(
        self,
        encoder: Encoder,
        build: BuildContext,
        active: Active,
        seed: int,
    ):
        representation, shortlister, head, combiner = build_parts(build, active, seed)
        super().__init__(encoder, representation)
        self.shortlister, self.head, self.combiner = shortlister, head, combiner
        self.num_labels, self.reduction = build.num_labels, build.reduction
        self.in_runs = _in_runs(self)

    @property
    def parts(self) -> Parts:
        """What stands at the four doors."""
        return Parts(self.representation, self.shortlister, self.head, self.combiner)

    def forward(self, documents: Documents, training: Training) -> Output:
        """The losses of a micro-batch."""
        vectors, leaf_BD, whole_BD = cut(self.vectors(documents, training))
        self.head.take_batch(training)
        return Output(self._losses(vectors, documents, training), whole_BD, leaf_BD)

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Those of the shortlist, the ranker's, and those of the combiner."""
        return (*loss_names(self.shortlister), *self.combiner.loss_names)

    def _losses(self, vectors: Vectors, documents: Documents, training: Training) -> dict[str, Tensor]:
        rank_BD = vectors.rank_BD
        training = replace(training, cluster_cost=self.combiner.cluster_cost)
        short = None if self.shortlister.every_label else self.shortlister(vectors, documents, training)
        if short is not None:
            rank_BD = short.rank_BD
        if not training.labelled:
            losses = dict.fromkeys((*loss_names(self.shortlister), RANKER), 0 * rank_BD.sum())
        elif short is None:
            losses = {RANKER: self._loss_of_every_label(vectors, training)}
        else:
            z_BC = self.head.scores_BC(rank_BD, short.ids_BC, self.num_labels)
            losses = {**short.losses, RANKER: self.cost_B(z_BC, short, training.labels).mean()}
        if not self.combiner.loss_names:
            return losses

        def scores_BX(ids_BX: Tensor) -> Tensor:
            return self.head.scores_BC(rank_BD, ids_BX, self.num_labels)

        return {**losses, **self.combiner.own_losses(scores_BX, training)}

    def cost_B(self, z_BC: Tensor, short: Shortlist, labels: RaggedLabels) -> Tensor:
        """What each document's candidates cost: their sum or mean, as `reduction` says.

        A label with the target t costs t `when_true` + (1 - t) `when_false`.
        """
        assert short.truth_BC is not None
        if maker := self.combiner.cost_maker:
            targets_BC = labels.targets(short.ids_BC) * short.truth_BC
            return maker.cost_B(z_BC, targets_BC.to(z_BC), short.mask_BC, short.ids_BC)
        true_BC = self.combiner.when_true(z_BC, short.ids_BC)
        false_BC = self.combiner.when_false(z_BC, short.ids_BC)
        if labels.targets_V is None:
            cost_BC = torch.where(short.truth_BC, true_BC, false_BC)
        else:
            cost_BC = torch.lerp(false_BC, true_BC, labels.targets(short.ids_BC) * short.truth_BC)
        cost_B = (cost_BC * short.mask_BC).sum(1)
        return cost_B / short.mask_BC.sum(1) if self.reduction == "mean" else cost_B

    def _loss_of_every_label(self, vectors: Vectors, training: Training) -> Tensor:
        query_BE, documents = self.head.query_BE(vectors.rank_BD), len(vectors.rank_BD)
        share = None if self.combiner.cost_maker else self.head.share
        if self.in_runs:
            cost = self.in_runs(query_BE, training.labels)
        elif share is not None:  # labels of which this rank has the rows
            with own_rows(share):
                z_BU = self.head.of_query_BU(query_BE, share.run)
                cost = cost_of_labels(self.combiner, z_BU, training.labels, share.run)
        else:
            z_BL = self.head.of_query_BU(query_BE, slice(0, self.num_labels))
            cost = self.cost_of_every_label(z_BL, training.labels)
        if share is not None:
            cost = collectives.summed(cost, is_last=True)
        sums = self.reduction == "sum" or self.combiner.cost_maker
        return cost / (documents if sums else documents * self.num_labels)

    def cost_of_every_label(self, z_BL: Tensor, labels: RaggedLabels) -> Tensor:
        """Of all documents (0-d). A truth (B, L) is there only for a part that costs whole documents."""
        every = slice(0, self.num_labels)
        if maker := self.combiner.cost_maker:
            truth_BL, all_BL = torch.zeros_like(z_BL), torch.ones_like(z_BL[:1, :1], dtype=torch.bool)
            targets_V = torch.ones_like(labels.values_V) if labels.targets_V is None else labels.targets_V
            truth_BL[labels.documents_V, labels.values_V] = targets_V.to(z_BL)
            return maker.cost_B(z_BL, truth_BL, all_BL.expand_as(z_BL), every).sum()
        return cost_of_labels(self.combiner, z_BL, labels, every)

    def backward(self, output: Output, share: float = 1.0) -> Tensor:
        """Each loss down to the boundary, then once through the encoder; returns the losses' weighed sum.

        `share` is the micro-batch's share of the step's documents. On each rank weights get a part of their
        gradient.
        """
        losses = {name: loss * share for name, loss in self.combiner(output.losses).items()}
        grads: dict[str, Tensor] = {}
        for i, (name, loss) in enumerate(losses.items()):
            if not loss.requires_grad:
                raise UserError(f"the loss {name!r} depends on nothing that learns: does a plugin detach it?")
            # Parts above the boundary may share graph between the losses.
            collectives.counted_once(loss).backward(retain_graph=i + 1 < len(losses))
            if output.leaf_BD.grad is not None:
                grads[name], output.leaf_BD.grad = collectives.summed_in_place(output.leaf_BD.grad), None
        if grads:  # a head may do without the vectors
            upstream_BD = self.combiner.upstream_BD(grads)
            if output.whole_BD.requires_grad:  # what makes them may stay as it is
                output.whole_BD.backward(upstream_BD)
        return torch.stack([loss.detach() for loss in losses.values()]).sum()

    def report(self) -> dict[str, Tensor]:
        """What the parts have to say about the last step."""
        found = {name: value for part in self.parts for name, value in part.report().items()}
        if self.is_split:  # below the boundary each rank has seen documents of its own
            own = self.representation.report()
            found |= {name: collectives.summed_in_place(value / ranks.count()) for name, value in own.items()}
        return found

    @torch.no_grad()
    def shortlist(self, documents: Documents) -> Shortlist:
        """The candidates of documents whose labels are not known, where not every label is scored."""
        return self.shortlister(self.vectors(documents), documents, None)

    def head_for_prediction(self) -> Head:
        """The head for `rank`, with label vectors computed once, as long as no weight changes."""
        return for_prediction(self.head, self.num_labels)

    @torch.no_grad()
    def rank(
        self, documents: Documents, k: int, head: Head | None = None, allowed_L: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Scores in 0..1 and label ids, best first, both (B, min(k, L)) or narrower.

        Where a shortlist holds fewer than k candidates the id is -1 and the score 0. `head` is what
        `head_for_prediction` gave, where many documents are ranked. `allowed_L` (bool) says which labels may
        be there: of a shortlist those that it holds.
        """
        score_Bk, ids_Bk = self.rank_vectors(self.vectors(documents), documents, k, head, allowed_L)
        return score_Bk.float(), ids_Bk

    @torch.no_grad()
    def rank_vectors(
        self,
        vectors: Vectors,
        documents: Documents,
        k: int,
        head: Head | None = None,
        allowed_L: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The same for documents whose vectors are known; scores are in float64, which parts those near 1."""
        head = head or self.head
        head.take_batch(None)
        if self.shortlister.every_label:
            z_Bk, ids_Bk = self._best_of_every_label(vectors.rank_BD, k, head, allowed_L)
            voted = self.shortlister(vectors, documents, None) if self.shortlister.adds_votes else None
            if voted is not None:
                z_Bk, ids_Bk = self._with_votes(z_Bk, ids_Bk, _only(voted, allowed_L), head)
            if allowed_L is not None:
                ids_Bk = ids_Bk.masked_fill(z_Bk == -torch.inf, -1)
            return z_Bk.double().sigmoid(), ids_Bk
        short = _only(self.shortlister(vectors, documents, None), allowed_L)
        z_BC = self.logits_BC(short.rank_BD, short.ids_BC, head)
        if short.votes_BC is not None:
            z_BC = (z_BC + short.votes_BC).double()  # many votes make scores that float32 has no room to part
        score_BC = (z_BC.sigmoid() * short.prior_BC).masked_fill(~short.mask_BC, -1.0)
        score_Bk, at_Bk = score_BC.topk(min(k, score_BC.shape[1]), 1)
        score_Bk, ids_Bk = score_Bk.double(), short.ids_BC.gather(1, at_Bk)
        return score_Bk.clamp(min=0.0), ids_Bk.masked_fill(score_Bk < 0, -1)

    @torch.no_grad()
    def above_one(self, documents: Documents) -> UserError:
        """What to raise where a score of these documents was above 1: who made it so."""
        vectors = self.vectors(documents)
        for part in chain(self.shortlister):
            short = part(vectors, documents, None)
            if short is not None and (short.prior_BC > 1).any():
                return UserError(
                    f"plugin {part.owner!r}, shortlist: {type(part).__name__} has a prior above 1, and so "
                    "scores above 1: at prediction a prior lies in 0 to 1"
                )
        raise AssertionError("a sigmoid times what is at most 1 is at most 1")

    @torch.no_grad()
    def logits_BC(self, rank_BD: Tensor, ids_BC: Tensor, head: Head | None = None) -> Tensor:
        """Logits of candidates at prediction, without votes, few documents at a time."""
        head, few = head or self.head, max(CANDIDATES_AT_ONCE // ids_BC.shape[1], 1)
        parts = zip(rank_BD.split(few), ids_BC.split(few), strict=True)
        return torch.cat([head.scores_BC(rank, ids, self.num_labels) for rank, ids in parts])

    def _with_votes(
        self, z_Bk: Tensor, ids_Bk: Tensor, short: Shortlist, head: Head
    ) -> tuple[Tensor, Tensor]:
        """The best k of all labels once votes are added.

        Votes are not negative: what has none and is not among the best k without votes is not among them now.
        """
        assert short.votes_BC is not None
        z_BC = self.logits_BC(short.rank_BD, short.ids_BC, head)
        z_BC = (z_BC + short.votes_BC).masked_fill(~short.mask_BC, -torch.inf)
        sorted_BC = short.ids_BC.masked_fill(~short.mask_BC, self.num_labels).sort(1).values
        at_Bk = torch.searchsorted(sorted_BC, ids_Bk).clamp(max=sorted_BC.shape[1] - 1)
        is_there_Bk = sorted_BC.gather(1, at_Bk) == ids_Bk
        z, ids = (
            torch.cat([z_Bk.masked_fill(is_there_Bk, -torch.inf), z_BC], 1),
            torch.cat([ids_Bk, short.ids_BC], 1),
        )
        z_Bk, at_Bk = z.topk(ids_Bk.shape[1], 1)
        return z_Bk, ids.gather(1, at_Bk)

    def _best_of_every_label(
        self, rank_BD: Tensor, k: int, head: Head, allowed_L: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Logits and ids of the best k so far, label by label in runs: never all scores at once.

        The logit of what is not allowed is -inf.
        """
        if head.share is not None:
            return self._best_of_all_ranks(rank_BD, k, head, head.share, allowed_L)
        return self._best_in_runs(rank_BD, k, head, slice(0, self.num_labels), allowed_L)

    def _best_in_runs(
        self, rank_BD: Tensor, k: int, head: Head, every: slice, allowed_L: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        def scores_BU(run: slice) -> Tensor:
            z_BU = head.scores_BU(rank_BD, run)
            return z_BU if allowed_L is None else z_BU.masked_fill(~allowed_L[run], -torch.inf)

        runs = runs_of_labels(every.stop, begin=every.start)
        return best_of_runs(((run.start, scores_BU(run)) for run in runs), k, rank_BD)

    def _best_of_all_ranks(
        self, rank_BD: Tensor, k: int, head: Head, share: Share, allowed_L: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Each rank's best of its labels, and the best of these: B x k numbers from each."""
        with own_rows(share):
            own = self._best_in_runs(rank_BD, k, head, share.run, allowed_L)
        widths = [min(k, size) for size in share.sizes]
        z_Bk, ids_Bk = (collectives.gathered(part.T.contiguous(), widths).T for part in own)
        z_Bk, at_Bk = z_Bk.topk(min(k, z_Bk.shape[1]), 1)
        return z_Bk, ids_Bk.gather(1, at_Bk)

    # ------------------------------------------------------------------------------------ names in files

    def weights(self) -> dict[str, Tensor]:
        """Parameters and buffers as a file holds them: `encoder/...`, or door / plugin / name.

        Of a model that is split over ranks all must ask, and the first gets them.
        """
        return {stored.name: stored.whole() for stored in self._stored()}

    def load_weights(self, saved: Mapping[str, Tensor], added: int = 0) -> None:
        """The reverse; `sized` buffers become the saved tensors themselves, which may lie in a mapped file.

        Of a model that lacks the last `added` labels: what has a row a label keeps its rows of these. Raises
        UserError where the names or shapes are not this model's.
        """
        own = {stored.name for stored in self._stored()}
        missing, surplus = sorted(own - saved.keys()), sorted(saved.keys() - own)
        if missing or surplus:
            parts = [f"lacks {missing[0]!r}"] if missing else []
            parts += [f"has {surplus[0]!r}, which this model lacks"] if surplus else []
            raise UserError(f"the weights do not fit: the file {' and '.join(parts)}")
        with torch.no_grad():
            for stored in list(self._stored()):
                stored.take(saved[stored.name], self.num_labels, added)

    def labels_added(self, count: int) -> None:
        """Tells each part that the last `count` labels are new."""
        for outermost in self.parts:
            outermost.labels_added(count)

    def adopt_weights(self, saved: Mapping[str, Tensor]) -> None:
        """Takes another run's weights for a start.

        A plugin's parts may be new, and the base's may have given way to a plugin's; all else must fit, or
        it raises UserError. What this run has counted stays.
        """
        own = self.weights()
        new = {name: own[name] for name in own.keys() - saved.keys() if not _is_of_base(name)}
        kept = {name: saved[name] for name in saved if name in own or not _is_of_base(name)}
        counted = {stored.name: stored.tensor for stored in self._stored() if stored.is_counted}
        self.load_weights(new | kept | counted)

    def between_steps(self) -> dict[str, Tensor]:
        """What parts remember from step to step that is no weight: their own tensors."""
        return {key: part.get_buffer(name) for key, part, name in self._remembered()}

    def take_between_steps(self, saved: Mapping[str, Tensor]) -> None:
        """The reverse; they may have grown. Raises UserError where one is missing."""
        for key, part, name in self._remembered():
            if key not in saved:
                raise UserError(
                    f"plugin {part.owner!r}, {part.door}: the checkpoint lacks {name!r}; it was written with "
                    "another version of the plugin: go on with that one"
                )
            setattr(part, name, saved[key].to(part.get_buffer(name).device))

    def _remembered(self) -> Iterator[tuple[str, Part, str]]:
        for outermost in self.parts:
            for number, part in enumerate(chain(outermost)):
                for name in part.in_checkpoints:
                    yield f"{part.door}/{number}/{name}", part, name

    def _stored(self) -> Iterator[_Stored]:
        shares = shares_of(self)
        for name, tensor in self.encoder.backbone.state_dict(keep_vars=True).items():
            yield _Stored(f"encoder/{name}", tensor, None, name, shares.get(tensor))
        for door, outermost in zip(DOORS, self.parts, strict=True):
            for name, tensor in outermost.state_dict(keep_vars=True).items():
                tag, nested, part = outermost.plugin, "", outermost
                # A leading run of `inner.` is nesting; the plugin of the part where it ends owns the name.
                while name.startswith("inner.") and isinstance(part.inner, Part):
                    part, name = part.inner, name.removeprefix("inner.")
                    tag, nested = (part.plugin, "") if part.plugin else (tag, nested + "inner.")
                yield _Stored(f"{door}/{tag}/{nested}{name}", tensor, part, name, shares.get(tensor))


@dataclass(frozen=True)
class _Stored:
    """A parameter or buffer as a file holds it."""

    name: str  # in the file
    tensor: Tensor
    part: Part | None  # the one that has it; None: the encoder
    own_name: str  # what it is called there
    share: Share | None  # what this rank has of its rows; None: all

    def whole(self) -> Tensor:
        """All of it."""
        own = own_part(self.tensor.detach())
        return own if self.share is None else collectives.gathered_by_first(own, self.share)

    @property
    def is_counted(self) -> bool:
        """Whether its contents come from a run's own corpus."""
        return self.part is not None and self.own_name in (*self.part.counted, *self.part.sized)

    def take(self, saved: Tensor, num_labels: int, added: int) -> None:
        """Becomes what was saved, but for its rows of the last `added` labels.

        Raises UserError where that does not fit.
        """
        if self.part is not None and self.own_name in self.part.sized:
            if saved.dtype != self.tensor.dtype:
                kinds = f"{saved.dtype}, expected {self.tensor.dtype}"
                raise UserError(f"the weights do not fit: {self.name!r} is of {kinds}")
            setattr(self.part, self.own_name, saved.to(self.tensor.device))  # no copy on the host
            return
        own = own_part(self.tensor.detach())
        if self.share is not None and len(saved) == self.share.total:
            saved = saved[self.share.run]
        if added and (own.shape[:1], saved.shape[:1]) == ((num_labels,), (num_labels - added,)):
            own = own[:-added]
        if saved.shape != own.shape:
            expected = own.shape if self.share is None else (self.share.total, *own.shape[1:])
            shapes = f"{tuple(saved.shape)}, expected {tuple(expected)}"
            raise UserError(f"the weights do not fit: {self.name!r} is {shapes}")
        if saved.is_floating_point() != own.is_floating_point():
            kinds = f"{saved.dtype}, expected {own.dtype}"
            raise UserError(f"the weights do not fit: {self.name!r} is of {kinds}")
        own.copy_(saved)


def _is_of_base(saved_name: str) -> bool:
    door, plugin, *_ = saved_name.split("/")
    return door == "encoder" or plugin == BASE


def _in_runs(model: Model) -> LossInRuns | None:
    """Where its shortlist asks for that. Raises UserError where a part needs all scores of a document."""
    shortlister, at_once = model.shortlister, model.shortlister.labels_at_once
    if not (shortlister.every_label and at_once):
        return None
    if maker := model.combiner.cost_maker:
        asks = next(part.owner for part in chain(shortlister) if part.labels_at_once)  # type: ignore[attr-defined]
        raise Incompatible(
            f"plugin {maker.owner!r}, loss: it costs whole documents, but {asks!r} has no more than "
            f"{at_once:,} labels' scores at a time: leave one of them out"
        )
    return LossInRuns(model.head, model.combiner, model.num_labels, at_once)


def _only(short: Shortlist, allowed_L: Tensor | None) -> Shortlist:
    """Without the candidates that are not allowed."""
    return short if allowed_L is None else replace(short, mask_BC=short.mask_BC & allowed_L[short.ids_BC])


def cut(vectors: Vectors) -> tuple[Vectors, Tensor, Tensor]:
    """The vectors behind one leaf; the leaf; and what the leaf's gradient goes to."""
    if vectors.recall_BD is vectors.rank_BD:
        leaf_BD = vectors.rank_BD.detach().requires_grad_()
        return Vectors(leaf_BD, leaf_BD), leaf_BD, vectors.rank_BD
    whole_BD = torch.cat([vectors.recall_BD, vectors.rank_BD], 1)
    leaf_BD = whole_BD.detach().requires_grad_()
    widths = [vectors.recall_BD.shape[1], vectors.rank_BD.shape[1]]
    return Vectors(*leaf_BD.split(widths, 1)), leaf_BD, whole_BD


def new_model(encoder: Encoder, num_labels: int, active: Active, config: Config, known: Known) -> Model:
    """A model as the settings have it, of the encoder and what the hooks may know."""
    sizes = (encoder.num_layers, encoder.hidden, num_labels)
    build = build_context(config, active, *sizes, known, encode=encoder.states)
    return Model(encoder, build, active, config.seed)
