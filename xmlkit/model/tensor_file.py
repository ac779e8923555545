"""Tensors in a file that tells whether it is whole: safetensors, with a digest of all that it holds.

The digest covers names, types, shapes and bytes of the tensors and what is noted beside them; it and the
note are the header's `digest` and `note`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from xmlkit.errors import UserError
from xmlkit.files import replaced

BYTES_AT_ONCE = 2**26  # of one thread's work


def save_tensors(path: Path, tensors: Mapping[str, Tensor], note: Mapping[str, Any]) -> None:
    """Replaces the file whole. `note` is what JSON can say. Raises OSError where it can't be written."""
    ready: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        # Two optimisers may hold one step count, and a file holds no tensor twice.
        ready[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    noted = json.dumps(note)
    header = {"note": noted, "digest": _digest(ready, noted)}
    with replaced(path) as unfinished:
        unfinished.touch()
        mode = unfinished.stat().st_mode
        save_file(ready, unfinished, header)
        unfinished.chmod(mode)  # safetensors lets no one else read its files


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, on the host, and what was noted. Raises UserError where the file is damaged."""
    with _opened(path) as file:
        header = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
    noted = header.get("note", "")
    if header.get("digest") != _digest(tensors, noted):
        raise UserError(f"{path} is damaged, or another version's: put the file back")
    return tensors, json.loads(noted)


def load_sizes(path: Path) -> dict[str, int]:
    """How many numbers each tensor has, by the header alone."""
    with _opened(path) as file:
        return {name: math.prod(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def load_note(path: Path) -> dict[str, Any]:
    """What was noted, which is not compared with the digest. Raises UserError where it can't be read."""
    with _opened(path) as file:
        try:
            note = json.loads((file.metadata() or {}).get("note", "{}"))
        except (ValueError, RecursionError):
            note = None
    if not isinstance(note, dict):
        raise UserError(f"{path} is damaged: put the file back")
    return note


def load_digest(path: Path) -> str:
    """The digest that the file says it has. Raises UserError where it can't be read."""
    with _opened(path) as file:
        return str((file.metadata() or {}).get("digest"))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, "pt") as file:
            yield file
    except SafetensorError as error:
        raise UserError(f"{path} is damaged ({error}): put the file back") from None


def bytes_of(tensor: Tensor) -> memoryview:
    """As they lie in memory."""
    if not tensor.numel():  # whose stride may be such that it is no view of bytes
        return memoryview(b"")
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data


def _digest(tensors: Mapping[str, Tensor], noted: str) -> str:
    """In pieces, and those of large tables on all cores."""
    pieces: list[bytes | memoryview] = [noted.encode()]
    for name, tensor in sorted(tensors.items()):
        pieces.append(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        whole = bytes_of(tensor)
        pieces += [whole[start : start + BYTES_AT_ONCE] for start in range(0, len(whole), BYTES_AT_ONCE)]
    if sum(map(len, pieces)) <= BYTES_AT_ONCE:
        return hashlib.sha256(b"".join(map(_sha256, pieces))).hexdigest()
    with ThreadPoolExecutor() as threads:
        return hashlib.sha256(b"".join(threads.map(_sha256, pieces))).hexdigest()


def _sha256(piece: bytes | memoryview) -> bytes:
    return hashlib.sha256(piece).digest()
