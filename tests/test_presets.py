"""The presets hold LightXML's own numbers."""

from __future__ import annotations

import pytest

from xmlkit.config import resolve
from xmlkit.errors import UserError
from xmlkit.presets import preset_settings, presets


def test_the_five_data_sets():
    """Spot checks against the paper's tables and its code's settings."""
    assert set(presets()) == {"eurlex4k", "wiki31k", "amazon13k", "amazon670k", "wiki500k"}
    assert presets()["wiki31k"].published == (89.45, 78.96, 69.85)
    large = resolve(preset_settings("amazon670k", 2))
    assert (large.shortlist, large.label_width, large.cluster_size, large.seed) == (75, 400, 100, 2)
    assert (large.epochs, large.swa_start, large.swa_every, large.max_len) == (15, 4, 3000, 128)
    small = resolve(preset_settings("eurlex4k", 2))
    assert (small.encoder, small.lr, small.head_lr, small.batch_size) == ("xlnet-base-cased", 5e-5, 5e-5, 16)
    assert small.micro_batch_size == 8 and small.clustered is False


def test_mistakes():
    with pytest.raises(UserError, match="did you mean 'amazon670k'"):
        preset_settings("amazon-670k", 0)
    with pytest.raises(UserError, match="members 0 to 2"):
        preset_settings("eurlex4k", 3)
