"""An anchor: a training that starts from taught weights keeps what they know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from ignite.engine import Engine
from torch import Tensor
from torch.nn import functional

from utad_monai.checkpoints import load_translator
from utad_monai.data.slices import PreparedCase, SliceStore
from utad_monai.digest import weights_sha256
from utad_monai.engines.generator_trainer import TranslationEvents
from utad_monai.engines.translation_trainer import TranslationTrainer
from utad_monai.inferers import Calibration, fit_store_calibration
from utad_monai.keys import LossTerm, Modality
from utad_monai.networks import TumourAwareGenerator, generator_input


class StarterAnchor:
    """Before each generator update, add `E|x^ - x_S|`: x_S is what the frozen start weights paint, calibrated.

    Unpaired: the start weights see the sample's own image, and the calibration is fitted on histograms of the training
    images. Samples whose target is their own modality do not count.

    Args:
        path: the start weights, mask-free; empty for none, when nothing is added.
        store: prepared slices of the cohort.
        cases: its training cases, which the calibration is fitted on.
    """

    def __init__(self, path: str | Path, store: SliceStore, cases: Sequence[PreparedCase]) -> None:
        self.starter: TumourAwareGenerator | None = None
        self.calibration = Calibration()
        if str(path):
            start = load_translator(path)
            self.starter = start.generator.requires_grad_(False).eval()
            if start.reference_histograms:
                self.calibration = fit_store_calibration(start.reference_histograms, store, cases)

    def state_dict(self) -> dict[str, str]:
        """Return a hash of the start weights; empty without any."""
        return {"starter": "" if self.starter is None else weights_sha256(self.starter)}

    def load_state_dict(self, state_dict: Mapping[str, str]) -> None:
        """Make sure that the start weights are those of the earlier run.

        Raises:
            ValueError: when they are others.
        """
        if state_dict["starter"] != self.state_dict()["starter"]:
            raise ValueError("the start weights are others")

    def attach(self, engine: TranslationTrainer) -> None:
        """Register on the trainer, where there is something to anchor to and the anchor counts."""
        if self.starter is not None and engine.loss_weights.anchor > 0:
            self.starter.to(engine.state.device)
            engine.add_event_handler(TranslationEvents.GENERATOR_FORWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Add the anchor to the step's generator terms.

        Raises:
            RuntimeError: when it is called outside a training step.
        """
        if not isinstance(engine, TranslationTrainer) or engine.translation is None or engine.translation_batch is None:
            raise RuntimeError("an anchor works inside the training step of a TranslationTrainer")
        batch = engine.translation_batch
        painted = self._painted(batch.image, batch.source_modality, batch.target_modality)
        counts = (batch.source_modality != batch.target_modality).to(painted)
        apart = functional.l1_loss(engine.translation.image, painted, reduction="none").flatten(1).mean(dim=1)
        engine.generator_terms[LossTerm.ANCHOR] = (apart * counts).sum() / counts.sum().clamp_min(1)

    @torch.no_grad()
    def _painted(self, image: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Return what the start weights make of `(B, 1, H, W)`, with the cohort's intensities."""
        assert self.starter is not None  # it is not attached without
        given = generator_input(self.starter, image, source)
        painted: Tensor = self.starter(given, given, target, with_tumour_image=False).image
        slices = [
            self.calibration(one.cpu(), modality).to(one)
            for one, modality in zip(painted, (list(Modality)[int(place)] for place in target), strict=True)
        ]
        return torch.stack(slices)
