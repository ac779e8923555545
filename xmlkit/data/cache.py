"""Where work that depends on nothing but content is kept between runs."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path

TEXTS_AT_ONCE = 4096  # joined, to be hashed in one go


def cache_folder() -> Path:
    """`$XMLKIT_CACHE`, else `xmlkit` in the user's cache folder."""
    if chosen := os.environ.get("XMLKIT_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xmlkit"


def digest(*parts: str | Iterable[str]) -> str:
    """A key for texts and lists of texts; where one text ends and the next begins counts."""
    whole = hashlib.sha256()
    for part in parts:
        texts = [
            text.encode("utf-8", "surrogatepass") for text in ([part] if isinstance(part, str) else part)
        ]
        whole.update(array("Q", [len(texts), *map(len, texts)]).tobytes())
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            whole.update(b"".join(texts[start : start + TEXTS_AT_ONCE]))
    return whole.hexdigest()[:32]


def cached(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder `kind/key`; `make` fills it first where it is not there. It appears whole or not at all."""
    folder = cache_folder() / kind / key
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=folder.parent))
        try:
            make(unfinished)
            try:
                unfinished.rename(folder)
            except OSError:
                if not folder.is_dir():  # another process may have been first
                    raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder
