"""Maps of intensities after a generator's decoders: what it paints is given the intensities of a cohort."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from utad_monai.data.intensity_histogram import BINS
from utad_monai.transforms import BACKGROUND, BRAIN_FLOOR


def map_intensities(
    images: Tensor, knots: Tensor, background: float = BACKGROUND, brain_floor: float = BRAIN_FLOOR
) -> Tensor:
    """Map intensities by a monotone curve per image; background stays exactly -1, and brain stays brain.

    Args:
        images: `(B, ...)` in [-1, 1].
        knots: `(B, K)` values in [0, 1] that rise, of equally spaced intensities on [0, 1]; linear in between.
        background: that of the images.
        brain_floor: darkest value of brain.
    """
    bins = knots.shape[1] - 1
    place = ((images.to(knots.dtype) + 1) / 2 * bins).clamp(0, bins)
    below = place.floor().clamp(max=bins - 1)
    index = below.to(torch.int64).flatten(1)
    low, high = knots.gather(1, index).view_as(place), knots.gather(1, index + 1).view_as(place)
    mapped = torch.lerp(low, high, place - below) * 2 - 1
    return torch.where(images > background, mapped.clamp(brain_floor, 1.0).to(images.dtype), images)


class OutputMaps(nn.Module):
    """One monotone map of intensities per target modality, which is not trained.

    The network before it goes on to paint the intensities that its start weights knew, and so stays near them.

    Args:
        modalities: number M of target modalities; each has the map that changes nothing, until `set` gives another.
    """

    def __init__(self, modalities: int) -> None:
        super().__init__()
        self.knots: Tensor
        self.register_buffer("knots", torch.linspace(0, 1, BINS + 1).repeat(modalities, 1))

    def set(self, knots: Tensor) -> None:
        """Take `(M, BINS + 1)` knots in [0, 1].

        Raises:
            ValueError: when there are not as many.
        """
        if knots.shape != self.knots.shape:
            raise ValueError(f"expected knots of shape {tuple(self.knots.shape)}, got {tuple(knots.shape)}")
        self.knots.copy_(knots)

    def forward(self, images: Tensor, target_modality: Tensor) -> Tensor:
        """Return `(B, 1, H, W)` in [-1, 1] with each image's intensities mapped; targets `(B,)` int64."""
        return map_intensities(images, self.knots[target_modality])
