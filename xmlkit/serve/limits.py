"""How much may be asked of a server."""

from __future__ import annotations

from dataclasses import dataclass

from xmlkit.errors import UserError


@dataclass(frozen=True)
class Limits:
    """What goes over one of them is refused with a reason, and never kept waiting without bound."""

    batch: int = 64
    """Texts that the model reads at once."""

    wait: float = 2.0
    """Milliseconds that a model without work waits for more texts, once there is one."""

    queue: int = 4_000
    """Texts that wait for a model."""

    texts: int = 1_000
    """Texts of a request."""

    length: int = 1_000_000
    """Characters of a text."""

    body: int = 8 << 20
    """Bytes of a request."""

    requests: int = 128
    """Requests at once, so that bodies are bounded, too."""

    top_k: int = 1_000
    """Labels of a text."""

    answer: int = 100_000
    """Labels of an answer: texts times labels of each."""

    explanations: int = 8
    """Explanations that a model has before it: one is being made, the others wait."""

    explained: int = 100_000
    """Characters of a text that is explained: it is read 65 times, without other words each."""

    reasons: int = 20
    """Labels of an explanation."""

    def __post_init__(self) -> None:
        if self.texts > self.queue:
            raise UserError(
                f"--texts {self.texts}: a request with more texts than wait at most (--queue {self.queue}) "
                "would never be taken; raise --queue"
            )
