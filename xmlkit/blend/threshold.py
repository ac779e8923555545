"""Where the rankings of a run or ensemble are best cut, fitted on held-out documents and kept in its folder.

A run has not learnt from these, but by them its best weights, and what a plugin fits, were chosen; the
weights of an ensemble were fitted on them, a few numbers for thousands of documents. So figures here are a
little too good. The file says which weights it belongs to.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xmlkit.blend.folder import DESCRIPTION
from xmlkit.data.corpus import Split
from xmlkit.errors import UserError
from xmlkit.files import digests
from xmlkit.inference.predict import Predictor
from xmlkit.measures.assigned import Assigned
from xmlkit.measures.cut import DEEPEST, FITTED_FOR, Cut, best_cut
from xmlkit.model.folder import WEIGHTS, check_is_run, is_ensemble, write_json
from xmlkit.model.tensor_file import load_digest

FILE = "threshold.json"


class Fitted(BaseModel):
    """A cut, what it is the best for, and what it reached there."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    measure: str
    percent: float
    threshold: float = Field(ge=0, le=1)
    limit: int = Field(ge=1)
    labels_each: float  # that a document is assigned, on average
    documents: int  # held-out ones
    weights: str  # digest of what it belongs to

    @property
    def cut(self) -> Cut:
        """As rankings are cut."""
        return Cut(self.threshold, self.limit)


def fit(folder: Path, model: Predictor, held_out: Split) -> list[Fitted]:
    """The best cut for each measure. Raises UserError where no held-out document has a label to be found."""
    found = model.ranking(held_out, min(DEEPEST, len(model.labels)))
    if not (found.truth.values < len(model.labels)).any():
        raise UserError("the held-out documents have no labels: there is nothing to fit to")
    weights, ranked = _weights(folder), (found.scores_NK, found.ids_NK)
    fitted = []
    for measure in FITTED_FOR:
        cut = best_cut(*ranked, found.truth, len(model.labels), measure)
        reached = Assigned(found.ids_NK, cut.assigned_NK(*ranked), found.truth, len(model.labels))
        fitted.append(
            Fitted(
                measure=measure,
                percent=reached.measures[measure],
                threshold=cut.threshold,
                limit=cut.limit,
                labels_each=reached.each,
                documents=len(held_out),
                weights=weights,
            )
        )
    return fitted


def keep(folder: Path, fitted: Fitted) -> None:
    """Writes it into the run's folder, in place of one that is there."""
    write_json(folder / FILE, fitted.model_dump())


def kept(folder: Path) -> Fitted | None:
    """The one in a run's folder, or None. Raises UserError where it is damaged or of other weights."""
    if not is_ensemble(folder):
        check_is_run(folder)
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        fitted = Fitted.model_validate_json(path.read_bytes())
    except ValidationError:
        fitted = None
    if fitted is None or fitted.weights != _weights(folder):
        wrong = "is damaged" if fitted is None else "was fitted for other weights than are there"
        raise UserError(f"{path} {wrong}: fit it again: xmlkit threshold {folder}")
    return fitted


def _weights(folder: Path) -> str:
    if is_ensemble(folder):
        return digests(folder, [DESCRIPTION])[DESCRIPTION]
    return load_digest(folder / WEIGHTS)
