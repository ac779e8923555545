"""A string that a client sends, where it is one."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, StrictStr

from xmlkit.data.lines import HALF_A_PAIR, is_unicode


def _whole(text: str) -> str:
    if not is_unicode(text):
        raise ValueError(HALF_A_PAIR)
    return text


Text = Annotated[StrictStr, AfterValidator(_whole)]
