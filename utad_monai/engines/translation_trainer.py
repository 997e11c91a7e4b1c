"""The one trainer of teacher and student; everything around its step is a handler."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from ignite.engine import EventEnum
from monai.engines import IterationEvents, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from transforms import mask_tumour
from utad_monai.distributed import average_gradients
from utad_monai.keys import BatchKey, LossTerm, OutputKey, SecondInput
from utad_monai.losses import (
    LossWeights,
    critic_terms,
    cycle_loss,
    generator_terms,
    identity_loss,
    local_consistency_loss,
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


@dataclass(frozen=True)
class TranslationBatch:
    """One unpaired batch on the training device.

    Attributes:
        image: `x`, `(B, 1, H, W)` in [-1, 1], background exactly -1.
        tumour_mask: `M`, `(B, 1, H, W)`, 0 or 1.
        source_modality: `s`, `(B,)` int64.
        target_modality: `m`, `(B,)` int64.
        case_ids: the case of each slice.
    """

    image: Tensor
    tumour_mask: Tensor
    source_modality: Tensor
    target_modality: Tensor
    case_ids: Sequence[str]

    @property
    def tumour_image(self) -> Tensor:
        """`t = x (.) M`, `(B, 1, H, W)` in [-1, 1]."""
        return mask_tumour(self.image, self.tumour_mask)


def prepare_translation_batch(
    batchdata: dict[str, Any], device: torch.device | str, non_blocking: bool = False, **_: Any
) -> TranslationBatch:
    """Move a batch of `UnpairedSlices` to the device (the `prepare_batch` of MONAI engines)."""
    image, mask, source, target = (
        batchdata[key].to(device, non_blocking=non_blocking)
        for key in (BatchKey.IMAGE, BatchKey.TUMOUR_MASK, BatchKey.SOURCE_MODALITY, BatchKey.TARGET_MODALITY)
    )
    return TranslationBatch(image, mask, source, target, list(batchdata[BatchKey.CASE_ID]))


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
        train_handlers: handlers with an `attach` method.

    Raises:
        ValueError: when `critic_steps` is less than 1.
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
    ) -> None:
        if critic_steps < 1:
            raise ValueError(f"critic_steps must be at least 1, got {critic_steps}")
        self.generator = generator
        self.whole_critic = whole_critic
        self.tumour_critic = tumour_critic
        self.generator_optimizer = generator_optimizer
        self.critic_optimizer = critic_optimizer
        self.loss_weights = loss_weights or LossWeights()
        self.critic_steps = critic_steps
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
        self.state_dict_user_keys.append("last_output")

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> dict[str, float]:
        """Update the critics and, every `critic_steps` iterations, the generator.

        Returns:
            `OutputKey.LOSS` (the generator's total), `OutputKey.CRITIC_LOSS` and every `LossTerm`, as floats.
        """
        batch: TranslationBatch = self.prepare_batch(batchdata, engine.state.device)
        self.translation_batch = batch
        output = dict(engine.state.last_output)  # ignite forgets the last output before each iteration
        trains_generator = engine.state.iteration % self.critic_steps == 0

        # one forward pass serves both players: its graph is kept only when the generator will use it
        with torch.set_grad_enabled(trains_generator):
            self.translation = self.translate(batch)
        output |= self._update_critics(batch, self.translation)
        engine.fire_event(TranslationEvents.CRITICS_UPDATED)

        if trains_generator:
            output |= self._update_generator(batch, self.translation)
            engine.fire_event(TranslationEvents.GENERATOR_UPDATED)

        engine.state.last_output = engine.state.output = output
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output  # type: ignore[no-any-return]

    def identity(self) -> dict[str, Any]:
        """Return what decides the steps, as plain data (`utad_monai.handlers.training_identity`)."""
        return {"critic_steps": self.critic_steps, "loss weights": asdict(self.loss_weights)}

    def translate(self, batch: TranslationBatch) -> Translation:
        """Return `(x^, t^, f)` of the batch's images in their target modality."""
        second = batch.tumour_image if self._needs_mask else batch.image
        translation: Translation = self.generator(batch.image, second, batch.target_modality)
        return translation

    def reconstruct(self, batch: TranslationBatch, translation: Translation) -> Translation:
        """Return `(x_r, t_r, f_r)`: the translation, brought back to its source modality."""
        second = mask_tumour(translation.image, batch.tumour_mask) if self._needs_mask else translation.image
        reconstruction: Translation = self.generator(translation.image, second, batch.source_modality)
        return reconstruction

    @property
    def _needs_mask(self) -> bool:
        return self.generator.second_input is SecondInput.TUMOUR_IMAGE

    def _update_critics(self, batch: TranslationBatch, translation: Translation) -> dict[str, float]:
        terms = critic_terms(self.whole_critic, batch.image, translation.image, batch.source_modality)
        if translation.tumour_image is not None:
            local = critic_terms(
                self.tumour_critic, batch.tumour_image, translation.tumour_image, batch.source_modality
            )
            terms = {name: terms[name] + local[name] for name in terms}
        loss = self.loss_weights.total(terms)
        _step(self.critic_optimizer, loss)
        return {str(OutputKey.CRITIC_LOSS): loss.item()} | _floats(terms)

    def _update_generator(self, batch: TranslationBatch, translation: Translation) -> dict[str, float]:
        reconstruction = self.reconstruct(batch, translation)
        with _frozen(self.whole_critic, self.tumour_critic):
            self.generator_terms = self._generator_terms(batch, translation, reconstruction)
            self.fire_event(TranslationEvents.GENERATOR_FORWARD_COMPLETED)
            loss = self.loss_weights.total(self.generator_terms)
            _step(self.generator_optimizer, loss)
        return {str(OutputKey.LOSS): loss.item()} | _floats(self.generator_terms)

    def _generator_terms(
        self, batch: TranslationBatch, translation: Translation, reconstruction: Translation
    ) -> dict[LossTerm, Tensor]:
        terms = generator_terms(self.whole_critic, translation.image, batch.target_modality)
        if translation.tumour_image is not None:
            local = generator_terms(self.tumour_critic, translation.tumour_image, batch.target_modality)
            terms = {name: terms[name] + local[name] for name in terms}
            terms[LossTerm.LOCAL] = local_consistency_loss(
                batch.tumour_image, translation, reconstruction, batch.tumour_mask
            )
        terms[LossTerm.CYCLE] = cycle_loss(batch.image, reconstruction.image)
        if self.loss_weights.identity > 0:
            same = batch.source_modality == batch.target_modality
            terms[LossTerm.IDENTITY] = identity_loss(batch.image, translation.image, same)
        return terms


def _step(optimizer: Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    average_gradients(optimizer)
    optimizer.step()


def _floats(terms: dict[LossTerm, Tensor]) -> dict[str, float]:
    return {str(name): value.item() for name, value in terms.items()}


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
