"""Slices that stand for a case, and what the numbers by sources mean."""

from __future__ import annotations

import torch

from utad_monai.engines.method_quality import evenly_spaced, sources_protocol
from utad_monai.keys import Modality


def test_chosen_slices_are_spread_over_the_brain_of_any_image() -> None:
    first, second = torch.full((20, 4, 4), -1.0), torch.full((20, 4, 4), -1.0)
    first[4:10, 1, 1] = 0.5
    second[8:16, 2, 2] = 0.5
    images = {Modality.T1: first, Modality.T2: second}
    assert evenly_spaced(images, 4).tolist() == [5, 8, 11, 14]
    assert evenly_spaced(images, 50).tolist() == list(range(4, 16))


def test_protocol_says_when_not_all_slices_are_measured() -> None:
    (every,), (some,) = sources_protocol().values(), sources_protocol(8).values()
    assert "subsets" in every
    assert "slices" not in every
    assert "at most 8 slices" in some
