from __future__ import annotations

import torch

from utad_monai.contrast import FlatBrain
from utad_monai.keys import Modality


def test_the_brain_carries_the_mean_and_the_background_stays() -> None:
    image = torch.tensor([[[-1.0, 0.3], [0.9, -1.0]]])
    made = FlatBrain({Modality.T2: -0.25})({Modality.T1: image}, Modality.T2)
    assert made.tolist() == [[[-1.0, -0.25], [-0.25, -1.0]]]


def test_a_modality_without_a_mean_lies_in_the_middle_of_its_window() -> None:
    made = FlatBrain({})({Modality.T1: torch.zeros(1, 2, 2)}, Modality.FLAIR)
    assert made.tolist() == [[[0.0, 0.0], [0.0, 0.0]]]


def test_brain_is_what_is_brain_in_any_image() -> None:
    images = {Modality.T1: torch.tensor([[[0.5, -1.0, -1.0]]]), Modality.T2: torch.tensor([[[-1.0, 0.5, -1.0]]])}
    assert FlatBrain({Modality.FLAIR: 0.125})(images, Modality.FLAIR).tolist() == [[[0.125, 0.125, -1.0]]]
