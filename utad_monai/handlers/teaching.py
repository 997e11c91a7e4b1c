"""Teaching: the true target of each phantom sample adds its terms to the training step."""

from __future__ import annotations

from ignite.engine import Engine

from utad_monai.engines.generator_trainer import GeneratorTrainer, TranslationEvents
from utad_monai.losses import teaching_terms


class Teaching:
    """Compare each translation with the batch's true target: **uses paired targets**, which only phantoms bring along.

    The weights of the trainer whose names begin with `paired` say which terms count.
    """

    def attach(self, engine: GeneratorTrainer) -> None:
        """Register on the trainer."""
        engine.add_event_handler(TranslationEvents.GENERATOR_FORWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Add the terms to the step's generator terms.

        Raises:
            RuntimeError: when it is called outside a training step, or the batch has no target images.
        """
        if not isinstance(engine, GeneratorTrainer) or engine.translation is None or engine.translation_batch is None:
            raise RuntimeError("teaching runs inside the training step of a GeneratorTrainer")
        batch = engine.translation_batch
        if batch.target_image is None:
            raise RuntimeError("teaching needs batches with target images (utad_monai.phantom.TeachingBatches)")
        engine.generator_terms |= teaching_terms(
            engine.translation, batch.target_image, batch.tumour_mask, engine.loss_weights
        )
