"""The critic: realness map and modality logits; one for whole images, one for tumour images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from torch import Tensor, nn

from utad_monai.keys import FOUR_MODALITIES, AdversarialGame
from utad_monai.networks.blocks import kaiming_normal

FIRST_SLOPE = 0.001
"""Negative slope after the first convolution, as published."""
SLOPE = 0.01
"""Negative slope after the other convolutions."""


class Judgement(NamedTuple):
    """What a critic says of a batch.

    Attributes:
        realness: unbounded, higher is more real: `(B, 1, h, w)`, or `(B, M, h, w)` where each modality has its own.
        modality_logits: `(B, M)`, in the order of the model's modalities.
    """

    realness: Tensor
    modality_logits: Tensor


class ModalityCritic(nn.Module):
    """Strided convolutions with a realness head and a modality head (Huang, Wei, Li 2024, section III-B).

    Args:
        image_size: height and width of its input in pixels, at least 2 ** layers; a convolution leaves half of a size,
            rounded down.
        base_channels: feature maps of the first convolution; they double per layer.
        layers: number of stride-2 convolutions (6 in the paper, for 128 x 128).
        game: the paper's, or least squares: InstanceNorm in all layers but the first, and a realness map for each
            modality.
        modalities: number M of modalities.

    Raises:
        ValueError: when the image is smaller than 2 ** layers, or least squares are left with a single pixel, of which
            InstanceNorm leaves nothing.
    """

    def __init__(
        self,
        image_size: Sequence[int],
        base_channels: int = 64,
        *,
        layers: int = 6,
        game: AdversarialGame | str = AdversarialGame.WASSERSTEIN,
        modalities: int = len(FOUR_MODALITIES),
    ) -> None:
        super().__init__()
        self.image_size = (image_size[0], image_size[1])
        self.base_channels = base_channels
        self.layers = layers
        self.game = AdversarialGame(game)
        self.modalities = modalities
        per_modality = self.game.realness_per_modality
        remaining = [size // 2**layers for size in image_size]
        if min(remaining) < 1:
            raise ValueError(f"image size must be at least {2**layers} for {layers} layers, got {image_size}")
        if per_modality and remaining == [1, 1]:
            raise ValueError(f"{layers} layers leave one pixel of {image_size}: least squares need a layer less")
        widths = [1, *(base_channels * 2**layer for layer in range(layers))]
        blocks: list[nn.Module] = []
        for layer, (before, after) in enumerate(pairwise(widths)):
            blocks.append(nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1))
            if per_modality and layer > 0:
                blocks.append(nn.GroupNorm(after, after))  # InstanceNorm with weights
            blocks.append(nn.LeakyReLU(FIRST_SLOPE if layer == 0 else SLOPE, inplace=True))
        self.features = nn.Sequential(*blocks)
        maps = modalities if per_modality else 1
        self.realness = nn.Conv2d(widths[-1], maps, kernel_size=3, padding=1, bias=False)
        self.modality = nn.Conv2d(widths[-1], modalities, kernel_size=(remaining[0], remaining[1]), bias=False)
        self.apply(kaiming_normal)

    def description(self) -> dict[str, Any]:
        """Return the constructor arguments as plain data, enough to rebuild the network; four modalities go unsaid."""
        described = {
            "image_size": list(self.image_size),
            "base_channels": self.base_channels,
            "layers": self.layers,
            "game": str(self.game),
        }
        others = {} if self.modalities == len(FOUR_MODALITIES) else {"modalities": self.modalities}
        return described | others

    def forward(self, image: Tensor) -> Judgement:
        """Judge images `(B, 1, H, W)` in [-1, 1]."""
        features = self.features(image)
        return Judgement(self.realness(features), self.modality(features).flatten(1))


def critic_pair(
    image_size: Sequence[int],
    base_channels: int = 64,
    layers: int = 6,
    game: AdversarialGame | str = AdversarialGame.WASSERSTEIN,
    modalities: int = len(FOUR_MODALITIES),
) -> tuple[ModalityCritic, ModalityCritic]:
    """Return a whole-image and a tumour-image critic of the same architecture, with weights of their own.

    Raises:
        ValueError: when the image size does not fit the number of layers or the game.
    """
    whole, tumour = (
        ModalityCritic(image_size, base_channels, layers=layers, game=game, modalities=modalities) for _ in range(2)
    )
    return whole, tumour
