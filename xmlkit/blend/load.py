"""Opening whatever labels texts, a run or an ensemble: of these only what it is, is imported."""

from __future__ import annotations

from pathlib import Path

from xmlkit.config import PRECISIONS, Precision
from xmlkit.errors import UserError
from xmlkit.hub import local
from xmlkit.inference.predict import Predictor, load_run
from xmlkit.model.folder import is_ensemble


def load(run: str | Path, precision: Precision | None = None) -> Predictor:
    """Opens the folder of a run or an ensemble, or one on the Hugging Face hub, `hub:user/name`.

    `precision` is that of its encoders, as in the settings: auto, float32 or bfloat16; None: as they were
    trained. Raises UserError where it is neither, or needs a plugin that is missing.
    """
    if precision not in (None, *PRECISIONS):
        raise UserError(f"precision={precision!r}: choose one of {', '.join(PRECISIONS)}")
    folder = local(run)
    if not is_ensemble(folder):
        return load_run(folder, precision)
    from xmlkit.blend.folder import Whole  # with SciPy, which is slow to import
    from xmlkit.blend.opening import Ensemble

    return Ensemble(Whole(folder, precision))
