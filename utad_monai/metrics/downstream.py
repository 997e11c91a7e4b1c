"""What a translated modality is worth to a segmentation network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from monai.networks.layers import SkipConnection
from torch import Tensor, nn

from utad_monai.keys import FOUR_MODALITIES, Modality, TumourRegion
from utad_monai.metrics.segmentation import region_dice
from utad_monai.transforms import BACKGROUND


class DownstreamSegmentation:
    """Segment a case with some of its modalities replaced, and measure the Dice.

    Args:
        network: `(B, C, H, W)` in [-1, 1] to `(B, 3, H, W)` logits, channels in `TumourRegion` order.
        device: where to compute; the network is moved there.
        batch_size: slices in one pass.
        modalities: the C input channels; all four by default.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device | str = "cpu",
        *,
        batch_size: int = 32,
        modalities: Sequence[Modality] = FOUR_MODALITIES,
    ) -> None:
        self.network = network.to(device).eval()
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.modalities = tuple(modalities)

    @torch.inference_mode()
    def segment(self, images: Mapping[Modality, Tensor]) -> Tensor:
        """Return `(3, Z, H, W)` regions in {0, 1} of a case given as `(Z, H, W)` images of the network's modalities."""
        stacked = torch.stack([images[modality] for modality in self.modalities], dim=1)
        logits = [self.network(batch.to(self.device)).cpu() for batch in stacked.split(self.batch_size)]
        return (torch.cat(logits) > 0).to(torch.float32).transpose(0, 1)

    def segment_with_features(self, images: Mapping[Modality, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the regions as `segment` does, and the bottleneck of every slice averaged over its pixels, `(Z, C)`.

        Raises:
            TypeError: when the network is no MONAI UNet.
        """
        features: list[Tensor] = []

        def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            features.append(output.mean(dim=(2, 3)).cpu())

        hook = _bottleneck(self.network).register_forward_hook(keep)
        try:
            regions = self.segment(images)
        finally:
            hook.remove()
        return regions, torch.cat(features)

    def dice(self, images: Mapping[Modality, Tensor], truth: Tensor) -> dict[TumourRegion, float]:
        """Return the Dice of each region against `truth` `(3, Z, H, W)`."""
        return region_dice(self.segment(images), truth)


def replace(images: Mapping[Modality, Tensor], target: Modality, substitute: Tensor | None) -> dict[Modality, Tensor]:
    """Return the images with one modality replaced; None fills it with background (file intensity 0: zero-filled)."""
    filled = torch.full_like(images[target], BACKGROUND) if substitute is None else substitute
    return dict(images) | {target: filled}


def _bottleneck(network: nn.Module) -> nn.Module:
    """Return the innermost layer of a MONAI UNet, which is nested in one skip connection per level."""
    connections = [module for module in network.modules() if isinstance(module, SkipConnection)]
    if not connections:
        raise TypeError(f"{type(network).__name__} has no skip connections: features need a MONAI UNet")
    innermost: nn.Module = connections[-1].submodule
    return innermost
