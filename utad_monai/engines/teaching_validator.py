"""Validate a generator on phantom batches that it is not taught with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator, IterationEvents

from utad_monai.engines.batch import TranslationBatch, prepare_teaching_batch
from utad_monai.keys import SecondInput
from utad_monai.metrics.image_quality import image_quality
from utad_monai.networks import TumourAwareGenerator
from utad_monai.transforms import mask_tumour

KEY_METRIC = "phantom_score"
"""SSIM of the brain and of the tumour, added up: what chooses the best model."""
_MEASURES = ("ssim", "mae", "tumour_ssim", "tumour_mae")


class TeachingValidator(Evaluator):
    """Translate held-out phantom batches and compare them with their true targets; **phantom results**.

    After a run `state.metrics` holds `KEY_METRIC` and the means over batches of the `image_quality` of brain and tumour
    (names with `phantom_` before them).

    Args:
        device: where to compute.
        val_data_loader: yields batches of `utad_monai.phantom.TeachingBatches`.
        generator: the network to validate.
        val_handlers: handlers with an `attach` method.
    """

    def __init__(
        self,
        device: torch.device | str,
        val_data_loader: Iterable[Any],
        *,
        generator: TumourAwareGenerator,
        val_handlers: Sequence[Any] | None = None,
    ) -> None:
        self.generator = generator
        self.key_metric = KEY_METRIC
        self._values: dict[str, list[float]] = defaultdict(list)
        super().__init__(
            device=device,
            val_data_loader=val_data_loader,
            prepare_batch=prepare_teaching_batch,
            val_handlers=val_handlers,
            decollate=False,
        )
        self.add_event_handler(Events.STARTED, lambda _: self._values.clear())
        self.add_event_handler(Events.EPOCH_COMPLETED, self._mean)

    @torch.inference_mode()
    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> dict[str, float]:
        """Return the quality of one batch."""
        batch: TranslationBatch = self.prepare_batch(batchdata, engine.state.device)
        needs_mask = self.generator.second_input is SecondInput.TUMOUR_IMAGE
        second = mask_tumour(batch.image, batch.tumour_mask) if needs_mask else batch.image
        was_training = self.generator.training
        self.generator.eval()
        made = self.generator(batch.image, second, batch.target_modality, with_tumour_image=False).image
        self.generator.train(was_training)
        if batch.target_image is None:
            raise RuntimeError("teaching needs batches with target images (utad_monai.phantom.TeachingBatches)")
        slices = (batch.target_image[:, 0].cpu(), made[:, 0].cpu(), batch.tumour_mask[:, 0].cpu())
        quality = image_quality(*slices)
        for name in _MEASURES:
            self._values[name].append(quality[name])
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return quality

    def _mean(self, engine: Engine) -> None:
        means = {name: float(torch.tensor(values).nanmean()) for name, values in self._values.items()}
        engine.state.metrics = {f"phantom_{name}": value for name, value in means.items()}
        engine.state.metrics[KEY_METRIC] = means["ssim"] + means["tumour_ssim"]
