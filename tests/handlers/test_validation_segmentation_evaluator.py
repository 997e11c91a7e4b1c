"""During training the Dice of translations is followed where a segmentation model exists."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from monai.networks.nets import UNet
from torch import Tensor

from utad_monai.data import EvaluationCases, Preprocessing
from utad_monai.handlers import SegmentationEvaluator
from utad_monai.inferers import SliceTranslator
from utad_monai.keys import BatchKey, Modality
from utad_monai.models import Segmenter, save_segmenter

Images = Mapping[Modality, Tensor]
Make = Callable[..., Any]
UNET: dict[str, Any] = {"spatial_dims": 2, "in_channels": 4, "out_channels": 3, "channels": [4, 8], "strides": [2]}
NAMES = {f"downstream_dice_{region}" for region in ("WT", "TC", "ET")}


@pytest.fixture
def output_dir(tmp_path: Path, tiny_preprocessing: Preprocessing) -> Path:
    """Give an output folder with a segmentation model."""
    torch.manual_seed(0)
    save_segmenter(
        tmp_path / "segmentation" / "model.safetensors", Segmenter(UNet(**UNET), tiny_preprocessing, arguments=UNET)
    )
    return tmp_path


class Watch:
    """Hands out the source unchanged and remembers what it was asked."""

    device = torch.device("cpu")
    several = False

    def __init__(self) -> None:
        self.asked: list[tuple[Tensor, Modality]] = []

    def __call__(self, images: Images, target: Modality, _mask: Tensor | None = None) -> Tensor:
        (slices,) = images.values()
        self.asked.append((slices, target))
        return slices.clone()


def test_dice_of_every_region_joins_the_metrics(
    make_validator: Make, output_dir: Path, validation_cases: EvaluationCases, translator: SliceTranslator
) -> None:
    validator = make_validator(SegmentationEvaluator(output_dir, validation_cases, translator=translator))
    validator.run()
    assert set(validator.state.metrics) >= NAMES
    assert all(0 <= validator.state.metrics[name] <= 1 for name in NAMES)
    assert "unpaired_score" in validator.state.metrics


def test_dice_is_the_mean_over_targets_filled_from_their_best_sources(
    make_validator: Make, output_dir: Path, validation_cases: EvaluationCases
) -> None:
    watch: Any = Watch()
    handler = SegmentationEvaluator(output_dir, validation_cases, translator=watch)
    validator = make_validator()
    validator.source_errors = {Modality.T1: {Modality.FLAIR: 0.3, Modality.T2: 0.2}}
    handler(validator)
    images = validation_cases[0][BatchKey.IMAGE]
    expected = {Modality.FLAIR: Modality.T2, Modality.T1: Modality.T2, Modality.T1CE: Modality.T1}
    expected[Modality.T2] = Modality.T1
    assert [target for _, target in watch.asked] == list(Modality)
    assert all(torch.equal(slices, images[expected[target]]) for slices, target in watch.asked)

    assert handler._segmentation is not None
    truth = validation_cases[0][BatchKey.LABEL]
    dice = [handler._segmentation.dice({**images, t: images[s]}, truth) for t, s in expected.items()]
    for region in ("WT", "TC", "ET"):
        mean = sum(values[region] for values in dice) / 4  # type: ignore[index]
        assert validator.state.metrics[f"downstream_dice_{region}"] == pytest.approx(mean)


def test_generator_of_several_sources_fills_a_target_from_all_others(
    make_validator: Make, output_dir: Path, validation_cases: EvaluationCases
) -> None:
    class WatchSeveral(Watch):
        several = True

        def __call__(self, images: Images, target: Modality, _mask: Tensor | None = None) -> Tensor:
            given.append((target, tuple(images)))
            return next(iter(images.values())).clone()

    given: list[tuple[Modality, tuple[Modality, ...]]] = []
    watch: Any = WatchSeveral()
    SegmentationEvaluator(output_dir, validation_cases, translator=watch)(make_validator())
    assert given == [(target, tuple(m for m in Modality if m != target)) for target in Modality]


def test_it_runs_at_the_first_validation_and_every_interval_after(
    make_validator: Make, output_dir: Path, validation_cases: EvaluationCases
) -> None:
    watch: Any = Watch()
    handler = SegmentationEvaluator(output_dir, validation_cases, translator=watch, interval=3)
    validator = make_validator()
    counts = []
    for _ in range(5):
        handler(validator)
        counts.append(len(watch.asked) // 4)
    assert counts == [1, 1, 1, 2, 2]


def test_without_a_model_it_says_so_once_and_does_nothing(
    make_validator: Make,
    tmp_path: Path,
    validation_cases: EvaluationCases,
    translator: SliceTranslator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, logger="utad_monai"):
        validator = make_validator(SegmentationEvaluator(tmp_path, validation_cases, translator=translator))
        validator.run()
        validator.run(2)
    assert caplog.text.count("downstream Dice is not followed") == 1
    assert not NAMES & set(validator.state.metrics)


def test_without_a_complete_case_it_does_nothing(
    make_validator: Make, output_dir: Path, validation_cases: EvaluationCases, translator: SliceTranslator
) -> None:
    handler = SegmentationEvaluator(output_dir, EvaluationCases(validation_cases.store, []), translator=translator)
    validator = make_validator(handler)
    validator.run()
    assert not NAMES & set(validator.state.metrics)


def test_other_engines_are_left_alone(output_dir: Path, validation_cases: EvaluationCases) -> None:
    watch: Any = Watch()
    SegmentationEvaluator(output_dir, validation_cases, translator=watch)(Engine(lambda *_: None))
    assert watch.asked == []
