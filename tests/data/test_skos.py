from __future__ import annotations

import builtins
import gzip
from pathlib import Path

import pytest

from xmlkit.data.corpus import Labels, load_corpus
from xmlkit.data.dialect import Dialect
from xmlkit.data.label_list import read_label_list
from xmlkit.errors import UserError

YSO = "http://www.yso.fi/onto/yso/"
TURTLE = f"""@prefix skos: <http://www.w3.org/2004/02/skos/core#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix yso: <{YSO}> .

yso:p2 a skos:Concept ; skos:prefLabel "cats"@en, "kissat"@fi ; skos:broader yso:p1 ;
    skos:altLabel "house cats"@en, "felines"@en, "cats"@en, "katti"@fi ; skos:notation "59.9" .
yso:p1 a skos:Concept ; skos:prefLabel "animals"@en ; rdfs:label "beings"@en .
yso:p3 a skos:Concept ; skos:prefLabel "old"@en ; owl:deprecated true .
yso:p4 a skos:Concept ; rdfs:label "everywhere" .
yso:p5 a skos:Concept ; skos:prefLabel "vain suomeksi"@fi .
yso:scheme a skos:ConceptScheme ; skos:prefLabel "YSO"@sv .
[] a skos:Concept ; skos:prefLabel "nobody's"@en .
"""
RDF = f"""<?xml version="1.0"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
         xmlns:skos="http://www.w3.org/2004/02/skos/core#" xmlns:owl="http://www.w3.org/2002/07/owl#">
  <skos:Concept rdf:about="{YSO}p2">
    <skos:prefLabel xml:lang="en">cats</skos:prefLabel>
    <skos:altLabel xml:lang="en">felines</skos:altLabel>
  </skos:Concept>
  <skos:Concept rdf:about="{YSO}p3">
    <owl:deprecated rdf:datatype="http://www.w3.org/2001/XMLSchema#boolean">true</owl:deprecated>
    <skos:prefLabel xml:lang="fi">vanha</skos:prefLabel>
  </skos:Concept>
</rdf:RDF>
"""
TYPE, CORE = "<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>", "http://www.w3.org/2004/02/skos/core#"
TRIPLES = f"""<{YSO}p2> {TYPE} <{CORE}Concept> .
<{YSO}p2> <{CORE}prefLabel> "cats"@en .
<{YSO}p2> <{CORE}altLabel> "felines"@en .
"""


def folder_with(folder: Path, name: str, content: str | bytes) -> Path:
    (folder / "train.tsv").write_text(f"text\t<{YSO}p2>\n")
    data = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder


def labels_of(folder: Path, language: str | None = None) -> Labels:
    return load_corpus(folder, Dialect(language=language)).labels


def error_of(folder: Path, language: str | None = None) -> str:
    with pytest.raises(UserError) as caught:
        labels_of(folder, language)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["yso.ttl", "labels.ttl.gz"])
