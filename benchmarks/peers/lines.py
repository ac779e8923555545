"""How much a user writes: lines of a peer's file, without docstrings, comments, blanks and ours."""

from __future__ import annotations

import ast

OURS = (ast.Import, ast.ImportFrom)  # at the top: a peer's own library is imported in its functions


def lines_of(source: str) -> int:
    """Configuration in strings counts."""
    tree = ast.parse(source)
    left_out: set[int] = set()
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text or (node in tree.body and (isinstance(node, OURS) or _is_requirements(node))):
            assert isinstance(node, ast.stmt) and node.end_lineno is not None
            left_out.update(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(map(str.strip, source.splitlines()), 1)
    return sum(bool(line) and line[0] != "#" and number not in left_out for number, line in lines)


def _is_requirements(node: ast.AST) -> bool:
    names = {getattr(one, "id", "") for one in node.targets} if isinstance(node, ast.Assign) else set()
    return not names.isdisjoint(("REQUIREMENTS", "ALONE"))
