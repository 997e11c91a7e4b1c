"""What ties a translation to its source: cycle, local consistency and identity."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from utad_monai.networks import Translation
from utad_monai.transforms import mask_tumour


def cycle_loss(image: Tensor, reconstructed: Tensor) -> Tensor:
    """Return `E|x - x_r|`, a scalar, for images `(B, 1, H, W)` in [-1, 1]."""
    return functional.l1_loss(reconstructed, image)


def local_consistency_loss(
    tumour_image: Tensor, translation: Translation, reconstruction: Translation | None, tumour_mask: Tensor
) -> Tensor:
    """Return `E|t^ - x^ (.) M| + E|t - t_r|`, a scalar: the tumour branch and the whole image agree.

    Args:
        tumour_image: `t`, `(B, 1, H, W)` in [-1, 1].
        translation: `(x^, t^)`; with a tumour image.
        reconstruction: `(x_r, t_r)`; with a tumour image; None leaves the second term out.
        tumour_mask: `M`, `(B, 1, H, W)`, 0 or 1; may be empty.

    Raises:
        ValueError: when the generator has no tumour decoder.
    """
    if translation.tumour_image is None:
        raise ValueError("local consistency needs a generator with a tumour decoder")
    forward = functional.l1_loss(translation.tumour_image, mask_tumour(translation.image, tumour_mask))
    if reconstruction is None:
        return forward
    if reconstruction.tumour_image is None:
        raise ValueError("local consistency needs a reconstruction by a generator with a tumour decoder")
    return forward + functional.l1_loss(reconstruction.tumour_image, tumour_image)


def identity_loss(image: Tensor, translated: Tensor, same_modality: Tensor) -> Tensor:
    """Return `E|x^ - x|` where samples whose target is another modality count 0.

    The mean is over the whole batch, so a batch with few such samples weighs them no more than any other batch does.

    A switch beyond the paper: a network that is asked for what it was given must change nothing.

    Args:
        image: `x`, `(B, 1, H, W)` in [-1, 1].
        translated: `x^`, the same shape.
        same_modality: `(B,)` bool.
    """
    per_sample = (translated - image).abs().flatten(1).mean(dim=1)
    return (per_sample * same_modality).sum() / len(image)


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
