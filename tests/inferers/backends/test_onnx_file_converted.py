"""Every engine computes the student, at any size and batch, and leaves it as it was."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from utad_monai.inferers import SliceTranslator
from utad_monai.inferers.backends import SliceEngine, slice_engine
from utad_monai.inferers.backends.parity import probe
from utad_monai.keys import Modality, SecondInput
from utad_monai.networks import TumourAwareGenerator, student_from_teacher

TOLERANCE = 2e-4
"""Largest difference from the student in double precision; the student in float32 is up to 8e-5 from it."""
LIBRARIES = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}
TARGETS = torch.tensor([2, 0])


@pytest.fixture(scope="module", params=[1, 2, "several"])
def student(request: pytest.FixtureRequest) -> TumourAwareGenerator:
    torch.manual_seed(0)
    if request.param == "several":
        return of_several_sources()
    teacher = TumourAwareGenerator(4, condition_in_brain=True, norm_group=request.param)
    return student_from_teacher(teacher, "complete").eval()


def of_several_sources() -> TumourAwareGenerator:
    """Return a student of several sources, with random weights where a fresh one has zeros, and curved output maps."""
    student = TumourAwareGenerator(
        4,
        "global_only",
        second_input=SecondInput.WHOLE_IMAGE,
        sources="several",
        conditional_norms=True,
        gain_head=True,
        output_maps=True,
    )
    assert student.output_maps is not None
    student.output_maps.set(student.output_maps.knots**2)
    with torch.no_grad():
        for weight in student.parameters():
            if not bool(weight.any()):
                weight.normal_(0, 0.1)
    return student.eval()


@pytest.fixture(scope="module", params=list(LIBRARIES))
def engine(request: pytest.FixtureRequest, student: TumourAwareGenerator) -> SliceEngine:
    pytest.importorskip(LIBRARIES[request.param])
    return slice_engine(request.param, student)


def image_of(student: TumourAwareGenerator, height: int, width: int) -> Tensor:
    """Return images `(2, S, H, W)` of the student's sources; of several some are absent."""
    channels = student.image_channels
    return probe(2, height, width, channels)[:, :channels]


@pytest.mark.parametrize("size", [(32, 32), (96, 80), (128, 128), (240, 240)])
def test_engine_is_near_the_exact_student_at_any_size(
    engine: SliceEngine, student: TumourAwareGenerator, size: tuple[int, int]
) -> None:
    image = image_of(student, *size)
    with torch.inference_mode():
        exact = copy.deepcopy(student).double()(image.double(), image.double(), TARGETS).image
    torch.testing.assert_close(engine(image, image, TARGETS).double(), exact, rtol=0, atol=TOLERANCE)


def test_background_is_exactly_kept(engine: SliceEngine, student: TumourAwareGenerator) -> None:
    image = image_of(student, 48, 64)
    brain = (image > -1).any(dim=1, keepdim=True)
    assert torch.equal(engine(image, image, TARGETS) > -1, brain)


def test_earlier_results_do_not_change(engine: SliceEngine, student: TumourAwareGenerator) -> None:
    first = image_of(student, 32, 32)
    made = engine(first, first, TARGETS)
    kept = made.clone()
    engine(first, first, TARGETS.flip(0))
    assert torch.equal(made, kept)


@pytest.mark.parametrize("name", list(LIBRARIES))
def test_network_is_left_as_it_was(student: TumourAwareGenerator, name: str) -> None:
    pytest.importorskip(LIBRARIES[name])
    generator = copy.deepcopy(student).train()
    image = image_of(student, 32, 32)
    slice_engine(name, generator)(image, image, TARGETS)
    assert all(module.training for module in generator.modules())
    wanted, weights = student.state_dict(), generator.state_dict()
    assert all(torch.equal(weights[key], wanted[key]) for key in wanted)
    with torch.inference_mode():
        assert torch.equal(generator.eval()(image, image, TARGETS).image, student(image, image, TARGETS).image)


def test_openvino_has_the_same_bytes_on_any_number_of_threads_and_in_any_batch(student: TumourAwareGenerator) -> None:
    pytest.importorskip("openvino")
    image = probe(5, 64, 48)[:, 0]
    one = SliceTranslator(student, batch_size=5, engine="openvino", threads=1)({Modality.T2: image}, Modality.T1)
    two = SliceTranslator(student, batch_size=2, engine="openvino", threads=2)({Modality.T2: image}, Modality.T1)
    assert torch.equal(one, two)
