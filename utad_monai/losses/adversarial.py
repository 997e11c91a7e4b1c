"""Both sides of the Wasserstein game with a modality classifier (StarGAN's game, played twice)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from utad_monai.keys import LossTerm
from utad_monai.networks import Judgement

Critic = Callable[[Tensor], Judgement]


def critic_terms(
    critic: Critic, real: Tensor, fake: Tensor, source_modality: Tensor, alpha: Tensor | None = None
) -> dict[LossTerm, Tensor]:
    """Return the terms that train one critic (`L_D` of Huang, Wei, Li 2024), unweighted.

    Args:
        critic: whole-image or tumour-image critic.
        real: `(B, 1, H, W)` real images of the source modality.
        fake: `(B, 1, H, W)` generated images; gradients to the generator are cut here.
        source_modality: `(B,)` int64 indices of the real images.
        alpha: `(B,)` in [0, 1], where the gradient penalty is measured; drawn when None.

    Returns:
        `-E[D(real)]`, `E[D(fake)]`, cross-entropy of the real images' modality, gradient penalty; all scalars.
    """
    fake = fake.detach()
    judged = critic(torch.cat([real, fake]))  # one pass for both: a critic has no batch statistics
    realness_real, realness_fake = judged.realness.to(real.dtype).chunk(2)
    return {
        LossTerm.CRITIC_REAL: -realness_real.mean(),
        LossTerm.CRITIC_FAKE: realness_fake.mean(),
        LossTerm.CRITIC_MODALITY: functional.cross_entropy(judged.modality_logits[: len(real)], source_modality),
        LossTerm.CRITIC_GRADIENT_PENALTY: gradient_penalty(critic, real, fake, alpha),
    }


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, alpha: Tensor | None = None) -> Tensor:
    """Return `E[(||grad D(h)||_2 - 1)^2]`, h on the line between real and fake, one alpha per sample.

    Source: Gulrajani et al. 2017, arXiv 1704.00028. Images are `(B, 1, H, W)`, alpha `(B,)` in [0, 1] (1 is real;
    drawn when None); the result is a scalar. It is computed in full precision: small gradients vanish in float16.
    """
    if alpha is None:
        alpha = torch.rand(len(real), device=real.device, dtype=real.dtype)
    alpha = alpha[:, None, None, None]
    between = (alpha * real + (1 - alpha) * fake).detach().requires_grad_()
    with torch.autocast(real.device.type, enabled=False):
        realness = critic(between).realness
    (gradient,) = torch.autograd.grad(realness.sum(), between, create_graph=True)
    penalty: Tensor = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty


def generator_terms(critic: Critic, fake: Tensor, target_modality: Tensor) -> dict[LossTerm, Tensor]:
    """Return the terms by which one critic teaches the generator, unweighted.

    Args:
        critic: whole-image or tumour-image critic.
        fake: `(B, 1, H, W)` generated images, with their graph.
        target_modality: `(B,)` int64 indices of the modality that was asked for.

    Returns:
        `-E[D(fake)]` and cross-entropy of the asked modality; scalars.
    """
    judged = critic(fake)
    return {
        LossTerm.ADVERSARIAL: -judged.realness.to(fake.dtype).mean(),
        LossTerm.MODALITY: functional.cross_entropy(judged.modality_logits, target_modality),
    }
