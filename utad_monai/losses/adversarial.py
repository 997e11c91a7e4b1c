"""What critics and generator play for: the paper's Wasserstein game, least squares or hinge; a modality classifier."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from utad_monai.keys import AdversarialGame, LossTerm
from utad_monai.networks import Judgement

Critic = Callable[[Tensor], Judgement]


class AdversarialLoss(Protocol):
    """Both sides of a game; a critic must be made for it."""

    def critic(
        self,
        critic: Critic,
        real: Tensor,
        fake: Tensor,
        source_modality: Tensor,
        target_modality: Tensor,
        *,
        alpha: Tensor | None = None,
    ) -> dict[LossTerm, Tensor]:
        """Return the terms that train one critic, unweighted scalars.

        Args:
            critic: whole-image or tumour-image critic.
            real: `(B, 1, H, W)` real images of the source modality.
            fake: `(B, 1, H, W)` generated images of the target modality; gradients to the generator are cut here.
            source_modality: `(B,)` int64 indices of the real images.
            target_modality: `(B,)` int64 indices of the generated images.
            alpha: `(B,)` in [0, 1], where a gradient penalty is measured; drawn when None.
        """
        ...

    def generator(self, critic: Critic, fake: Tensor, target_modality: Tensor) -> dict[LossTerm, Tensor]:
        """Return the terms by which one critic teaches the generator, unweighted scalars.

        Args:
            critic: whole-image or tumour-image critic.
            fake: `(B, 1, H, W)` generated images, with their graph.
            target_modality: `(B,)` int64 indices of the modality that was asked for.
        """
        ...

    def largest_gap(self, image_size: tuple[int, int], layers: int) -> float | None:
        """Return the largest `E[D(real)] - E[D(fake)]` of an honest critic; None where the terms do not tell the gap.

        Args:
            image_size: height and width of the critic's input in pixels.
            layers: number of its stride-2 convolutions.
        """
        ...


def loss_of_game(game: AdversarialGame | str) -> AdversarialLoss:
    """Return both sides of a game by its name."""
    return _LOSSES[AdversarialGame(game)]


class WassersteinLoss:
    """The paper's game (StarGAN's, played twice; `L_D` of Huang, Wei, Li 2024)."""

    def critic(
        self,
        critic: Critic,
        real: Tensor,
        fake: Tensor,
        source_modality: Tensor,
        target_modality: Tensor,  # noqa: ARG002  (realness is one for all modalities)
        *,
        alpha: Tensor | None = None,
    ) -> dict[LossTerm, Tensor]:
        """Return `-E[D(real)]`, `E[D(fake)]`, cross-entropy of the real images' modality, gradient penalty."""
        fake = fake.detach()
        judged = critic(torch.cat([real, fake]))  # one pass for both: a critic has no batch statistics
        realness_real, realness_fake = judged.realness.to(real.dtype).chunk(2)
        return {
            LossTerm.CRITIC_REAL: -realness_real.mean(),
            LossTerm.CRITIC_FAKE: realness_fake.mean(),
            LossTerm.CRITIC_MODALITY: functional.cross_entropy(judged.modality_logits[: len(real)], source_modality),
            LossTerm.CRITIC_GRADIENT_PENALTY: gradient_penalty(critic, real, fake, alpha),
        }

    def generator(self, critic: Critic, fake: Tensor, target_modality: Tensor) -> dict[LossTerm, Tensor]:
        """Return `-E[D(fake)]` and cross-entropy of the asked modality."""
        judged = critic(fake)
        return {
            LossTerm.ADVERSARIAL: -judged.realness.to(fake.dtype).mean(),
            LossTerm.MODALITY: functional.cross_entropy(judged.modality_logits, target_modality),
        }

    def largest_gap(self, image_size: tuple[int, int], layers: int) -> float:
        """Return `2 sqrt(H W)` over the number of patches.

        A critic whose gradient is at most 1 cannot judge two images further apart than they are, which is at most
        `2 sqrt(H W)` for slices of H x W pixels in [-1, 1]; the gradient is that of the sum of the patches, the loss
        their mean.
        """
        patches = math.prod(size >> layers for size in image_size)
        return 2 * math.sqrt(math.prod(image_size)) / patches