def test_turtle(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    labels = labels_of(folder_with(tmp_path, name, TURTLE), "en")
    assert labels.ids == [f"{YSO}p1", f"{YSO}p2", f"{YSO}p4"]
    assert labels.names == ["animals", "cats", "everywhere"]
    assert labels.alternatives == [(), ("felines", "house cats"), ()]
    assert labels.notations == [None, "59.9", None]
    assert [labels.text(row) for row in range(3)] == ["animals", "cats, felines, house cats", "everywhere"]
    assert "1 labels have no name" in capsys.readouterr().err  # in this language


def test_languages(tmp_path: Path) -> None:
    folder_with(tmp_path, "yso.ttl", TURTLE)
    assert labels_of(tmp_path, "FI").names == ["kissat", "everywhere", "vain suomeksi"]
    assert error_of(tmp_path) == (
        f"{tmp_path}/yso.ttl: names in 2 languages; choose one with --language: en, fi"
    )
    assert "--language sv: no names in it; there are en, fi" in error_of(tmp_path, "sv")


def test_a_language_is_the_same_in_capitals(tmp_path: Path) -> None:
    folder_with(tmp_path, "yso.ttl", TURTLE.replace('"animals"@en', '"animals"@EN').replace("@fi", "@en-x"))
    assert labels_of(tmp_path, "en").names == ["animals", "cats", "everywhere"]


def test_another_encoding_of_turtle(tmp_path: Path) -> None:
    for file_has in ("latin-1", "utf-8"):  # as of tables beside a vocabulary that is as it should be
        folder_with(tmp_path, "yso.ttl", TURTLE.replace("animals", "b\u00eates").encode(file_has))
        assert (
            load_corpus(tmp_path, Dialect(language="en", encoding="latin-1")).labels.names[0] == "b\u00eates"
        )


def test_what_a_system_adds_beside_a_file_is_none(tmp_path: Path) -> None:
    folder_with(tmp_path, "yso.ttl", TURTLE)
    (tmp_path / "._yso.ttl").write_bytes(b"\0\5\26\7")
    assert labels_of(tmp_path, "en").names == ["animals", "cats", "everywhere"]


def test_ids_alone_are_of_any_language_and_retired_ones_where_asked_for(tmp_path: Path) -> None:
    folder_with(tmp_path, "yso.ttl", TURTLE)
    given = [f"{YSO}p{number}" for number in (1, 2, 4, 5)]
    assert read_label_list(tmp_path / "yso.ttl") == given
    assert read_label_list(tmp_path / "yso.ttl", retired=True) == sorted([*given, f"{YSO}p3"])


@pytest.mark.parametrize("name, content", [("x.rdf", RDF), ("x.nt", TRIPLES), ("x.nt.gz", TRIPLES)])
def test_other_syntaxes_and_the_only_language(tmp_path: Path, name: str, content: str) -> None:
    labels = labels_of(folder_with(tmp_path, name, content))
    assert (labels.ids, labels.names, labels.alternatives) == ([f"{YSO}p2"], ["cats"], [("felines",)])


@pytest.mark.parametrize(
    "name, content, problem",
    [
        ("x.ttl", TURTLE + "\noops oops", ":15: bad syntax; is it Turtle"),
        ("x.rdf", "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>\n<a>", ":2: no element"),
        ("x.nt", TRIPLES + "<a> <b> .\n", ": Invalid line: <a> <b> ."),
        ("x.nt", b"\xff", ": 'utf-8' codec can't decode"),
        ("x.ttl", "", ": no skos:Concept"),
        ("x.ttl", TRIPLES.replace("Concept", "Thing"), ": no skos:Concept"),
    ],
)
def test_files_that_are_none(tmp_path: Path, name: str, content: str | bytes, problem: str) -> None:
    assert error_of(folder_with(tmp_path, name, content)).startswith(f"{tmp_path / name}{problem}")


def test_a_damaged_gzip_file(tmp_path: Path) -> None:
    folder_with(tmp_path, "x.ttl", "")
    (tmp_path / "x.ttl").rename(tmp_path / "x.ttl.gz")
    (tmp_path / "x.ttl.gz").write_bytes(gzip.compress(TURTLE.encode())[:-30])
    assert error_of(tmp_path).startswith(f"{tmp_path / 'x.ttl.gz'}: ")


def test_two_of_them(tmp_path: Path) -> None:
    folder_with(tmp_path, "a.ttl", TURTLE)
    folder_with(tmp_path, "b.rdf.gz", RDF)
    assert error_of(tmp_path) == f"{tmp_path}: a.ttl and b.rdf.gz are 2 lists of labels; keep one of them"


def test_without_rdflib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name, *others, **more):
        if name == "rdflib":
            raise ImportError(name)
        return real(name, *others, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    message = error_of(folder_with(tmp_path, "a.ttl", TURTLE))
    assert message == "vocabularies in SKOS need rdflib: pip install rdflib"
