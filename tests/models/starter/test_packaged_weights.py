"""The starter weights that come with the package are what their model card says."""

from __future__ import annotations

import torch

from utad_monai.keys import Modality
from utad_monai.models.starter import MAX_BYTES, MEANING, is_starter, load_starter, starter_path


def test_file_is_small_and_safe() -> None:
    path = starter_path()
    assert path.suffix == ".safetensors"
    assert path.stat().st_size <= MAX_BYTES


def test_no_patient_taught_it_and_no_mask_is_needed() -> None:
    starter = load_starter()
    assert is_starter(starter)
    assert starter.training["about"] == MEANING
    assert starter.training["data"] == "randomised phantom, no patient"
    assert not starter.generator.needs_mask
    assert starter.target_windows == {}
    assert set(starter.reference_histograms) == set(Modality)


def test_ventricles_are_bright_on_t2_and_dark_on_t1_and_flair() -> None:
    """A brain of white matter with a grey rim and ventricles: T1 goes in, T2 and FLAIR come out."""
    generator = load_starter().generator.eval()
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 96), torch.linspace(-1, 1, 80), indexing="ij")
    radius = ((rows / 0.85) ** 2 + (columns / 0.8) ** 2).sqrt()
    brain, rim = radius < 1, radius > 0.88
    ventricle = ((rows / 0.25) ** 2 + ((columns.abs() - 0.12) / 0.08) ** 2) < 1
    t1 = torch.where(ventricle, -0.85, torch.where(rim, 0.1, 0.6))
    t1 = t1 + 0.02 * torch.randn(96, 80, generator=torch.Generator().manual_seed(0))
    images = torch.full((1, 4, 96, 80), -1.0)
    images[0, Modality.T1.channel] = torch.where(brain, t1.clamp(-0.99, 1), -1.0)
    white = brain & ~rim & ~ventricle
    with torch.no_grad():
        made = {
            modality: generator(images, images, torch.tensor([modality.channel])).image[0, 0]
            for modality in (Modality.T2, Modality.FLAIR)
        }
    assert float(made[Modality.T2][ventricle].mean()) > float(made[Modality.T2][white].mean()) + 0.5
    assert float(made[Modality.FLAIR][ventricle].mean()) < float(made[Modality.FLAIR][white].mean()) - 0.3
