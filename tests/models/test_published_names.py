"""The importer, against an independent network that carries the published names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from utad_monai.data.preprocessing import Preprocessing
from utad_monai.keys import SecondInput
from utad_monai.models import CheckpointError, load_translator
from utad_monai.models.published_names import import_published_checkpoint

BASE = 2
PREPROCESSING = Preprocessing((240, 240), (32, 32))


class Unit(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.unit = nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.InstanceNorm2d(after), nn.LeakyReLU(0.01))

    def forward(self, x: Tensor) -> Tensor:
        return self.unit(x)


class Block(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = Unit(before, after), Unit(after, after)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x))


class Up(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.up = nn.Sequential(up, Unit(before, after))

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x)


class PublishedEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = [5, BASE, 2 * BASE, 4 * BASE, 8 * BASE]
        self.features = nn.ModuleDict({f"convblock{n}": Block(widths[n - 1], widths[n]) for n in range(1, 5)})
        self.center_conv = Block(8 * BASE, 16 * BASE)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        skips = []
        for n in range(1, 5):
            x = self.features[f"convblock{n}"](x)
            skips.append(x)
            x = nn.functional.max_pool2d(x, 2)
        return self.center_conv(x), skips


class PublishedDecoder(nn.Module):
    """`deepest_first` numbers the blocks from the bottleneck; the importer must cope with both orders."""

    def __init__(self, deepest_first: bool) -> None:
        super().__init__()
        self.order = [1, 2, 3, 4] if deepest_first else [4, 3, 2, 1]
        blocks: dict[str, nn.Module] = {}
        for number, width in zip(self.order, [8 * BASE, 4 * BASE, 2 * BASE, BASE], strict=True):
            blocks[f"upconv{number}"] = Up(2 * width, width)
            blocks[f"convblock{number}"] = Block(2 * width, width)
        self.features = nn.ModuleDict(blocks)
        self.score = nn.Conv2d(BASE, 1, 1)

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        for number, skip in zip(self.order, reversed(skips), strict=True):
            x = torch.cat([self.features[f"upconv{number}"](x), skip], dim=1)
            x = self.features[f"convblock{number}"](x)
        return torch.tanh(self.score(x))


class PublishedFusion(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        width = 16 * BASE
        self.layer1 = nn.Sequential(nn.Conv2d(3 * width, width, 3, padding=1), nn.BatchNorm2d(width), nn.LeakyReLU(0.1))
        self.layer2 = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.LeakyReLU(0.1))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.layer2(self.layer1(torch.cat([a + b, a * b, torch.maximum(a, b)], dim=1)))


class PublishedGenerator(nn.Module):
    def __init__(self, deepest_first: bool = False) -> None:
        super().__init__()
        self.img_encoder, self.tumor_encoder = PublishedEncoder(), PublishedEncoder()
        self.img_decoder, self.tumor_decoder = PublishedDecoder(deepest_first), PublishedDecoder(deepest_first)
        self.fusion = PublishedFusion()

    def forward(self, image: Tensor, tumour: Tensor, code: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        planes = code[:, :, None, None].expand(-1, -1, *image.shape[2:])
        a, image_skips = self.img_encoder(torch.cat([image, planes], dim=1))
        b, tumour_skips = self.tumor_encoder(torch.cat([tumour, planes], dim=1))
        fused = self.fusion(a, b)
        return self.img_decoder(fused, image_skips), self.tumor_decoder(fused, tumour_skips), fused


def published(deepest_first: bool = False) -> PublishedGenerator:
    torch.manual_seed(3)
    network = PublishedGenerator(deepest_first)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
    return network.eval()


@pytest.mark.parametrize("deepest_first", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_the_same_weights_give_the_same_outputs(tmp_path: Path, deepest_first: bool, wrapped: bool) -> None:
    network = published(deepest_first)
    state = network.state_dict()
    torch.save({"state_dict": state} if wrapped else state, tmp_path / "G.ckpt")
    import_published_checkpoint(tmp_path / "G.ckpt", tmp_path / "model.safetensors", PREPROCESSING)
    ours = load_translator(tmp_path / "model.safetensors").generator
    image, tumour = torch.rand(2, 1, 32, 32) * 2 - 1, torch.rand(2, 1, 32, 32) * 2 - 1
    with torch.no_grad():
        expected = network(image, tumour, torch.eye(4)[[1, 3]])
        actual = ours(image, tumour, torch.tensor([1, 3]))
    for theirs, mine in zip(expected, actual, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_what_the_file_cannot_say_is_taken_from_the_user(tmp_path: Path) -> None:
    torch.save(published().state_dict(), tmp_path / "G.ckpt")
    second_input = SecondInput.WHOLE_IMAGE
    import_published_checkpoint(tmp_path / "G.ckpt", tmp_path / "model.safetensors", PREPROCESSING, second_input)
    model = load_translator(tmp_path / "model.safetensors")
    assert model.generator.second_input is second_input
    assert model.preprocessing == PREPROCESSING
    assert not model.generator.keep_background


def test_a_missing_weight_is_refused_by_name(tmp_path: Path) -> None:
    state = published().state_dict()
    del state["tumor_decoder.score.bias"]
    torch.save(state, tmp_path / "G.ckpt")
    with pytest.raises(CheckpointError, match=r"missing weight tumour_decoder\.head\.bias"):
        import_published_checkpoint(tmp_path / "G.ckpt", tmp_path / "model.safetensors", PREPROCESSING)
    assert not (tmp_path / "model.safetensors").exists()


def test_a_weight_of_another_size_is_refused(tmp_path: Path) -> None:
    state = published().state_dict()
    state["img_decoder.score.weight"] = torch.zeros(1, 7, 1, 1)
    torch.save(state, tmp_path / "G.ckpt")
    with pytest.raises(CheckpointError, match="size mismatch"):
        import_published_checkpoint(tmp_path / "G.ckpt", tmp_path / "model.safetensors", PREPROCESSING)


@pytest.mark.parametrize(
    "content", [{"other.weight": torch.zeros(1)}, {"epoch": 3}, [torch.zeros(1)]], ids=["names", "no tensor", "list"]
)
def test_other_content_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "G.ckpt")
    with pytest.raises(CheckpointError, match="import a generator's state dict"):
        import_published_checkpoint(tmp_path / "G.ckpt", tmp_path / "model.safetensors", PREPROCESSING)
