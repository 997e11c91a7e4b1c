"""The rival: the training iteration and the translation of a volume written down literally from the equations.

Everything is done as the method reads: the generator runs with its graph for the critics too, and again for its own
step; real and fake pass a critic one after the other; critics collect gradients while the generator trains. Its
networks have the same weights in torch's own layers.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from utad_monai.engines.batch import TranslationBatch
from utad_monai.networks import ModalityCritic, Translation, TumourAwareGenerator
from utad_monai.transforms import mask_tumour

Network = TypeVar("Network", bound=nn.Module)


def literal_layers(network: Network) -> Network:
    """Return a copy whose normalisations and activations are `nn.InstanceNorm2d` and `nn.LeakyReLU` as they come."""
    plain = copy.deepcopy(network)
    for module in list(plain.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.InstanceNorm2d):
                setattr(module, name, nn.InstanceNorm2d(child.num_features))
            elif isinstance(child, nn.LeakyReLU):
                setattr(module, name, nn.LeakyReLU(child.negative_slope))
    return plain.train(network.training)


class LiteralTraining:
    """Critic and generator steps as they are published.

    Args:
        generator: a teacher, whose second input is the tumour image, or a student, which sees the image twice.
        critics: whole-image and tumour-image critic.
        optimizers: of the generator, and of both critics.
        critic_steps: critic steps per generator step.
        teacher: what a student is distilled from; None when a teacher is trained.
    """

    def __init__(
        self,
        generator: TumourAwareGenerator,
        critics: tuple[ModalityCritic, ModalityCritic],
        optimizers: tuple[torch.optim.Optimizer, torch.optim.Optimizer],
        critic_steps: int,
        teacher: TumourAwareGenerator | None = None,
    ) -> None:
        self.generator = generator
        self.teacher = teacher
        self.critics = critics
        self.generator_optimizer, self.critic_optimizer = optimizers
        self.critic_steps = critic_steps
        self.iteration = 0

    def step(self, batch: TranslationBatch) -> dict[str, float]:
        """Update the critics and, every `critic_steps` calls, the generator; return both losses."""
        self.iteration += 1
        losses = {"critic_loss": self._critics(batch)}
        if self.iteration % self.critic_steps == 0:
            losses["loss"] = self._generator(batch)
        return losses

    def _translate(self, image: Tensor, tumour_image: Tensor, modality: Tensor) -> Translation:
        made: Translation = self.generator(image, image if self.teacher else tumour_image, modality)
        return made

    def _critics(self, batch: TranslationBatch) -> float:
        made = self._translate(batch.image, batch.tumour_image, batch.target_modality)
        pairs = ((batch.image, made.image), (batch.tumour_image, made.tumour_image))
        loss = torch.zeros(())
        for critic, (real, fake) in zip(self.critics, pairs, strict=True):
            on_real, on_fake = critic(real), critic(fake.detach())
            loss = loss - on_real.realness.mean() + on_fake.realness.mean()
            loss = loss + functional.cross_entropy(on_real.modality_logits, batch.source_modality)
            loss = loss + 10 * self._penalty(critic, real, fake.detach())
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        return loss.item()

    @staticmethod
    def _penalty(critic: ModalityCritic, real: Tensor, fake: Tensor) -> Tensor:
        alpha = torch.rand(len(real), 1, 1, 1, dtype=real.dtype)
        between = (alpha * real + (1 - alpha) * fake).requires_grad_()
        realness: Tensor = critic(between).realness
        ones = torch.ones_like(realness)
        (gradient,) = torch.autograd.grad(realness, between, ones, create_graph=True, retain_graph=True)
        return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()

    def _generator(self, batch: TranslationBatch) -> float:
        made = self._translate(batch.image, batch.tumour_image, batch.target_modality)
        again = self._translate(made.image, mask_tumour(made.image, batch.tumour_mask), batch.source_modality)
        loss = torch.zeros(())
        for critic, fake in zip(self.critics, (made.image, made.tumour_image), strict=True):
            judged = critic(fake)
            loss = (
                loss - judged.realness.mean() + functional.cross_entropy(judged.modality_logits, batch.target_modality)
            )
        cycle = (batch.image - again.image).abs().mean()
        masked = mask_tumour(made.image, batch.tumour_mask)
        local = (made.tumour_image - masked).abs().mean() + (batch.tumour_image - again.tumour_image).abs().mean()
        loss = loss + 10 * cycle + 10 * local
        if self.teacher:
            taught = self.teacher(batch.image, batch.tumour_image, batch.target_modality)
            loss = loss + 10 * (made.image - taught.image).abs().mean()
            loss = loss + 10 * (made.bottleneck - taught.bottleneck).abs().mean()
        self.generator_optimizer.zero_grad()
        loss.backward()
        self.generator_optimizer.step()
        return loss.item()


def literal_translation(generator: TumourAwareGenerator, slices: Tensor, target_modality: Any) -> Tensor:
    """Translate `(Z, H, W)` slices one after the other with both decoders; return `(Z, H, W)`."""
    made = torch.empty_like(slices)
    with torch.no_grad():
        for place, image in enumerate(slices):
            made[place] = generator(image[None, None], image[None, None], target_modality).image[0, 0]
    return made
