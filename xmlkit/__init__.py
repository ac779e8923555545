"""Extreme multi-label text classification through four hook points."""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from xmlkit.distribution import DISTRIBUTION

if TYPE_CHECKING:
    from xmlkit.blend.ensemble import ensemble as ensemble
    from xmlkit.blend.lessons import lessons as lessons
    from xmlkit.blend.load import load as load
    from xmlkit.blend.member import Candidates as Candidates
    from xmlkit.blend.member import Making as Making
    from xmlkit.blend.member import Member as Member
    from xmlkit.blend.scored import read_scores as read_scores
    from xmlkit.comparison.compare import Comparison as Comparison
    from xmlkit.comparison.compare import compare as compare
    from xmlkit.config import Config as Config
    from xmlkit.console import say as say
    from xmlkit.data.cache import cached as cached
    from xmlkit.data.corpus import Corpus as Corpus
    from xmlkit.data.corpus import load_corpus as load_corpus
    from xmlkit.data.corpus import load_split as load_split
    from xmlkit.discovery import add_plugin as add_plugin
    from xmlkit.doors import Head as Head
    from xmlkit.doors import LossCombiner as LossCombiner
    from xmlkit.doors import Representation as Representation
    from xmlkit.doors import Shortlister as Shortlister
    from xmlkit.errors import Incompatible as Incompatible
    from xmlkit.errors import UserError as UserError
    from xmlkit.hooks import BuildContext as BuildContext
    from xmlkit.hooks import DocumentSet as DocumentSet
    from xmlkit.hooks import Reading as Reading
    from xmlkit.hooks import Run as Run
    from xmlkit.hooks import hookimpl as hookimpl
    from xmlkit.inference.predict import Prediction as Prediction
    from xmlkit.inference.predict import Predictor as Predictor
    from xmlkit.labels.cooccurrence import cooccurring_labels as cooccurring_labels
    from xmlkit.passing import Contributions as Contributions
    from xmlkit.passing import Documents as Documents
    from xmlkit.passing import LayerStates as LayerStates
    from xmlkit.passing import RaggedLabels as RaggedLabels
    from xmlkit.passing import RaggedTokens as RaggedTokens
    from xmlkit.passing import Shortlist as Shortlist
    from xmlkit.passing import Start as Start
    from xmlkit.passing import Training as Training
    from xmlkit.passing import Vectors as Vectors
    from xmlkit.passing import Voters as Voters
    from xmlkit.search import nearest_vectors as nearest_vectors
    from xmlkit.tables import ClusterTable as ClusterTable
    from xmlkit.tables import RowTable as RowTable
    from xmlkit.tables import unique_ids as unique_ids
    from xmlkit.training.new_labels import add_labels as add_labels
    from xmlkit.training.train import train as train

__version__ = metadata.version(DISTRIBUTION)

# Imported on first use: torch takes seconds, and `xmlkit --help` needs none of it.
_HOME = {
    "xmlkit.blend.ensemble": ["ensemble"],
    "xmlkit.blend.lessons": ["lessons"],
    "xmlkit.blend.member": ["Candidates", "Making", "Member"],
    "xmlkit.blend.load": ["load"],
    "xmlkit.blend.scored": ["read_scores"],
    "xmlkit.comparison.compare": ["Comparison", "compare"],
    "xmlkit.config": ["Config"],
    "xmlkit.console": ["say"],
    "xmlkit.data.cache": ["cached"],
    "xmlkit.data.corpus": ["Corpus", "load_corpus", "load_split"],
    "xmlkit.discovery": ["add_plugin"],
    "xmlkit.errors": ["Incompatible", "UserError"],
    "xmlkit.doors": ["Head", "LossCombiner", "Representation", "Shortlister"],
    "xmlkit.hooks": ["BuildContext", "DocumentSet", "Reading", "Run", "hookimpl"],
    "xmlkit.passing": [
        "Contributions",
        "Documents",
        "LayerStates",
        "RaggedLabels",
        "RaggedTokens",
        "Shortlist",
        "Start",
        "Training",
        "Vectors",
        "Voters",
    ],
    "xmlkit.labels.cooccurrence": ["cooccurring_labels"],
    "xmlkit.inference.predict": ["Prediction", "Predictor"],
    "xmlkit.search": ["nearest_vectors"],
    "xmlkit.tables": ["ClusterTable", "RowTable", "unique_ids"],
    "xmlkit.training.new_labels": ["add_labels"],
    "xmlkit.training.train": ["train"],
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_MODULE_OF)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:  # it would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module 'xmlkit' has no attribute {name!r}")
        return getattr(import_module(_MODULE_OF[name]), name)