class _LossOfEachModality:
    """Both sides of a game in which an image is judged as one of its modality; subclasses say what realness costs."""

    def critic(
        self,
        critic: Critic,
        real: Tensor,
        fake: Tensor,
        source_modality: Tensor,
        target_modality: Tensor,
        *,
        alpha: Tensor | None = None,  # noqa: ARG002  (there is no gradient penalty)
    ) -> dict[LossTerm, Tensor]:
        """Return what real and translated images cost, and cross-entropy of the real images' modality."""
        judged = critic(torch.cat([real, fake.detach()]))
        realness = realness_as(judged, torch.cat([source_modality, target_modality])).to(real.dtype)
        realness_real, realness_fake = realness.chunk(2)
        return {
            LossTerm.CRITIC_REAL: self._of_real(realness_real),
            LossTerm.CRITIC_FAKE: self._of_fake(realness_fake),
            LossTerm.CRITIC_MODALITY: functional.cross_entropy(judged.modality_logits[: len(real)], source_modality),
        }

    def generator(self, critic: Critic, fake: Tensor, target_modality: Tensor) -> dict[LossTerm, Tensor]:
        """Return what translations cost the generator, and cross-entropy of the asked modality."""
        judged = critic(fake)
        return {
            LossTerm.ADVERSARIAL: self._of_generator(realness_as(judged, target_modality).to(fake.dtype)),
            LossTerm.MODALITY: functional.cross_entropy(judged.modality_logits, target_modality),
        }

    def largest_gap(self, image_size: tuple[int, int], layers: int) -> None:
        """Return None: the terms do not tell how far apart real and fake are."""

    def _of_real(self, realness: Tensor) -> Tensor:
        raise NotImplementedError

    def _of_fake(self, realness: Tensor) -> Tensor:
        raise NotImplementedError

    def _of_generator(self, realness: Tensor) -> Tensor:
        raise NotImplementedError


class LeastSquaresLoss(_LossOfEachModality):
    """Least squares, `E[(D(real) - 1)^2] + E[D(fake)^2]` and `E[(D(fake) - 1)^2]` (Mao et al. 2017, arXiv 1611.04076).

    A switch beyond the paper. The paper's critics find a T1 image real whatever modality was asked for, and learn their
    unit gradient slowly; these judge a translation as an image of the modality that was asked for.
    """

    def _of_real(self, realness: Tensor) -> Tensor:
        return (realness - 1).square().mean()

    def _of_fake(self, realness: Tensor) -> Tensor:
        return realness.square().mean()

    def _of_generator(self, realness: Tensor) -> Tensor:
        return (realness - 1).square().mean()


class HingeLoss(_LossOfEachModality):
    """Hinge, `E[max(0, 1 - D(real))] + E[max(0, 1 + D(fake))]` and `-E[D(fake)]` (Lim and Ye 2017, arXiv 1705.02894).

    A switch beyond the paper. A critic learns nothing more from images that it tells apart by a margin, so that it
    cannot run away from the generator.
    """

    def _of_real(self, realness: Tensor) -> Tensor:
        return functional.relu(1 - realness).mean()

    def _of_fake(self, realness: Tensor) -> Tensor:
        return functional.relu(1 + realness).mean()

    def _of_generator(self, realness: Tensor) -> Tensor:
        return -realness.mean()


_LOSSES: dict[AdversarialGame, AdversarialLoss] = {
    AdversarialGame.WASSERSTEIN: WassersteinLoss(),
    AdversarialGame.LEAST_SQUARES: LeastSquaresLoss(),
    AdversarialGame.HINGE: HingeLoss(),
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


def realness_as(judged: Judgement, modality: Tensor) -> Tensor:
    """Return the realness `(B, h, w)` of each image as one of its modality `(B,)`."""
    return judged.realness[torch.arange(len(modality), device=modality.device), modality]
