"""Validation on phantom batches: the true target scores best, and the network stays as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from utad_monai.engines import TeachingValidator
from utad_monai.engines.validators import KEY_METRIC
from utad_monai.keys import BatchKey, SecondInput
from utad_monai.networks import Translation, TumourAwareGenerator
from utad_monai.phantom import TeachingBatches, TeachingBrains

SIZE = (32, 32)
Batch = dict[str, Any]


class Painter(nn.Module):
    """Knows the true targets, in turn, and paints them so much brighter."""

    def __init__(self, batches: list[Batch], brighter: float = 0.0, second: SecondInput = SecondInput.WHOLE_IMAGE):
        super().__init__()
        self.second_input = second
        self.batches, self.brighter = batches, brighter
        self.given: list[tuple[Tensor, Tensor]] = []
        self.modes: list[bool] = []

    def forward(self, image: Tensor, second: Tensor, target: Tensor, with_tumour_image: bool = True) -> Translation:
        assert not with_tumour_image
        batch = self.batches[len(self.given) % len(self.batches)]
        assert torch.equal(target, batch[BatchKey.TARGET_MODALITY])
        self.given.append((image, second))
        self.modes.append(self.training)
        true = batch[BatchKey.TARGET_IMAGE]
        return Translation((true + self.brighter * (true > -1)).clamp(-1, 1), None, image)


@pytest.fixture
def batches(teaching_brains: TeachingBrains) -> list[Batch]:
    """Three batches with tumours."""
    dataset = TeachingBatches(teaching_brains, sizes=[SIZE], batch_size=3, seed=8)
    return [dataset[index] for index in range(3)]


def metrics_of(batches: list[Batch], generator: Any) -> dict[str, float]:
    validator = TeachingValidator("cpu", batches, generator=generator)
    validator.run()
    return dict(validator.state.metrics)


def test_the_true_target_scores_best(batches: list[Batch]) -> None:
    metrics = metrics_of(batches, Painter(batches))
    assert metrics["phantom_ssim"] == pytest.approx(1, abs=1e-4)
    assert metrics["phantom_mae"] == metrics["phantom_tumour_mae"] == 0
    assert metrics[KEY_METRIC] == pytest.approx(2, abs=1e-3)


def test_errors_are_in_unit_intensity_and_cost_score(batches: list[Batch]) -> None:
    little, much = (metrics_of(batches, Painter(batches, brighter)) for brighter in (0.1, 0.4))
    assert little["phantom_mae"] == pytest.approx(0.05, abs=0.01)
    assert little["phantom_mae"] < much["phantom_mae"]
    assert 2 > little[KEY_METRIC] > much[KEY_METRIC]


def test_the_score_is_of_brain_and_tumour(batches: list[Batch]) -> None:
    metrics = metrics_of(batches, Painter(batches, 0.3))
    assert metrics[KEY_METRIC] == pytest.approx(metrics["phantom_ssim"] + metrics["phantom_tumour_ssim"])


def test_metrics_are_means_over_batches(batches: list[Batch]) -> None:
    together = metrics_of(batches, Painter(batches, 0.2))
    apart = [metrics_of([batch], Painter([batch], 0.2)) for batch in batches]
    for name, value in together.items():
        assert value == pytest.approx(sum(one[name] for one in apart) / 3, rel=1e-5)


def test_a_batch_without_tumour_does_not_count_in_the_tumour(batches: list[Batch]) -> None:
    healthy = batches[1] | {BatchKey.TUMOUR_MASK: torch.zeros_like(batches[1][BatchKey.TUMOUR_MASK])}
    with_healthy = [batches[0], healthy]
    metrics = metrics_of(with_healthy, Painter(with_healthy, 0.2))
    alone = metrics_of(batches[:1], Painter(batches[:1], 0.2))
    assert metrics["phantom_tumour_mae"] == pytest.approx(alone["phantom_tumour_mae"])
    assert metrics["phantom_mae"] != pytest.approx(alone["phantom_mae"], rel=1e-3)


def test_every_run_begins_anew(batches: list[Batch]) -> None:
    painter = Painter(batches, 0.4)
    validator = TeachingValidator("cpu", batches, generator=painter)  # type: ignore[arg-type]
    validator.run()
    painter.brighter = 0.0
    validator.run()
    assert validator.state.metrics["phantom_mae"] == 0


@pytest.mark.parametrize("second", SecondInput)
def test_a_teacher_is_given_the_tumour(batches: list[Batch], second: SecondInput) -> None:
    painter = Painter(batches, second=second)
    metrics_of(batches, painter)
    for batch, (image, given) in zip(batches, painter.given, strict=True):
        assert torch.equal(image, batch[BatchKey.IMAGE])
        expected = image
        if second is SecondInput.TUMOUR_IMAGE:
            expected = torch.where(batch[BatchKey.TUMOUR_MASK] > 0, image, torch.tensor(-1.0))
        torch.testing.assert_close(given, expected)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_looked_at_in_evaluation_and_left_as_it_was(batches: list[Batch], training: bool) -> None:
    painter = Painter(batches).train(training)
    metrics_of(batches, painter)
    assert painter.modes == [False] * 3
    assert painter.training == training


def test_a_real_generator_is_measured_and_not_changed(batches: list[Batch]) -> None:
    torch.manual_seed(0)
    generator = TumourAwareGenerator(2, sources="several", residual_fusion=True).train()
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    metrics = metrics_of(batches, generator)
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())
    assert 0 < metrics["phantom_mae"] < 1
