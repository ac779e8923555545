"""Which arithmetic `precision=auto` takes."""

import pytest
import torch

from xmlkit.model.device import use_bfloat16


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"avx2": True, "amx_bf16": False, "avx512_bf16": False}, False),
        ({"avx2": True}, False),
        ({"amx_bf16": True}, True),
        ({"amx_bf16": False, "avx512_bf16": True}, True),
    ],
)
def test_auto_on_a_cpu_goes_by_its_instructions(monkeypatch, found, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    cpu = torch.device("cpu")
    assert use_bfloat16("auto", cpu) is expected
    assert use_bfloat16("bfloat16", cpu) and not use_bfloat16("float32", cpu)


def test_without_such_a_question_auto_is_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not use_bfloat16("auto", torch.device("cpu"))
