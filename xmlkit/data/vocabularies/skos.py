"""SKOS in Turtle, RDF/XML or N-Triples, as thesauri are published; it is read through rdflib, an extra.

A concept's id is its URI, its name the preferred label (skos:prefLabel, or else rdfs:label) in the language
that is chosen, or else one that has none; its skos:altLabel are further names.
"""

from __future__ import annotations

import codecs
import gzip
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from xmlkit.data.dialect import Dialect
from xmlkit.data.language import choose_language
from xmlkit.data.lines import has_suffix
from xmlkit.data.vocabularies import Label
from xmlkit.errors import UserError

SYNTAX = {".ttl": "Turtle", ".rdf": "RDF/XML", ".nt": "N-Triples"}
PARSER = {"Turtle": "turtle", "RDF/XML": "xml", "N-Triples": "nt"}  # in rdflib


def find(folder: Path) -> Path | None:
    """The file with such a suffix, whatever it is called. Raises UserError where there are two."""
    found = sorted(path for path in folder.iterdir() if takes(path) and path.name[0] != ".")
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise UserError(f"{folder}: {names} are {len(found)} lists of labels; keep one of them")
    return found[0] if found else None


def takes(path: Path) -> bool:
    """`.ttl`, `.rdf` or `.nt`."""
    return has_suffix(path, tuple(SYNTAX))


def read(path: Path, dialect: Dialect) -> Iterator[Label]:
    """In the order of their URIs; deprecated concepts are left out.

    Raises UserError where the file can't be parsed, holds no concept, or rdflib is missing.
    """
    rdflib = load_rdflib()
    skos, graph = rdflib.SKOS, _parsed(rdflib, path, dialect.encoding)
    kept = _concepts(rdflib, graph, path, retired=False)
    named_by = (skos.prefLabel, rdflib.RDFS.label)
    languages = {
        literal.language.lower()  # as BCP 47 has it, case says nothing
        for concept in kept
        for kind in named_by
        for literal in graph.objects(concept, kind)
        if getattr(literal, "language", None)
    }
    language = choose_language(languages, dialect.language, str(path)) if languages else None

    def texts(concept: Any, kind: Any) -> list[str]:
        """In the language, then without one."""
        literals = [literal for literal in graph.objects(concept, kind) if hasattr(literal, "language")]
        best_first = sorted(
            (one.language is None, str(one).strip())
            for one in literals
            if one.language is None or one.language.lower() == language
        )
        return [text for text in dict.fromkeys(text for _, text in best_first) if text]

    for concept in kept:
        names = [text for kind in named_by for text in texts(concept, kind)]
        others = (text for text in texts(concept, skos.altLabel) if text != names[0]) if names else ()
        notations = sorted(map(str, graph.objects(concept, skos.notation)))
        yield Label(
            f"{path}: {concept}",
            str(concept),
            names[0] if names else "",
            tuple(others),
            notations[0] if notations else None,
        )


def ids(path: Path, dialect: Dialect, retired: bool) -> Iterator[str]:
    """Of the concepts, `retired`: of those too that are deprecated."""
    rdflib = load_rdflib()
    return map(str, _concepts(rdflib, _parsed(rdflib, path, dialect.encoding), path, retired))


def _concepts(rdflib: Any, graph: Any, path: Path, retired: bool) -> list[Any]:
    found = set(graph.subjects(rdflib.RDF.type, rdflib.SKOS.Concept))
    concepts = sorted(concept for concept in found if isinstance(concept, rdflib.URIRef))
    if not concepts:
        raise UserError(f"{path}: no skos:Concept; is it another kind of vocabulary?")
    deprecated = rdflib.OWL.deprecated
    return [one for one in concepts if retired or not _is_true(graph.value(one, deprecated))]


def load_rdflib() -> Any:
    """The library. Raises UserError where it is missing."""
    try:
        import rdflib
    except ImportError:
        raise UserError("vocabularies in SKOS need rdflib: pip install rdflib") from None
    return rdflib


def _parsed(rdflib: Any, path: Path, encoding: str) -> Any:
    """What the file says of concepts; the rest of it, most of some vocabularies, takes no memory."""
    rdf, rdfs, skos, owl = rdflib.RDF, rdflib.RDFS, rdflib.SKOS, rdflib.OWL
    read = {rdf.type, rdfs.label, skos.prefLabel, skos.altLabel, skos.notation, owl.deprecated}

    class Few(rdflib.Graph):  # type: ignore[misc, name-defined]
        def add(self, triple: tuple[Any, Any, Any]) -> Any:
            return super().add(triple) if triple[1] in read else self

    graph, syntax = Few(), SYNTAX[Path(path.name.removesuffix(".gz")).suffix]
    try:
        with _opened(path) as file, _quiet():
            try:
                graph.parse(file=file, format=PARSER[syntax])
            except UnicodeDecodeError:  # RDF/XML says what it is in, and the others are UTF-8 by right
                file.seek(0)
                graph.parse(file=codecs.EncodedFile(file, "utf-8", encoding), format=PARSER[syntax])
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the file") from None
    except Exception as error:  # each syntax has its own
        raise UserError(f"{path}{_problem(error)}; is it {syntax}, as its name says?") from None
    return graph


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without a remark on every URI or number that is not quite right."""
    logger = logging.getLogger("rdflib")
    before, logger.level = logger.level, logging.CRITICAL
    try:
        yield
    finally:
        logger.level = before


def _problem(error: Any) -> str:
    """Where, and why, as far as the parser of the syntax says."""
    if hasattr(error, "getLineNumber"):  # of RDF/XML
        return f":{error.getLineNumber()}: {error.getMessage()}"
    if hasattr(error, "lines"):  # of Turtle
        return f":{error.lines + 1}: bad syntax"
    return ": " + " ".join(str(error).split())[:200]


def _is_true(literal: Any) -> bool:
    return str(literal).lower() in ("true", "1")
