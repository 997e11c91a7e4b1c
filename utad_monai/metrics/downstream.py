"""What a translated modality is worth to a segmentation network."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from transforms import BACKGROUND
from utad_monai.keys import Modality, TumourRegion
from utad_monai.metrics.segmentation import region_dice


class DownstreamSegmentation:
    """Segment a case with one of its modalities replaced, and measure the Dice.

    Args:
        network: `(B, 4, H, W)` in [-1, 1] to `(B, 3, H, W)` logits, channels in `Modality` and `TumourRegion` order.
        device: where to compute; the network is moved there.
        batch_size: slices in one pass.
    """

    def __init__(self, network: torch.nn.Module, device: torch.device | str = "cpu", batch_size: int = 32) -> None:
        self.network = network.to(device).eval()
        self.device = torch.device(device)
        self.batch_size = batch_size

    @torch.inference_mode()
    def segment(self, images: Mapping[Modality, Tensor]) -> Tensor:
        """Return `(3, Z, H, W)` regions in {0, 1} of a case given as `(Z, H, W)` images of all four modalities."""
        stacked = torch.stack([images[modality] for modality in Modality], dim=1)
        logits = [self.network(batch.to(self.device)).cpu() for batch in stacked.split(self.batch_size)]
        return (torch.cat(logits) > 0).to(torch.float32).transpose(0, 1)

    def dice(self, images: Mapping[Modality, Tensor], truth: Tensor) -> dict[TumourRegion, float]:
        """Return the Dice of each region against `truth` `(3, Z, H, W)`."""
        return region_dice(self.segment(images), truth)


def replace(images: Mapping[Modality, Tensor], target: Modality, substitute: Tensor | None) -> dict[Modality, Tensor]:
    """Return the images with one modality replaced; None fills it with background (file intensity 0: zero-filled)."""
    filled = torch.full_like(images[target], BACKGROUND) if substitute is None else substitute
    return dict(images) | {target: filled}
