"""A corpus that nobody here has chosen a setting on: descriptions of Debian's packages, and their tags.

    python -m benchmarks.debtags Packages.xz Translation-en.xz FOLDER

The two files lie on each Debian mirror, `dists/RELEASE/main/binary-amd64/Packages.xz` and
`dists/RELEASE/main/i18n/Translation-en.xz`. A text is a package's name, headline and description, its labels
are the tags that people gave it (`works-with::text`, by name "works with: text"). Packages of one source,
whose descriptions are much alike, are all in one split; one source in eight is for the test.
"""

from __future__ import annotations

import argparse
import hashlib
import lzma
from collections import Counter
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

TEST = 8  # one source in so many
LEAST = 2  # training documents of a label


def stanzas(path: Path) -> Iterator[Message]:
    """A package each."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        for stanza in file.read().split("\n\n"):
            if stanza.strip():
                yield Parser().parsestr(stanza)


def one_line(text: str) -> str:
    """Lines joined; a full stop alone stands for an empty one."""
    return " ".join(word for line in text.splitlines() if line.strip() != "." for word in line.split())


def is_test(package: Message) -> bool:
    """By its source, which may have a version behind it."""
    source = package.get("Source", package["Package"]).split()[0]
    return int(hashlib.sha256(source.encode()).hexdigest(), 16) % TEST == 0


def documents(packages: Path, translations: Path) -> Iterator[tuple[bool, str, list[str]]]:
    """Whether it is for the test, the text and the tags of each package that has some."""
    described = {one["Description-md5"]: one["Description-en"] for one in stanzas(translations)}
    for package in stanzas(packages):
        description = described.get(package["Description-md5"])
        tags = [tag.strip() for tag in package.get("Tag", "").replace("\n", " ").split(",") if tag.strip()]
        if tags and description:
            yield is_test(package), one_line(f"{package['Package']}: {description}"), tags


def main() -> None:
    """Writes train.tsv, test.tsv and labels.tsv."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packages", type=Path)
    parser.add_argument("translations", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    found = list(documents(given.packages, given.translations))
    counts = Counter(tag for tests, _, tags in found if not tests for tag in tags)
    known = sorted(tag for tag, count in counts.items() if count >= LEAST)
    given.folder.mkdir(parents=True)
    names = (f"<{tag}>\t{tag.replace('::', ': ').replace('-', ' ')}\n" for tag in known)
    (given.folder / "labels.tsv").write_text("".join(names), encoding="utf-8")
    for split in ("train", "test"):
        lines = []
        for tests, text, tags in found:
            kept = [f"<{tag}>" for tag in tags if counts[tag] >= LEAST]
            if kept and tests == (split == "test"):
                lines.append(f"{text}\t{' '.join(kept)}\n")
        (given.folder / f"{split}.tsv").write_text("".join(lines), encoding="utf-8")
        print(f"{split}: {len(lines):,} documents")
    print(f"{len(known):,} labels")


if __name__ == "__main__":
    main()
