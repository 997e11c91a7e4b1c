"""The one trainer of teacher and student; everything around its step is a handler."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from ignite.engine import EventEnum
from monai.engines import IterationEvents, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from transforms import mask_tumour
from utad_monai.distributed import average_gradients
from utad_monai.engines.precision import TrainingPrecision
from utad_monai.engines.translation_batch import TranslationBatch, prepare_translation_batch
from utad_monai.keys import AdversarialGame, AutocastType, LossTerm, OutputKey, SecondInput
from utad_monai.losses import (
    LossWeights,
    critic_terms,
    cycle_loss,
    generator_terms,
    identity_loss,
    least_squares_critic_terms,
    least_squares_generator_terms,
    local_consistency_loss,
    tumour_guidance_loss,
)
from utad_monai.networks import ModalityCritic, Translation, TumourAwareGenerator


class TranslationEvents(EventEnum):
    """Stages of one training iteration."""

    CRITICS_UPDATED = "critics_updated"
    """Both critics took their step."""
    GENERATOR_FORWARD_COMPLETED = "generator_forward_completed"
    """The generator's terms are in `engine.generator_terms`; a handler may add its own before backward."""
    GENERATOR_UPDATED = "generator_updated"
    """The generator took its step."""


class TranslationTrainer(Trainer):
    """Train a generator against a whole-image critic and a tumour-image critic on unpaired slices.

    The teacher is this engine; the student is this engine with `utad_monai.handlers.DistillationHandler` and a
    generator whose second input is the image itself. `engine.state.output` holds `OutputKey` and `LossTerm` entries as
    floats; the generator's entries stay at their last values on iterations that only train the critics (`loss` is 0
    before its first update).

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

    Raises:
        ValueError: when `critic_steps` or `accumulate` is less than 1, or `amp` is unknown.
    """

    def __init__(
        self,
        device: torch.device | str,
        max_epochs: int,
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
    ) -> None:
        for name, value in {"critic_steps": critic_steps, "accumulate": accumulate}.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.generator = generator
        self.whole_critic = whole_critic
        self.tumour_critic = tumour_critic
        self.generator_optimizer = generator_optimizer
        self.critic_optimizer = critic_optimizer
        self.loss_weights = loss_weights or LossWeights()
        self.critic_steps = critic_steps
        self.accumulate = accumulate
        self.precision = TrainingPrecision(amp, torch.device(device).type)
        self.generator_terms: dict[LossTerm, Tensor] = {}
        self.translation: Translation | None = None
        self.translation_batch: TranslationBatch | None = None
        super().__init__(
            device=device,
            max_epochs=max_epochs,
            data_loader=train_data_loader,
            epoch_length=epoch_length,
            prepare_batch=prepare_translation_batch,
            handlers=train_handlers,
            event_names=[TranslationEvents],
            decollate=False,
        )
        self.state.last_output = {str(OutputKey.LOSS): 0.0}
        self.state.loss_scale = self.precision.state_dict()
        self.state_dict_user_keys.extend(["last_output", "loss_scale"])

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> dict[str, float]:
        """Update the critics and, every `critic_steps` iterations, the generator.

        Returns:
            `OutputKey.LOSS` (the generator's total), `OutputKey.CRITIC_LOSS` and every `LossTerm`, as floats.
        """
        batch: TranslationBatch = self.prepare_batch(batchdata, engine.state.device)
        parts = batch.parts(self.accumulate)
        self.precision.load_state_dict(engine.state.loss_scale)
        output = dict(engine.state.last_output)  # ignite forgets the last output before each iteration
        trains_generator = engine.state.iteration % self.critic_steps == 0

        # one forward pass serves both players: its graph is kept only when the generator will use it
        shares_pass = trains_generator and len(parts) == 1
        critic_terms_of = partial(self._critic_terms, keep_graph=shares_pass)
        output |= self._update(self.critic_optimizer, parts, critic_terms_of, OutputKey.CRITIC_LOSS)
        engine.fire_event(TranslationEvents.CRITICS_UPDATED)

        if trains_generator:
            # gradients leave once they are used: their memory is the next graph's
            self.critic_optimizer.zero_grad(set_to_none=True)
            with _frozen(self.whole_critic, self.tumour_critic):
                generator_terms_of = partial(self._generator_terms, translated=shares_pass)
                output |= self._update(self.generator_optimizer, parts, generator_terms_of, OutputKey.LOSS)
            engine.fire_event(TranslationEvents.GENERATOR_UPDATED)
            self.generator_optimizer.zero_grad(set_to_none=True)

        engine.state.loss_scale = self.precision.state_dict()
        engine.state.last_output = engine.state.output = output
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output  # type: ignore[no-any-return]

    def identity(self) -> dict[str, Any]:
        """Return what decides the steps, as plain data (`utad_monai.handlers.training_identity`)."""
        precise = {"accumulate": self.accumulate, "amp": str(self.precision.amp)}
        return {"critic_steps": self.critic_steps, "loss weights": asdict(self.loss_weights)} | precise

    def translate(self, batch: TranslationBatch) -> Translation:
        """Return `(x^, t^, f)` of the batch's images in their target modality."""
        second = batch.tumour_image if self._needs_mask else batch.image
        return self._generate(batch.image, second, batch.target_modality)

    def reconstruct(self, batch: TranslationBatch, translation: Translation) -> Translation:
        """Return `(x_r, t_r, f_r)`: the translation, brought back to its source modality."""
        second = mask_tumour(translation.image, batch.tumour_mask) if self._needs_mask else translation.image
        return self._generate(translation.image, second, batch.source_modality)

    def _generate(self, image: Tensor, second: Tensor, modality: Tensor) -> Translation:
        """Return what the generator makes, in the image's type: losses are never sums of bfloat16."""
        made: Translation = self.generator(image, second, modality)
        tumour_image = None if made.tumour_image is None else made.tumour_image.to(image.dtype)
        return Translation(made.image.to(image.dtype), tumour_image, made.bottleneck.to(image.dtype))

    @property
    def _needs_mask(self) -> bool:
        return self.generator.second_input is SecondInput.TUMOUR_IMAGE

    def _update(
        self,
        optimizer: Optimizer,
        parts: Sequence[TranslationBatch],
        terms_of: Callable[[TranslationBatch], dict[LossTerm, Tensor]],
        total: OutputKey,
    ) -> dict[str, float]:
        """Let an optimiser take one step on all parts of a batch; return its total and its terms as floats."""
        output: dict[str, float] = {}
        optimizer.zero_grad(set_to_none=True)
        for part in parts:
            share = len(part) / sum(map(len, parts))
            with self.precision.autocast():
                terms = terms_of(part)
                loss = self.loss_weights.total(terms)
            self.precision.backward(loss * share)
            for name, value in [(total, loss), *terms.items()]:
                output[str(name)] = output.get(str(name), 0.0) + value.item() * share
        average_gradients(optimizer)
        self.precision.step(optimizer)
        return output

    def _critic_terms(self, batch: TranslationBatch, keep_graph: bool) -> dict[LossTerm, Tensor]:
        with torch.set_grad_enabled(keep_graph):
            translation = self.translate(batch)
        self.translation_batch, self.translation = batch, translation
        terms = _critic_terms_of(self.whole_critic, batch.image, translation.image, batch, batch.alpha(critic=0))
        if translation.tumour_image is not None:
            images = batch.tumour_image, translation.tumour_image
            local = _critic_terms_of(self.tumour_critic, *images, batch, batch.alpha(critic=1))
            terms = {name: terms[name] + local[name] for name in terms}
        return terms

    def _generator_terms(self, batch: TranslationBatch, translated: bool) -> dict[LossTerm, Tensor]:
        if not translated or self.translation is None:
            self.translation_batch, self.translation = batch, self.translate(batch)
        reconstruction = self.reconstruct(batch, self.translation)
        self.generator_terms = self._own_generator_terms(batch, self.translation, reconstruction)
        self.fire_event(TranslationEvents.GENERATOR_FORWARD_COMPLETED)
        return self.generator_terms

    def _own_generator_terms(
        self, batch: TranslationBatch, translation: Translation, reconstruction: Translation
    ) -> dict[LossTerm, Tensor]:
        terms = _generator_terms_of(self.whole_critic, translation.image, batch.target_modality)
        if translation.tumour_image is not None:
            local = _generator_terms_of(self.tumour_critic, translation.tumour_image, batch.target_modality)
            terms = {name: terms[name] + local[name] for name in terms}
            terms[LossTerm.LOCAL] = local_consistency_loss(
                batch.tumour_image, translation, reconstruction, batch.tumour_mask
            )
            if self.loss_weights.tumour_guidance > 0:
                terms[LossTerm.TUMOUR_GUIDANCE] = tumour_guidance_loss(
                    translation.image, translation.tumour_image, batch.tumour_mask
                )
        terms[LossTerm.CYCLE] = cycle_loss(batch.image, reconstruction.image)
        if self.loss_weights.identity > 0:
            same = batch.source_modality == batch.target_modality
            terms[LossTerm.IDENTITY] = identity_loss(batch.image, translation.image, same)
        return terms


def _critic_terms_of(
    critic: ModalityCritic, real: Tensor, fake: Tensor, batch: TranslationBatch, alpha: Tensor | None
) -> dict[LossTerm, Tensor]:
    if critic.game is AdversarialGame.LEAST_SQUARES:
        return least_squares_critic_terms(critic, real, fake, batch.source_modality, batch.target_modality)
    return critic_terms(critic, real, fake, batch.source_modality, alpha)


def _generator_terms_of(critic: ModalityCritic, fake: Tensor, target_modality: Tensor) -> dict[LossTerm, Tensor]:
    terms_of = least_squares_generator_terms if critic.game is AdversarialGame.LEAST_SQUARES else generator_terms
    return terms_of(critic, fake, target_modality)


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
