"""Distillation: the frozen teacher adds its terms to the student's training step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from ignite.engine import Engine

from utad_monai.engines.generator_trainer import TranslationEvents
from utad_monai.engines.translation_trainer import TranslationTrainer
from utad_monai.losses import distillation_terms
from utad_monai.models.weights_file import weights_sha256
from utad_monai.networks import TumourAwareGenerator, generator_input


class DistillationHandler:
    """Before each generator update, run the teacher on the same batch and add feature and image distillation.

    The teacher sees the tumour image, the student does not (Huang, Wei, Li 2024, section III-C). Where the trainer's
    weights say so, the tumour and the structure of the teacher's image count once more. A student looks at no true
    target: what pairs teach reaches it through its teacher.

    Args:
        teacher: a trained generator; frozen and put into evaluation mode here.
    """

    def __init__(self, teacher: TumourAwareGenerator) -> None:
        self.teacher = teacher.requires_grad_(False).eval()

    def state_dict(self) -> dict[str, str]:
        """Return a hash of the teacher's weights."""
        return {"teacher": weights_sha256(self.teacher)}

    def load_state_dict(self, state_dict: Mapping[str, str]) -> None:
        """Make sure that the teacher is the one of the earlier run.

        Raises:
            ValueError: when it is another one.
        """
        if state_dict["teacher"] != weights_sha256(self.teacher):
            raise ValueError("the teacher is another one")

    def attach(self, engine: TranslationTrainer) -> None:
        """Register on the trainer of the student."""
        self.teacher.to(engine.state.device)
        engine.add_event_handler(TranslationEvents.GENERATOR_FORWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Add the distillation terms to the step's generator terms.

        Raises:
            RuntimeError: when it is called outside a training step.
        """
        if not isinstance(engine, TranslationTrainer) or engine.translation is None or engine.translation_batch is None:
            raise RuntimeError("distillation runs inside the training step of a TranslationTrainer")
        batch = engine.translation_batch
        with torch.no_grad():
            image, tumour_image = (
                generator_input(self.teacher, one, batch.source_modality) for one in (batch.image, batch.tumour_image)
            )
            taught = self.teacher(image, tumour_image, batch.target_modality, with_tumour_image=False)
        engine.generator_terms |= distillation_terms(engine.translation, taught, batch.tumour_mask, engine.loss_weights)
