"""The embedded corpus: docstrings of Python's standard library, tagged with what their code does.

The source is parsed and never run. A document is the docstring of a function or class; its labels are
`in:` the module, `calls:` the functions and methods called in it, `raises:` its exceptions and
`takes:` its parameters.
"""

from __future__ import annotations

import ast
import os
import sysconfig
import warnings
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from xmlkit.data.formats import Document
from xmlkit.errors import UserError

SKIPPED_FOLDERS = {"test", "tests", "idle_test", "site-packages", "dist-packages"}
FEWEST_DOCUMENTS = 3

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
BLOCKS = (ast.stmt, ast.ExceptHandler, ast.match_case)  # what a definition may lie in, or be


def demo_documents(source: Path | None = None) -> list[Document]:
    """One document for each docstring under the folder (the standard library's); equal texts are united.

    Labels of fewer than three documents are dropped, then documents without labels.
    """
    source = source or Path(sysconfig.get_path("stdlib"))
    found: dict[str, set[str]] = {}
    for path in _python_files(source):
        module = _module_name(path.relative_to(source))
        for definition in _definitions(path):
            text = ast.get_docstring(definition)
            if text:
                found.setdefault(text, set()).update({f"in:{module}", *_labels(definition)})
    counts = Counter(label for labels in found.values() for label in labels)
    kept = {label for label, count in counts.items() if count >= FEWEST_DOCUMENTS}
    documents = [Document(text, sorted(labels & kept)) for text, labels in found.items() if labels & kept]
    if not documents:
        raise UserError(f"{source}: no Python source to make the demo corpus of; give a folder with a corpus")
    return documents


def demo_names(documents: Iterable[Document]) -> dict[str, str]:
    """What the labels of these documents are called, in sorted order: `calls:open` is `calls open`."""
    labels = sorted({label for document in documents for label in document.labels})
    return {label: label.replace(":", " ", 1) for label in labels}


def _python_files(source: Path) -> Iterator[Path]:
    for folder, subfolders, files in os.walk(source):
        subfolders[:] = sorted(set(subfolders) - SKIPPED_FOLDERS)
        yield from (Path(folder, name) for name in sorted(files) if name.endswith(".py"))


def _module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _definitions(path: Path) -> Iterator[Definition]:
    """The file's functions and classes; none where it does not parse, as some of the library's do not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            return
    nodes = deque[ast.AST]([tree])  # as ast.walk has them, without what holds no statement
    while nodes:
        node = nodes.popleft()
        if isinstance(node, Definition):
            yield node
        for _, value in ast.iter_fields(node):
            if isinstance(value, list):
                nodes.extend(part for part in value if isinstance(part, BLOCKS))


def _labels(definition: Definition) -> Iterator[str]:
    if not isinstance(definition, ast.ClassDef):
        for parameter in ast.walk(definition.args):
            if isinstance(parameter, ast.arg) and parameter.arg not in ("self", "cls"):
                yield f"takes:{parameter.arg}"
    raised = set()
    for node in ast.walk(definition):
        if isinstance(node, ast.Raise):
            raised.add(node.exc)
            name = _name(node.exc)
            # A lower-case name that is not called is nearly always a variable.
            if name and (isinstance(node.exc, ast.Call) or name[0].isupper()):
                yield f"raises:{name}"
        elif isinstance(node, ast.Call) and node not in raised and (name := _name(node.func)):
            yield f"calls:{name}"


def _name(node: ast.expr | None) -> str | None:
    """The last part of a dotted name, or of the dotted name that is called."""
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None
