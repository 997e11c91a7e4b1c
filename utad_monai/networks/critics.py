"""Critics come in pairs: one for whole images, one for tumour images."""

from __future__ import annotations

from collections.abc import Sequence

from utad_monai.keys import AdversarialGame
from utad_monai.networks.discriminator import ModalityCritic


def critic_pair(
    image_size: Sequence[int],
    base_channels: int = 64,
    layers: int = 6,
    game: AdversarialGame | str = AdversarialGame.WASSERSTEIN,
) -> tuple[ModalityCritic, ModalityCritic]:
    """Return a whole-image and a tumour-image critic of the same architecture, with weights of their own.

    Raises:
        ValueError: when the image size does not fit the number of layers or the game.
    """
    whole, tumour = (ModalityCritic(image_size, base_channels, layers, game) for _ in range(2))
    return whole, tumour
