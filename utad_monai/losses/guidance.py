"""What makes an image follow another one inside the tumour."""

from __future__ import annotations

from torch import Tensor


def tumour_guidance_loss(image: Tensor, guide: Tensor, tumour_mask: Tensor) -> Tensor:
    """Return the mean over samples of the mean `|image - guide|` over the pixels of each sample's tumour, a scalar.

    A switch beyond the paper, whose terms are means over the whole frame. Tumours fill a few percent of that: a whole
    image keeps the source's contrast there, while its tumour image, which has a critic of its own, has the target's;
    and a student learns its teacher's brain rather than its tumour.

    Args:
        image: what follows, `(B, 1, H, W)` in [-1, 1].
        guide: what it follows, the same shape; no gradient reaches it.
        tumour_mask: `M`, `(B, 1, H, W)`, 0 or 1; a sample without tumour counts 0.
    """
    apart = (image - guide.detach()).abs() * tumour_mask
    pixels = tumour_mask.flatten(1).sum(dim=1).clamp(min=1)
    return (apart.flatten(1).sum(dim=1) / pixels).mean()
