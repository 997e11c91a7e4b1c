"""What a generator paints goes through one map per target, which is saved with it and not trained."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from utad_monai.data.intensity_histogram import BINS
from utad_monai.inferers.calibration import IntensityMap
from utad_monai.keys import SecondInput
from utad_monai.networks import StudentTranslator, TumourAwareGenerator, student_from_teacher, with_target_planes
from utad_monai.networks.output_maps import OutputMaps

CURVE = torch.linspace(0, 1, BINS + 1) ** 2


@pytest.fixture
def image() -> Tensor:
    torch.manual_seed(1)
    image = torch.full((2, 1, 32, 32), -1.0)
    image[:, :, 6:26, 8:24] = torch.rand(2, 1, 20, 16) * 1.8 - 0.9
    return image


def network(*, output_maps: bool = True) -> TumourAwareGenerator:
    torch.manual_seed(0)
    made = TumourAwareGenerator(2, second_input=SecondInput.WHOLE_IMAGE, output_maps=output_maps).eval()
    if made.output_maps is not None:
        made.output_maps.set(torch.stack([CURVE, CURVE, CURVE, torch.linspace(0, 1, BINS + 1)]))
    return made


def test_only_the_map_of_the_target_changes_what_is_painted(image: Tensor) -> None:
    target = torch.tensor([0, 3])
    plain, mapped = (network(output_maps=on)(image, image, target) for on in (False, True))
    expected = IntensityMap(tuple(CURVE.tolist()), 1)(plain.image[0])
    torch.testing.assert_close(mapped.image[0], expected)
    torch.testing.assert_close(mapped.image[1], plain.image[1], atol=1e-5, rtol=0)
    assert not torch.allclose(mapped.image[0], plain.image[0], atol=0.05)
    assert mapped.tumour_image is not None
    assert plain.tumour_image is not None
    assert not torch.allclose(mapped.tumour_image[0], plain.tumour_image[0], atol=0.05)
    assert torch.equal(mapped.image == -1, image == -1)


def test_gradient_passes_the_maps_and_the_maps_are_not_trained(image: Tensor) -> None:
    made = network().train()
    made(image, image, torch.tensor([0, 3])).image.sum().backward()
    assert made.image_decoder.head.bias.grad is not None
    assert made.image_decoder.head.bias.grad.abs().sum() > 0
    assert "output_maps.knots" not in dict(made.named_parameters())
    assert "output_maps.knots" in made.state_dict()


def test_student_paints_with_the_maps_of_its_teacher() -> None:
    student = student_from_teacher(network(), "global_only")
    assert student.output_maps is not None
    assert torch.equal(student.output_maps.knots[0], CURVE)


def test_maps_compile_with_torchscript(image: Tensor) -> None:
    translator = StudentTranslator(network()).eval()
    stacked = with_target_planes(image, torch.tensor([0, 3]))
    torch.testing.assert_close(torch.jit.script(translator)(stacked), translator(stacked))


def test_maps_of_a_network_in_double_precision_are_double(image: Tensor) -> None:
    made = network().double()
    assert made(image.double(), image.double(), torch.tensor([0, 3])).image.dtype is torch.float64


def test_another_number_of_maps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(4, 257\), got \(2, 257\)"):
        OutputMaps(4).set(torch.stack([CURVE, CURVE]))
