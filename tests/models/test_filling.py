"""A network is filled with weights that are exactly its own, and a small file cannot ask for much memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets import UNet
from torch import Tensor, nn

from tests.model_files import BOTH_NAMES, Content, rewrite
from utad_monai.data import Preprocessing
from utad_monai.models import (
    CheckpointError,
    Segmenter,
    TranslatorModel,
    load_segmenter,
    load_translator,
    save_segmenter,
    save_translator,
)
from utad_monai.models.filling import fill, filled
from utad_monai.networks import TumourAwareGenerator, critic_pair


def build() -> nn.Linear:
    return nn.Linear(3, 2)


def test_weights_come_back_and_nothing_random_is_drawn() -> None:
    weights, before = build().state_dict(), torch.get_rng_state()
    network = filled("f", build, weights)
    assert torch.equal(network.weight, weights["weight"])
    assert network.weight.requires_grad
    assert not network.training
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bias": None}, "missing weight bias"),
        ({"more": torch.zeros(1)}, "unexpected weight 'more'"),
        ({"bias": torch.zeros(3)}, r"size mismatch of bias: \(3,\) float32 instead of \(2,\) float32"),
        ({"bias": torch.zeros(2, dtype=torch.float64)}, "size mismatch of bias"),
        ({"bias": torch.zeros(2, device="meta")}, "bias is no plain tensor"),
        ({"bias": torch.zeros(2).to_sparse()}, "bias is no plain tensor"),
        ({"bias": "zero"}, "bias is no plain tensor"),
        ({"weight": torch.zeros(1).expand(2, 3)}, "share their memory"),
        ({"bias": torch.tensor([0.0, torch.nan])}, r"NaN or infinite \(bias\)"),
    ],
)
def test_other_weights_are_refused_with_a_reason(change: dict[str, Tensor | None], reason: str) -> None:
    weights = {name: value for name, value in {**build().state_dict(), **change}.items() if value is not None}
    network = build()
    before = network.weight.clone()
    with pytest.raises(CheckpointError, match=reason):
        filled("f", build, weights)
    with pytest.raises(CheckpointError, match=reason):
        fill("f", network, weights)
    assert torch.equal(network.weight, before)


def test_network_is_not_given_memory_before_the_weights_fit() -> None:
    with pytest.raises(CheckpointError, match="size mismatch"):
        filled("f", lambda: nn.Linear(10**7, 10**6), build().state_dict())


UNET: Content = {"spatial_dims": 2, "in_channels": 4, "out_channels": 3, "channels": [4, 8], "strides": [2]}
PREPROCESSING = Preprocessing((48.0, 60.0), (32, 32))


def nested(depth: int) -> list[Any]:
    content: list[Any] = []
    for _ in range(depth):
        content = [content]
    return content


def laughs() -> list[Any]:
    content: list[Any] = ["ha"]
    for _ in range(14):
        content = [content] * 10
    return content


def itself() -> list[Any]:
    content: list[Any] = []
    content.append(content)
    return content


@pytest.fixture(params=BOTH_NAMES)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    save_translator(path, TranslatorModel(TumourAwareGenerator(2), PREPROCESSING, critics=critic_pair((32, 32), 2, 4)))
    return rewrite(path)


ABSURD: dict[str, Callable[[Content], object]] = {
    "width beyond every float": lambda d: d["generator"].update(base_channels=10**400),
    "width of a billion": lambda d: d["generator"].update(base_channels=10**9),
    "width beyond the weights": lambda d: d["generator"].update(base_channels=8000),
    "negative width": lambda d: d["generator"].update(base_channels=-1),
    "width is a text": lambda d: d["generator"].update(base_channels="64"),
    "width is a fraction": lambda d: d["generator"].update(base_channels=2.5),
    "width is NaN": lambda d: d["generator"].update(base_channels=float("nan")),
    "a billion layers": lambda d: d["critic"].update(layers=10**9),
    "huge critic": lambda d: d["critic"].update(image_size=[2**40, 2**40]),
    "no critic width": lambda d: d["critic"].update(base_channels=0),
    "huge slices": lambda d: d["preprocessing"].update(image_size=[16 * 10**9, 32]),
    "endless slices": lambda d: d["preprocessing"].update(image_size=[float("inf"), 32]),
    "huge frame": lambda d: d["preprocessing"].update(frame_size_mm=[1e30, 1.0]),
    "NaN frame": lambda d: d["preprocessing"].update(frame_size_mm=[float("nan"), 1.0]),
    "NaN window": lambda d: d["target_windows"].update(t1=[float("nan"), 1.0]),
    "infinite window": lambda d: d["target_windows"].update(t1=[0.0, float("inf")]),
    "deep nest": lambda d: d.update(training=nested(60)),
    "many entries": lambda d: d.update(training={"losses": [0.5] * 200_000}),
    "training is a text": lambda d: d.update(training="x"),
}
NO_JSON: dict[str, Callable[[Content], object]] = {
    "laughs": lambda d: d.update(training={"a": laughs()}),
    "holds itself": lambda d: d.update(training={"a": itself()}),
    "holds a tensor": lambda d: d.update(training={"a": torch.zeros(3)}),
}


@pytest.mark.parametrize("change", ABSURD.values(), ids=ABSURD)
def test_absurd_description_is_refused(model: Path, change: Callable[[Content], object]) -> None:
    refuses(rewrite(model, lambda content: change(content["description"])))


@pytest.mark.parametrize("change", NO_JSON.values(), ids=NO_JSON)
@pytest.mark.parametrize("model", ["model.pt"], indirect=True)
def test_absurd_description_that_only_a_torch_file_can_hold_is_refused(
    model: Path, change: Callable[[Content], object]
) -> None:
    refuses(rewrite(model, lambda content: change(content["description"])))


def refuses(model: Path) -> None:
    with pytest.raises(CheckpointError) as refusal:
        load_translator(model)
    assert str(refusal.value).startswith(f"{model}: checkpoint ")
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize(
    "change",
    [
        {"num_res_units": 10**6},
        {"channels": [4] * 1000, "strides": [2] * 999},
        {"channels": [10**9, 8]},
        {"spatial_dims": 7},
        {"in_channels": -4},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", BOTH_NAMES)
def test_absurd_segmentation_network_is_refused(tmp_path: Path, change: Content, name: str) -> None:
    path = tmp_path / name
    save_segmenter(path, Segmenter(UNet(**UNET), PREPROCESSING, arguments=UNET))
    rewrite(path, lambda content: content["description"]["unet"].update(change))
    with pytest.raises(CheckpointError, match=str(path)):
        load_segmenter(path)
