from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import pytest

from xmlkit.data.corpus import load_corpus, load_split
from xmlkit.data.demo import demo_documents
from xmlkit.errors import UserError

SOURCE = '''
"""A module's docstring is no document."""
from pathlib import Path
Path(__file__).with_name("executed").touch()

def {name}(first, *rest, key=len, **others):
    """Counts {name}.

        Indented.
    """
    try:
        return len(first).bit_length(key(rest))
    except TypeError as error:
        if others:
            raise
        if key:
            raise error
        raise ValueError(str(error)) from error

class Shared:
    """The same text everywhere."""

    async def method(self, name):
        """Method of {name}."""
        raise NotImplementedError

    def undocumented(self):
        return sorted(self)
'''


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("one", "two", "three"):
        (tmp_path / f"{name}.py").write_text(SOURCE.format(name=name))
    (tmp_path / "package" / "test").mkdir(parents=True)
    (tmp_path / "package" / "test" / "skipped.py").write_text(SOURCE.format(name="skipped"))
    (tmp_path / "package" / "broken.py").write_text('def f():\n    """Text."""\n  x = = 1\n')
    (tmp_path / "package" / "nul.py").write_text('def f():\n    """Text."""\n\0')
    (tmp_path / "package" / "latin.py").write_bytes(b'def f():\n    """Caf\xe9."""\n')
    return tmp_path


def test_labels_of_a_small_source(tree: Path) -> None:
    # `in:` a module is kept because three documents have it: its function, its method and the shared class.
    expected = {"The same text everywhere.": ["in:one", "in:three", "in:two", "raises:NotImplementedError"]}
    for name in ("one", "two", "three"):
        expected[f"Method of {name}."] = [f"in:{name}", "raises:NotImplementedError", "takes:name"]
        expected[f"Counts {name}.\n\nIndented."] = [
            *("calls:bit_length", "calls:key", "calls:len", "calls:str", f"in:{name}", "raises:ValueError"),
            *("takes:first", "takes:key", "takes:others", "takes:rest"),
        ]
    assert {document.text: document.labels for document in demo_documents(tree)} == expected


def test_nothing_is_executed(tree: Path) -> None:
    demo_documents(tree)
    assert not list(tree.rglob("executed"))


def test_module_names_of_packages(tmp_path: Path) -> None:
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        folder.mkdir()
        functions = "".join(f'def f{n}():\n    """{folder.name} {n}."""\n' for n in range(3))
        (folder / "__init__.py").write_text(functions)
    assert {label for document in demo_documents(tmp_path) for label in document.labels} == {"in:a", "in:a.b"}


def test_rare_labels_and_documents_left_without_any_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        'def f():\n    """One."""\n    len(x)\ndef g():\n    """Two."""\n    len(x)\n'
    )
    with pytest.raises(UserError, match="no Python source"):
        demo_documents(tmp_path)


def test_source_that_warns_is_silent(tmp_path: Path) -> None:
    functions = "".join(f'def f{n}():\n    """Text {n}."""\n    return "\\d" is 1\n' for n in range(3))
    (tmp_path / "m.py").write_text(functions)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(demo_documents(tmp_path)) == 3


@pytest.mark.slow
def test_standard_library() -> None:
    documents = demo_documents()
    counts = Counter(label for document in documents for label in document.labels)
    assert len(documents) > 5_000
    assert len(counts) > 2_000
    assert min(counts.values()) >= 3
    assert all(document.text and document.labels for document in documents)
    assert len({document.text for document in documents}) == len(documents)
    assert {label.partition(":")[0] for label in counts} == {"in", "calls", "raises", "takes"}
    assert not [label for label in counts if label.startswith(("in:test", "in:site-packages"))]
    assert demo_documents() == documents


@pytest.mark.slow
def test_demo_corpus_is_split_by_text() -> None:
    corpus = load_corpus("demo")
    texts = len(corpus.train) + len(corpus.test)
    assert corpus.name == "demo"
    assert len(corpus.test) == round(texts / 10)
    assert corpus.labels.name(corpus.labels.rows["calls:open"]) == "calls open"
    assert corpus.labels.ids == sorted(corpus.labels.ids) and corpus.labels.named_L.all()
    assert not set(corpus.train.texts) & set(corpus.test.texts)
    again = load_split("demo", corpus.labels)
    assert again.texts == corpus.test.texts
    assert again.labels.values.tolist() == corpus.test.labels.values.tolist()
