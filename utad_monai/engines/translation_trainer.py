"""The one trainer of teacher and student; everything around its step is a handler."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from monai.engines import IterationEvents
from torch import Tensor, nn
from torch.optim import Optimizer

from utad_monai.engines.batch import TranslationBatch, prepare_translation_batch
from utad_monai.engines.generator_trainer import GeneratorTrainer, TranslationEvents
from utad_monai.keys import AutocastType, LossTerm, OutputKey
from utad_monai.losses import (
    AdversarialLoss,
    LossWeights,
    cycle_loss,
    identity_loss,
    local_consistency_loss,
    loss_of_game,
    tumour_guidance_loss,
)
from utad_monai.networks import ModalityCritic, Translation, TumourAwareGenerator
from utad_monai.transforms import mask_tumour


class TranslationTrainer(GeneratorTrainer):
    """Train a generator against a whole-image critic and a tumour-image critic on unpaired slices.

    The teacher is this engine; the student is this engine with `utad_monai.handlers.DistillationHandler` and a
    generator whose second input is the image itself. Without a cycle weight nothing is brought back, and while
    `critics_rest` there is no game. `engine.state.output` holds `OutputKey` and `LossTerm` entries as floats; the
    generator's entries stay at their last values on iterations that only train the critics (`loss` is 0 before its
    first update).

    Args:
        device: where to train.
        max_epochs: number of epochs.
        train_data_loader: yields dictionaries of `BatchKey` entries.
        generator: the network to train.
        whole_critic: critic of whole images.
        tumour_critic: critic of tumour images; not used by a generator without a tumour decoder.
        generator_optimizer: optimises `generator`.
        critic_optimizer: optimises both critics.
        loss_weights: weight of each term.
        critic_steps: critic updates per generator update (`n_critic`, 5 in the paper).
        epoch_length: iterations (critic updates) per epoch, by default the length of the loader.
        accumulate: parts in which a batch is computed, one after the other, for less memory. The updates are those of
            the whole batch, but for the fusion block, whose BatchNorm sees one part at a time.
        amp: the type that networks compute in (`AutocastType`).
        train_handlers: handlers with an `attach` method.
        adversarial_loss: what critics and generator play for; that which the critics are made for when None.

    Raises:
        ValueError: when `critic_steps` or `accumulate` is less than 1, or `amp` is unknown.
    """

    prepare = staticmethod(prepare_translation_batch)

    def __init__(
        self,
        device: torch.device | str,
        max_epochs: int,
        *,
        train_data_loader: Iterable[Any],
        generator: TumourAwareGenerator,
        whole_critic: ModalityCritic,
        tumour_critic: ModalityCritic,
        generator_optimizer: Optimizer,
        critic_optimizer: Optimizer,
        loss_weights: LossWeights | None = None,
        critic_steps: int = 5,
        epoch_length: int | None = None,
        train_handlers: Sequence[Any] | None = None,
        accumulate: int = 1,
        amp: AutocastType | str = AutocastType.NONE,
        adversarial_loss: AdversarialLoss | None = None,
    ) -> None:
        if critic_steps < 1:
            raise ValueError(f"critic_steps must be at least 1, got {critic_steps}")
        self.whole_critic = whole_critic
        self.tumour_critic = tumour_critic
        self.critic_optimizer = critic_optimizer
        self.critic_steps = critic_steps
        super().__init__(
            device,
            max_epochs,
            train_data_loader=train_data_loader,
            generator=generator,
            generator_optimizer=generator_optimizer,
            loss_weights=loss_weights,
            epoch_length=epoch_length,
            train_handlers=train_handlers,
            accumulate=accumulate,
            amp=amp,
        )
        self.adversarial_loss = adversarial_loss or loss_of_game(whole_critic.game)
        self.critics_rest = False
        self.critics_from_epoch = 0
        self.state.last_output = {str(OutputKey.LOSS): 0.0}
        self.state_dict_user_keys.insert(0, "last_output")

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> dict[str, float]:
        """Update the critics and, every `critic_steps` iterations, the generator.

        Returns:
            `OutputKey.LOSS` (the generator's total), `OutputKey.CRITIC_LOSS` and every `LossTerm`, as floats.
        """
        batch: TranslationBatch = self.prepare_batch(batchdata, engine.state.device)
        parts = batch.parts(self.accumulate)
        output = dict(engine.state.last_output)  # ignite forgets the last output before each iteration
        updates_critics = not self.critics_rest
        updates_generator = engine.state.iteration % self.critic_steps == 0
        # one forward pass serves both: its graph is kept only when the generator will use it
        shared_pass = updates_critics and updates_generator and len(parts) == 1
        self.precision.load_state_dict(engine.state.loss_scale)

        # ------------ (1) critics: tell real images from translations, and their modality ------------
        if updates_critics:
            critic_losses = partial(self._critic_losses, keep_graph=shared_pass)
            output |= self._update(self.critic_optimizer, parts, critic_losses, OutputKey.CRITIC_LOSS)
            engine.fire_event(TranslationEvents.CRITICS_UPDATED)

        # ------------ (2) generator: translate so that the critics find it real, and keep the tumour ------------
        if updates_generator:
            self.critic_optimizer.zero_grad(set_to_none=True)  # the memory of used gradients is the next graph's
            with _frozen(self.whole_critic, self.tumour_critic):
                generator_losses = partial(self._generator_losses, translated=shared_pass)
                output |= self._update(self.generator_optimizer, parts, generator_losses, OutputKey.LOSS)
            engine.fire_event(TranslationEvents.GENERATOR_UPDATED)
            self.generator_optimizer.zero_grad(set_to_none=True)

        engine.state.loss_scale = self.precision.state_dict()
        engine.state.last_output = engine.state.output = output
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output  # type: ignore[no-any-return]

    def identity(self) -> dict[str, Any]:
        """Return what decides the steps, as plain data (`utad_monai.handlers.resume.state`)."""
        late = {"critics_from_epoch": self.critics_from_epoch} if self.critics_from_epoch else {}
        return {"critic_steps": self.critic_steps} | late | super().identity()

    def reconstruct(self, batch: TranslationBatch, translation: Translation) -> Translation:
        """Return `(x_r, t_r, f_r)`: the translation, brought back to its source modality."""
        second = mask_tumour(translation.image, batch.tumour_mask) if self._needs_mask else translation.image
        return self._generate(translation.image, second, batch.target_modality, batch.source_modality)

    def _critic_losses(self, batch: TranslationBatch, keep_graph: bool) -> dict[LossTerm, Tensor]:
        with torch.set_grad_enabled(keep_graph):
            translation = self.translate(batch)
        self.translation_batch, self.translation = batch, translation
        modalities = batch.source_modality, batch.target_modality
        images = batch.source_image, translation.image
        terms = self.adversarial_loss.critic(self.whole_critic, *images, *modalities, alpha=batch.alpha(critic=0))
        if translation.tumour_image is not None:
            images = batch.source_tumour_image, translation.tumour_image
            local = self.adversarial_loss.critic(self.tumour_critic, *images, *modalities, alpha=batch.alpha(critic=1))
            terms = {name: terms[name] + local[name] for name in terms}
        return terms

    def _generator_losses(self, batch: TranslationBatch, translated: bool = False) -> dict[LossTerm, Tensor]:
        if not translated or self.translation is None:
            self.translation_batch, self.translation = batch, self.translate(batch)
        reconstruction = self.reconstruct(batch, self.translation) if self.loss_weights.cycle > 0 else None
        self.generator_terms = self._generator_terms(batch, self.translation, reconstruction)
        self.fire_event(TranslationEvents.GENERATOR_FORWARD_COMPLETED)
        return self.generator_terms

    def _generator_terms(
        self, batch: TranslationBatch, translation: Translation, reconstruction: Translation | None
    ) -> dict[LossTerm, Tensor]:
        terms = {} if self.critics_rest else self._adversarial_terms(batch, translation)
        if translation.tumour_image is not None:
            terms[LossTerm.LOCAL] = local_consistency_loss(
                batch.source_tumour_image, translation, reconstruction, batch.tumour_mask
            )
            if self.loss_weights.tumour_guidance > 0:
                terms[LossTerm.TUMOUR_GUIDANCE] = tumour_guidance_loss(
                    translation.image, translation.tumour_image, batch.tumour_mask
                )
        if reconstruction is not None:
            terms[LossTerm.CYCLE] = cycle_loss(batch.source_image, reconstruction.image)
        if self.loss_weights.identity > 0:
            same = batch.source_modality == batch.target_modality
            terms[LossTerm.IDENTITY] = identity_loss(batch.source_image, translation.image, same)
        return terms

    def _adversarial_terms(self, batch: TranslationBatch, translation: Translation) -> dict[LossTerm, Tensor]:
        terms = self.adversarial_loss.generator(self.whole_critic, translation.image, batch.target_modality)
        if translation.tumour_image is None:
            return terms
        local = self.adversarial_loss.generator(self.tumour_critic, translation.tumour_image, batch.target_modality)
        return {name: terms[name] + local[name] for name in terms}


@contextmanager
def _frozen(*networks: nn.Module) -> Iterator[None]:
    """Keep networks out of the graph's leaves: gradients flow through them, none are computed for their weights."""
    for network in networks:
        network.requires_grad_(False)
    try:
        yield
    finally:
        for network in networks:
            network.requires_grad_(True)
