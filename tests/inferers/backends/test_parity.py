"""The probes look like images, and a network that computes something else is found out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from utad_monai.errors import PackageError
from utad_monai.inferers.backends.parity import TOLERANCE, checked_parity, measure_parity, probe, probe_sizes
from utad_monai.models import TranslatorModel
from utad_monai.networks import StudentTranslator

SIZE = (32, 48)


@pytest.fixture
def network(student: TranslatorModel) -> StudentTranslator:
    return StudentTranslator(student.generator).eval()


def test_probe_is_brain_on_background_with_every_target_in_turn() -> None:
    stacked = probe(5, 32, 48)
    image, planes = stacked[:, :1], stacked[:, 1:]
    assert stacked.shape == (5, 5, 32, 48)
    assert (image[..., 0, 0] == -1).all()
    assert 0.4 < float((image > -1).float().mean()) < 0.9
    assert float(image.max()) > 0.5
    assert planes[:, :, 0, 0].argmax(dim=1).tolist() == [0, 1, 2, 3, 0]
    assert (planes.sum(dim=1) == 1).all()
    torch.testing.assert_close(probe(5, 32, 48), stacked)


def test_sizes_hold_the_models_own_the_smallest_and_larger_ones() -> None:
    sizes = list(probe_sizes((80, 64)))
    assert {(80, 64), (64, 80), (32, 32)} <= {size[1:] for size in sizes}
    assert len({batch for batch, _, _ in sizes}) > 2
    assert all(height % 16 == 0 and width % 16 == 0 for _, height, width in sizes)


def test_network_equals_itself_but_for_its_own_rounding(network: StudentTranslator) -> None:
    parity = measure_parity(network, network, SIZE)
    assert parity.from_student == 0
    assert 0 < parity.from_exact == parity.student_from_exact < TOLERANCE
    assert next(network.parameters()).dtype == torch.float32


def test_difference_is_the_largest_of_all_pixels_and_sizes(network: StudentTranslator) -> None:
    def one_pixel_off(stacked: Tensor) -> Tensor:
        made: Tensor = network(stacked).clone()
        made[0, 0, 3, 3] += 0.25 if stacked.shape[-1] == 240 else 0.0
        return made

    parity = measure_parity(network, one_pixel_off, SIZE)
    assert parity.from_exact == pytest.approx(0.25, abs=1e-3)
    assert parity.from_student == pytest.approx(0.25)


@pytest.mark.parametrize("spoil", [lambda made: made[:1], lambda made: made * float("nan")])
def test_other_shape_or_nan_is_infinitely_different(
    network: StudentTranslator, spoil: Callable[[Tensor], Tensor]
) -> None:
    parity = measure_parity(network, lambda stacked: spoil(network(stacked)), SIZE)
    assert parity.from_exact == parity.from_student == float("inf")


def test_small_error_is_returned_and_large_one_refused(network: StudentTranslator) -> None:
    assert checked_parity(network, network, SIZE, "the file").from_exact < TOLERANCE
    with pytest.raises(PackageError, match=r"the file differs from the student by 2\.\de-03, more than 1e-04; write"):
        checked_parity(network, lambda stacked: network(stacked) + 2e-3, SIZE, "the file")
