"""The best segmentation network is saved when the validation improves, and only then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.networks.nets import UNet

from utad_monai.data import Preprocessing
from utad_monai.handlers import SaveBestSegmenter
from utad_monai.keys import Modality
from utad_monai.models import load_segmenter

UNET: dict[str, Any] = {"spatial_dims": 2, "in_channels": 4, "out_channels": 3, "channels": [4, 8], "strides": [2]}


@pytest.fixture
def handler(tmp_path: Path, tiny_preprocessing: Preprocessing) -> SaveBestSegmenter:
    torch.manual_seed(0)
    return SaveBestSegmenter(
        tmp_path / "run" / "model.safetensors",
        UNet(**UNET),
        arguments=UNET,
        preprocessing=tiny_preprocessing,
        modalities=list(Modality),
    )


def validated(handler: SaveBestSegmenter, dice: float) -> None:
    """Run a validator whose mean Dice is the given one."""
    engine = Engine(lambda *_: None)
    engine.state.key_metric_name = "val_mean_dice"  # type: ignore[attr-defined]
    handler.attach(engine)

    def measure(e: Engine) -> None:
        e.state.metrics = {"val_mean_dice": dice}

    engine.add_event_handler(Events.EPOCH_COMPLETED, measure)
    engine.run([0], max_epochs=1)


def test_network_is_saved_only_when_the_dice_improved(handler: SaveBestSegmenter) -> None:
    kept = []
    for number, dice in enumerate([0.2, 0.1, 0.2, 0.5, float("nan")]):
        with torch.no_grad():
            next(handler.network.parameters()).fill_(number)
        validated(handler, dice)
        kept.append(next(load_segmenter(handler.path).network.parameters()).mean().item())
    assert kept == [0, 0, 0, 3, 3]
    assert handler.best == 0.5


def test_the_model_of_an_earlier_version_is_replaced(handler: SaveBestSegmenter) -> None:
    handler.path.parent.mkdir()
    handler.path.with_name("model.pt").write_bytes(b"earlier")
    validated(handler, 0.3)
    assert [path.name for path in handler.path.parent.iterdir()] == ["model.safetensors"]


def test_saved_network_gives_the_same_logits_in_evaluation_mode(
    handler: SaveBestSegmenter, tiny_preprocessing: Preprocessing
) -> None:
    validated(handler, 0.3)
    saved = load_segmenter(handler.path)
    image = torch.rand(1, 4, 32, 32)
    torch.testing.assert_close(saved.network(image), handler.network.eval()(image))
    assert not saved.network.training
    assert saved.preprocessing == tiny_preprocessing
    assert saved.arguments == UNET
    assert saved.modalities == tuple(Modality)
