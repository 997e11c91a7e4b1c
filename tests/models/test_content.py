"""Model files of earlier versions, which were torch files, give the models that they gave: bit by bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets import UNet
from torch import Tensor, nn

from utad_monai.data import Preprocessing
from utad_monai.keys import Modality
from utad_monai.models import (
    TranslatorModel,
    file_sha256,
    load_segmenter,
    load_translator,
    read_translator_content,
    save_segmenter,
    save_translator,
)
from utad_monai.networks import TumourAwareGenerator, critic_pair, student_from_teacher
from utad_monai.transforms import IntensityWindow

PREPROCESSING = Preprocessing((48.0, 60.0), (32, 32), lower_percentile=1.0, upper_percentile=99.0)
UNET: dict[str, Any] = {"spatial_dims": 2, "in_channels": 4, "out_channels": 3, "channels": [4, 8], "strides": [2]}
Weights = Mapping[str, Mapping[str, Tensor]]


def save_as_before(path: Path, kind: str, form: int, description: Mapping[str, Any], weights: Weights) -> Path:
    """Write a model file as versions before safetensors did."""
    content = {"format": form, "kind": kind, "version": "0.1.0", "description": description, "weights": weights}
    with path.open("wb") as file:
        torch.save(content, file)
    return path


def shaken(network: nn.Module) -> nn.Module:
    """Give every weight and buffer a value that no fresh network has, counters too."""
    torch.manual_seed(4)
    for value in network.state_dict().values():
        value.copy_(torch.randn_like(value) if value.is_floating_point() else torch.full_like(value, 2**40 + 7))
    return network


def equal_bits(first: nn.Module, second: nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return list(ours) == list(theirs) and all(
        ours[name].dtype is theirs[name].dtype and torch.equal(ours[name], theirs[name]) for name in ours
    )


@pytest.fixture
def teacher() -> TumourAwareGenerator:
    network = TumourAwareGenerator(2, condition_in_brain=True)
    shaken(network)
    return network


def described(generator: TumourAwareGenerator) -> dict[str, Any]:
    return {
        "generator": generator.description(),
        "preprocessing": PREPROCESSING.description(),
        "target_windows": {"t1": [1.5, 800.0]},
        "source_errors": {"t1": {"t2": 0.1, "flair": 1 / 3}},
        "intensity_profiles": {},
        "training": {"stage": "student", "epoch": 3, "validation_value": -0.2, "seeds": [1, None, True]},
    }


def test_student_of_an_earlier_version_loads_bit_by_bit(teacher: TumourAwareGenerator, tmp_path: Path) -> None:
    student = student_from_teacher(teacher, "complete")
    description = described(student)
    path = save_as_before(tmp_path / "model.pt", "translator", 2, description, {"generator": student.state_dict()})
    loaded = load_translator(path)
    assert any(name.endswith("num_batches_tracked") for name in student.state_dict())
    assert equal_bits(loaded.generator, student)
    windows, errors = (
        {Modality.T1: IntensityWindow(1.5, 800.0)},
        {Modality.T1: {Modality.T2: 0.1, Modality.FLAIR: 1 / 3}},
    )
    expected = TranslatorModel(
        loaded.generator, PREPROCESSING, target_windows=windows, source_errors=errors, training=description["training"]
    )
    assert loaded == replace(expected, sha256=file_sha256(path))


def test_teacher_of_an_earlier_version_loads_with_its_critics_bit_by_bit(
    teacher: TumourAwareGenerator, tmp_path: Path
) -> None:
    critics = critic_pair((32, 32), 2, 4)
    weights = {"generator": teacher.state_dict()}
    weights |= {f"critic_{place}": shaken(critic).state_dict() for place, critic in enumerate(critics)}
    description = described(teacher) | {"critic": critics[0].description()}
    loaded = load_translator(save_as_before(tmp_path / "model.pt", "translator", 2, description, weights))
    assert equal_bits(loaded.generator, teacher)
    assert loaded.critics is not None
    assert all(map(equal_bits, loaded.critics, critics))


def test_segmenter_of_an_earlier_version_loads_bit_by_bit(tmp_path: Path) -> None:
    network = shaken(UNet(**UNET))
    description = {"unet": UNET, "preprocessing": PREPROCESSING.description(), "modalities": list(map(str, Modality))}
    path = save_as_before(tmp_path / "model.pt", "segmenter", 1, description, {"network": network.state_dict()})
    loaded = load_segmenter(path)
    assert equal_bits(loaded.network, network)
    assert (loaded.preprocessing, loaded.arguments, loaded.sha256) == (PREPROCESSING, UNET, file_sha256(path))


def test_model_of_an_earlier_version_is_the_same_when_it_is_saved_today(
    teacher: TumourAwareGenerator, tmp_path: Path
) -> None:
    critics = critic_pair((32, 32), 2, 4)
    weights = {"generator": teacher.state_dict()}
    weights |= {f"critic_{place}": shaken(critic).state_dict() for place, critic in enumerate(critics)}
    description = described(teacher) | {"critic": critics[0].description()}
    before = save_as_before(tmp_path / "model.pt", "translator", 2, description, weights)
    save_translator(tmp_path / "model.safetensors", load_translator(before))
    earlier, today = (read_translator_content(path) for path in (before, tmp_path / "model.safetensors"))
    assert {key: today[key] for key in ("format", "kind", "description")} == {
        key: earlier[key] for key in ("format", "kind", "description")
    }
    assert today["weights"].keys() == earlier["weights"].keys()
    for network, state in earlier["weights"].items():
        assert today["weights"][network].keys() == state.keys()
        for name, value in state.items():
            assert today["weights"][network][name].dtype is value.dtype
            assert torch.equal(today["weights"][network][name], value)


def test_segmenter_of_an_earlier_version_is_the_same_when_it_is_saved_today(tmp_path: Path) -> None:
    network = shaken(UNet(**UNET))
    description = {"unet": UNET, "preprocessing": PREPROCESSING.description(), "modalities": list(map(str, Modality))}
    before = save_as_before(tmp_path / "model.pt", "segmenter", 1, description, {"network": network.state_dict()})
    save_segmenter(tmp_path / "model.safetensors", load_segmenter(before))
    today = load_segmenter(tmp_path / "model.safetensors")
    assert equal_bits(today.network, network)
    assert (today.preprocessing, today.arguments) == (PREPROCESSING, UNET)
