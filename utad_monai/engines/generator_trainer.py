"""The numbers that a training computes in: float32, or half of it with a loss that is scaled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any

import torch
from ignite.engine import EventEnum
from monai.engines import IterationEvents, Trainer
from torch import Tensor
from torch.optim import Optimizer

from utad_monai.engines.batch import TranslationBatch, prepare_teaching_batch
from utad_monai.keys import AutocastType, LossTerm, OutputKey, SecondInput
from utad_monai.losses import LossWeights
from utad_monai.networks import Translation, TumourAwareGenerator, generator_input
from utad_monai.runtime.parallel import average_gradients


class TrainingPrecision:
    """Autocast forward passes, and backward passes that keep small gradients above float16's smallest number.

    Args:
        amp: the type of convolutions and products; weights and losses stay float32.
        device_type: where it computes, such as `cpu` or `cuda`.

    Raises:
        ValueError: when the type is unknown.
    """

    def __init__(self, amp: AutocastType | str = AutocastType.NONE, device_type: str = "cpu") -> None:
        self.amp = AutocastType(amp)
        self._device_type = device_type
        self._dtype = torch.float16 if self.amp is AutocastType.FLOAT16 else torch.bfloat16
        self._scaler = torch.amp.GradScaler(device_type, enabled=self.amp is AutocastType.FLOAT16)

    def autocast(self) -> AbstractContextManager[Any]:
        """Compute in the type while a block runs."""
        return torch.autocast(self._device_type, self._dtype, enabled=self.amp is not AutocastType.NONE)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a scalar loss, scaled."""
        self._scaler.scale(loss).backward()

    def step(self, optimizer: Optimizer) -> None:
        """Let an optimiser step on its gradients, without the scale; steps with infinite ones are left out."""
        self._scaler.step(optimizer)
        self._scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Return the scale and its growth; nothing where there is none."""
        return dict(self._scaler.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with an earlier scale."""
        if state_dict:
            self._scaler.load_state_dict(state_dict)


class TranslationEvents(EventEnum):
    """Stages of one training iteration."""

    CRITICS_UPDATED = "critics_updated"
    """Both critics took their step."""
    GENERATOR_FORWARD_COMPLETED = "generator_forward_completed"
    """The generator's terms are in `engine.generator_terms`; a handler may add its own before backward."""
    GENERATOR_UPDATED = "generator_updated"
    """The generator took its step."""


class GeneratorTrainer(Trainer):
    """Train a generator on terms that handlers add on `TranslationEvents.GENERATOR_FORWARD_COMPLETED`.

    Teaching on phantom pairs is this engine with `utad_monai.handlers.Teaching`. `engine.state.output` holds
    `OutputKey` and `LossTerm` entries as floats.

    Args:
        device: where to train.
        max_epochs: number of epochs.
        train_data_loader: yields dictionaries of `BatchKey` entries.
        generator: the network to train.
        generator_optimizer: optimises `generator`.
        loss_weights: weight of each term.
        epoch_length: iterations per epoch, by default the length of the loader.
        train_handlers: handlers with an `attach` method.
        accumulate: parts in which a batch is computed, one after the other, for less memory. The updates are those of
            the whole batch, but for the fusion block, whose BatchNorm sees one part at a time.
        amp: the type that networks compute in (`AutocastType`).

    Raises:
        ValueError: when `accumulate` is less than 1, or `amp` is unknown.
    """

    prepare = staticmethod(prepare_teaching_batch)

    def __init__(
        self,
        device: torch.device | str,
        max_epochs: int,
        *,
        train_data_loader: Iterable[Any],
        generator: TumourAwareGenerator,
        generator_optimizer: Optimizer,
        loss_weights: LossWeights | None = None,
        epoch_length: int | None = None,
        train_handlers: Sequence[Any] | None = None,
        accumulate: int = 1,
        amp: AutocastType | str = AutocastType.NONE,
    ) -> None:
        if accumulate < 1:
            raise ValueError(f"accumulate must be at least 1, got {accumulate}")
        self.generator = generator
        self.generator_optimizer = generator_optimizer
        self.loss_weights = loss_weights or LossWeights()
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
            prepare_batch=self.prepare,
            handlers=train_handlers,
            event_names=[TranslationEvents],
            decollate=False,
        )
        self.state.loss_scale = self.precision.state_dict()
        self.state_dict_user_keys.append("loss_scale")

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> dict[str, float]:
        """Update the generator.

        Returns:
            `OutputKey.LOSS` and every `LossTerm`, as floats.
        """
        batch: TranslationBatch = self.prepare_batch(batchdata, engine.state.device)
        self.precision.load_state_dict(engine.state.loss_scale)
        output = self._update(
            self.generator_optimizer, batch.parts(self.accumulate), self._generator_losses, OutputKey.LOSS
        )
        engine.fire_event(TranslationEvents.GENERATOR_UPDATED)
        engine.state.loss_scale = self.precision.state_dict()
        engine.state.output = output
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output  # type: ignore[no-any-return]

    def identity(self) -> dict[str, Any]:
        """Return what decides the steps, as plain data (`utad_monai.handlers.resume.state`)."""
        precise = {"accumulate": self.accumulate, "amp": str(self.precision.amp)}
        return {"loss weights": asdict(self.loss_weights)} | precise

    def translate(self, batch: TranslationBatch) -> Translation:
        """Return `(x^, t^, f)` of the batch's images in their target modality."""
        second = batch.tumour_image if self._needs_mask else batch.image
        return self._generate(batch.image, second, batch.source_modality, batch.target_modality)

    def _generate(self, image: Tensor, second: Tensor, source: Tensor, target: Tensor) -> Translation:
        """Return what the generator makes, in the image's type: losses are never sums of bfloat16."""
        image, second = (generator_input(self.generator, one, source) for one in (image, second))
        made: Translation = self.generator(image, second, target)
        tumour_image = None if made.tumour_image is None else made.tumour_image.to(image.dtype)
        return Translation(made.image.to(image.dtype), tumour_image, made.bottleneck.to(image.dtype))

    @property
    def _needs_mask(self) -> bool:
        return self.generator.second_input is SecondInput.TUMOUR_IMAGE

    def _update(
        self,
        optimizer: Optimizer,
        parts: Sequence[TranslationBatch],
        losses_of: Callable[[TranslationBatch], dict[LossTerm, Tensor]],
        total: OutputKey,
    ) -> dict[str, float]:
        """Let an optimiser take one step on all parts of a batch; return its total and its terms as floats."""
        output: dict[str, float] = {}
        optimizer.zero_grad(set_to_none=True)
        for part in parts:
            share = len(part) / sum(map(len, parts))
            with self.precision.autocast():
                terms = losses_of(part)
                loss = self.loss_weights.total(terms)
            self.precision.backward(loss * share)
            for name, value in [(total, loss), *terms.items()]:
                output[str(name)] = output.get(str(name), 0.0) + value.item() * share
        average_gradients(optimizer)
        self.precision.step(optimizer)
        return output

    def _generator_losses(self, batch: TranslationBatch) -> dict[LossTerm, Tensor]:
        self.translation_batch, self.translation = batch, self.translate(batch)
        self.generator_terms = {}
        self.fire_event(TranslationEvents.GENERATOR_FORWARD_COMPLETED)
        return self.generator_terms
