"""Both sides of the least-squares game with a modality classifier, in which each modality has its own realness.

A switch beyond the paper. The paper's critics find a T1 image real whatever modality was asked for, and learn their
unit gradient slowly; these judge a translation as an image of the modality that was asked for.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from utad_monai.keys import LossTerm
from utad_monai.losses.adversarial import Critic
from utad_monai.networks import Judgement


def least_squares_critic_terms(
    critic: Critic, real: Tensor, fake: Tensor, source_modality: Tensor, target_modality: Tensor
) -> dict[LossTerm, Tensor]:
    """Return the terms that train one critic, unweighted (Mao et al. 2017, arXiv 1611.04076).

    Args:
        critic: whole-image or tumour-image critic with a realness map for each modality.
        real: `(B, 1, H, W)` real images of the source modality.
        fake: `(B, 1, H, W)` generated images of the target modality; gradients to the generator are cut here.
        source_modality: `(B,)` int64 indices of the real images.
        target_modality: `(B,)` int64 indices of the generated images.

    Returns:
        `E[(D(real) - 1)^2]`, `E[D(fake)^2]`, cross-entropy of the real images' modality; all scalars.
    """
    judged = critic(torch.cat([real, fake.detach()]))
    realness = realness_as(judged, torch.cat([source_modality, target_modality])).to(real.dtype)
    realness_real, realness_fake = realness.chunk(2)
    return {
        LossTerm.CRITIC_REAL: (realness_real - 1).square().mean(),
        LossTerm.CRITIC_FAKE: realness_fake.square().mean(),
        LossTerm.CRITIC_MODALITY: functional.cross_entropy(judged.modality_logits[: len(real)], source_modality),
    }


def least_squares_generator_terms(critic: Critic, fake: Tensor, target_modality: Tensor) -> dict[LossTerm, Tensor]:
    """Return the terms by which one critic teaches the generator, unweighted.

    Args:
        critic: whole-image or tumour-image critic with a realness map for each modality.
        fake: `(B, 1, H, W)` generated images, with their graph.
        target_modality: `(B,)` int64 indices of the modality that was asked for.

    Returns:
        `E[(D(fake) - 1)^2]` and cross-entropy of the asked modality; scalars.
    """
    judged = critic(fake)
    return {
        LossTerm.ADVERSARIAL: (realness_as(judged, target_modality).to(fake.dtype) - 1).square().mean(),
        LossTerm.MODALITY: functional.cross_entropy(judged.modality_logits, target_modality),
    }


def realness_as(judged: Judgement, modality: Tensor) -> Tensor:
    """Return the realness `(B, h, w)` of each image as one of its modality `(B,)`."""
    return judged.realness[torch.arange(len(modality), device=modality.device), modality]
