"""What one writes with transformers alone: an output a label, binary cross-entropy, AdamW with two rates."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from benchmarks.peers.given import TOP, Given

REQUIREMENTS = ("torch>=2.9", "transformers>=5.1,<6")
LONGEST = 128  # tokens
AT_ONCE = 64


def train(given: Given, folder: Path, steps: int, batch: int, lr: float, head_lr: float) -> None:
    """Rates go down to zero in a line; documents are drawn anew each time all were seen.

    What is new has a rate of its own and begins at how rare a label is (as in RetinaNet, Lin et al., ICCV
    2017, section 4.1): from even odds and at the encoder's rate an epoch taught it nothing (NOTES.md).
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(given.encoder)
    model = AutoModelForSequenceClassification.from_pretrained(
        given.encoder, num_labels=len(given.names), problem_type="multi_label_classification"
    ).train()
    rate = sum(map(len, given.labels)) / (len(given.texts) * len(given.names))
    last = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)][-1]
    torch.nn.init.constant_(last.bias, math.log(rate))
    known = set(model.base_model.parameters())
    new = [weight for weight in model.parameters() if weight not in known]
    optimizer = torch.optim.AdamW([{"params": [*known], "lr": lr}, {"params": new, "lr": head_lr}])
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    rows: list[int] = []
    for step in range(steps):
        if len(rows) < batch:
            rows = torch.randperm(len(given.texts)).tolist()
        some, rows = rows[:batch], rows[batch:]
        tokens = _tokens(tokenizer, [given.texts[row] for row in some])
        truth_BL = torch.zeros(len(some), len(given.names))
        for place, row in enumerate(some):
            truth_BL[place, given.labels[row]] = 1
        loss = model(**tokens, labels=truth_BL).loss
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0:
            print(f"step {step}: loss {loss.item():.5f}", flush=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def load(folder: Path) -> Any:
    """Tokenizer and model."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    return AutoTokenizer.from_pretrained(folder), model


def predict(model: Any, texts: list[str]) -> list[list[int]]:
    """Texts of like length together."""
    import torch

    tokenizer, classifier = model
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    found: list[list[int]] = [[] for _ in texts]
    with torch.inference_mode():
        for start in range(0, len(texts), AT_ONCE):
            rows = order[start : start + AT_ONCE]
            scores_BL = classifier(**_tokens(tokenizer, [texts[row] for row in rows])).logits
            top_BK = scores_BL.topk(min(TOP, scores_BL.shape[1])).indices
            for row, labels in zip(rows, top_BK.tolist(), strict=True):
                found[row] = labels
    return found


def _tokens(tokenizer: Any, texts: list[str]) -> Any:
    return tokenizer(texts, truncation=True, max_length=LONGEST, padding=True, return_tensors="pt")
