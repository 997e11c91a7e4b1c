"""An anchor: a training that starts from taught weights keeps what they know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from utad_monai.data.intensity import region_intensities, with_region_intensities
from utad_monai.data.slice_store import SlicedCase, SliceStore
from utad_monai.engines.batch import TranslationBatch
from utad_monai.engines.generator_trainer import TranslationEvents
from utad_monai.engines.translation_trainer import TranslationTrainer
from utad_monai.inferers import Calibration, fit_store_calibration
from utad_monai.keys import Pairs
from utad_monai.losses import anchor_terms
from utad_monai.models.earlier_stage import load_start
from utad_monai.models.weights_file import weights_sha256
from utad_monai.networks import TumourAwareGenerator, generator_input
from utad_monai.transforms import BRAIN_FLOOR


class StarterAnchor:
    """Before each generator update, hold `x^` at `x_S`: what the frozen start weights paint, as the cohort looks.

    `x_S` gets the cohort's intensities twice: a calibration gives it those of healthy brain, and each tumour region is
    moved to the mean that the cohort's tumours have there in the target modality. Unpaired: the start weights see what
    the generator sees, and both kinds of intensities are means over the training patients' images of one modality.
    Samples whose target is their own modality do not count. Where the batch holds the true target (`PairedSlices`),
    the translation is held at that in place of `x_S`; without start weights the other samples do not count.

    Args:
        path: the start weights, mask-free; empty for none, when nothing is added.
        store: prepared slices of the cohort.
        cases: its training cases, which both kinds of intensities are found in.
        flips: whether the start weights see mirror images, too: a better anchor, for twice its time.
        pairs: whether true targets are looked at (`Pairs`); they are an anchor without start weights, too.

    Raises:
        CheckpointError: when the start weights are unusable, or know other modalities than the cohort's.
    """

    def __init__(
        self,
        path: str | Path,
        store: SliceStore,
        *,
        cases: Sequence[SlicedCase],
        flips: bool = False,
        pairs: Pairs | str = Pairs.NEVER,
    ) -> None:
        self.starter: TumourAwareGenerator | None = None
        self.calibration = Calibration()
        self.flips = flips
        self.pairs = Pairs(pairs) is not Pairs.NEVER
        self.modalities = store.preprocessing.modalities
        self.regions = region_intensities(store, cases) if str(path) else None
        if str(path):
            start = load_start(path, store.preprocessing.modalities)
            self.starter = start.generator.requires_grad_(False).eval()
            if start.taught:  # a trained model paints a cohort's intensities, through maps of its own
                self.calibration = fit_store_calibration(start.reference_histograms, store, cases)

    @property
    def output_knots(self) -> Tensor | None:
        """The calibration's knots `(M, K)` for a generator's `OutputMaps`; None where nothing is calibrated."""
        return self.calibration.knots(self.modalities) if self.calibration.maps else None

    def state_dict(self) -> dict[str, Any]:
        """Return a hash of the start weights, empty without any, and whether they see mirror images."""
        return {"starter": "" if self.starter is None else weights_sha256(self.starter), "flips": self.flips}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Make sure that the anchor is that of the earlier run.

        Raises:
            ValueError: when the start weights are others, or see other images.
        """
        if state_dict["starter"] != self.state_dict()["starter"]:
            raise ValueError("the start weights are others")
        if state_dict.get("flips", False) != self.flips:
            raise ValueError("the anchor's mirror images are others (anchor_flips)")

    def attach(self, engine: TranslationTrainer) -> None:
        """Register on the trainer, where there is something to anchor to and the anchor counts."""
        if (self.starter is not None or self.pairs) and engine.loss_weights.anchor > 0:
            if self.starter is not None:
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
        held, counts = self._held(batch)
        if bool(counts.any()):
            image, painted, mask = engine.translation.image, held, batch.tumour_mask
            engine.generator_terms |= anchor_terms(image[counts], painted[counts], mask[counts], engine.loss_weights)

    def _held(self, batch: TranslationBatch) -> tuple[Tensor, Tensor]:
        """Return what translations are held at, `(B, 1, H, W)`, and which samples count, `(B,)` bool."""
        if batch.target_image is not None and batch.paired is not None and (self.starter is None or batch.paired.all()):
            return batch.target_image, batch.paired
        if self.starter is None:
            return batch.source_image, torch.zeros_like(batch.source_modality, dtype=torch.bool)
        return batch.truth_or(self.painted(batch)), batch.source_modality != batch.target_modality

    @torch.no_grad()
    def painted(self, batch: TranslationBatch) -> Tensor:
        """Return `x_S`, what the start weights make of a batch, `(B, 1, H, W)`, with the cohort's intensities."""
        assert self.starter is not None  # it is not attached without
        given = generator_input(self.starter, batch.image, batch.source_modality)
        painted = _whole_images(self.starter, given, batch.target_modality)
        if self.flips:
            painted = (painted + _whole_images(self.starter, given.flip(-1), batch.target_modality).flip(-1)) / 2
        modalities = [self.modalities[int(place)] for place in batch.target_modality]
        painted = torch.stack(
            [self.calibration(one.cpu(), target).to(one) for one, target in zip(painted, modalities, strict=True)]
        )
        if batch.labels is None or self.regions is None:
            return painted
        return with_region_intensities(painted, batch.labels, batch.target_modality, self.regions, BRAIN_FLOOR)


def _whole_images(starter: TumourAwareGenerator, given: Tensor, target: Tensor) -> Tensor:
    made: Tensor = starter(given, given, target, with_tumour_image=False).image
    return made


class LateCritics:
    """Keep the adversarial and the modality term out of the generator's loss in the first epochs.

    The critics rest, but for the last of these epochs, in which they learn.

    Args:
        epochs: how many; 0 changes nothing, as in the paper.
    """

    def __init__(self, epochs: int = 0) -> None:
        self.epochs = epochs

    def attach(self, engine: TranslationTrainer) -> None:
        """Register on the trainer; the weights that it has now are those of the later epochs."""
        self._later = engine.loss_weights
        engine.critics_from_epoch = self.epochs
        if self.epochs > 0:
            engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: TranslationTrainer) -> None:
        """Choose the weights of this epoch; in every iteration, as a training may resume within an epoch."""
        late = engine.state.epoch > self.epochs
        engine.critics_rest = engine.state.epoch < self.epochs
        engine.loss_weights = self._later if late else replace(self._later, adversarial=0.0, modality=0.0)
