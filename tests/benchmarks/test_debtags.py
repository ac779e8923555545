"""The corpus of Debian's packages, made of two files as a mirror has them."""

from __future__ import annotations

import lzma
import subprocess
import sys
from pathlib import Path

from xmlkit.data.corpus import load_corpus

ROOT = Path(__file__).parents[2]
PACKAGES = """Package: one
Description: a headline
Description-md5: m1
Tag: use::editing, works-with::text,
 made-of::html

Package: one-data
Source: one (1.2)
Description-md5: m2
Tag: use::editing

Package: bare
Description-md5: m1

Package: unknown
Description-md5: none
Tag: use::editing
"""
TRANSLATIONS = """Package: one
Description-md5: m1
Description-en: a headline
 Its first
 lines.
 .
 And the last.

Package: one-data
Description-md5: m2
Description-en: data
"""


def test_texts_and_tags(tmp_path):
    many = "".join(
        f"\nPackage: p{number}\nDescription-md5: m2\nTag: works-with::text, use::editing\n"
        for number in range(40)
    )
    for name, said in (("Packages", PACKAGES + many), ("Translation-en", TRANSLATIONS)):
        (tmp_path / f"{name}.xz").write_bytes(lzma.compress(said.encode()))
    files = [str(tmp_path / name) for name in ("Packages.xz", "Translation-en.xz", "debtags")]
    subprocess.run([sys.executable, "-m", "benchmarks.debtags", *files], cwd=ROOT, check=True)
    corpus = load_corpus(tmp_path / "debtags")
    assert corpus.labels.ids == ["use::editing", "works-with::text"]  # the third has one document
    assert corpus.labels.names == ["use: editing", "works with: text"]
    assert corpus.test is not None
    found = {
        text: [split.label_ids[row] for row in split.labels[place]]
        for split in (corpus.train, corpus.test)
        for place, text in enumerate(split.texts)
    }
    assert len(found) == 42
    assert found["one: a headline Its first lines. And the last."] == ["use::editing", "works-with::text"]
    assert found["one-data: data"] == ["use::editing"]
    where = [text in set(corpus.test.texts) for text in found if text.startswith("one")]
    assert where in ([True, True], [False, False])  # of one source
    assert 0 < len(corpus.test.texts) < 20
