"""Validation while training: on real cases without pairs, and on the phantom with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator, IterationEvents
from torch import Tensor
from torch.utils.data import DataLoader

from utad_monai.data import EvaluationCases
from utad_monai.data.quality.finding import empty_split
from utad_monai.engines.batch import TranslationBatch, prepare_teaching_batch
from utad_monai.inferers import SliceTranslator
from utad_monai.keys import FOUR_MODALITIES, BatchKey, Modality, ModalitySet, SecondInput, ValidationMetric
from utad_monai.metrics.image_quality import identity_copy_score, image_quality
from utad_monai.metrics.unpaired import appearance_distance, appearance_features, variety_of_inputs, variety_of_targets
from utad_monai.networks import TumourAwareGenerator
from utad_monai.transforms import BACKGROUND, mask_tumour

_MOST = 16
"""Images of a modality that are looked at: their mean look changes little with more, and each costs time."""


class ReferenceImages:
    """The look of the training images of each modality, measured once, when it is first asked for.

    Args:
        cases: training cases with a segmentation.
        slice_step: every how many slices of a volume are used.
    """

    def __init__(self, cases: EvaluationCases, slice_step: int) -> None:
        self.cases = cases
        self.slice_step = slice_step
        self._looks: dict[Modality, list[Tensor]] = {}

    @property
    def case_ids(self) -> set[str]:
        """Names of the training cases."""
        return {case.case_id for case in self.cases.cases}

    def looks(self, modality: Modality) -> Sequence[Tensor]:
        """Return features `(F,)` of at most 16 images of a modality, spread evenly over the cases that have it."""
        if modality not in self._looks:
            places = [place for place, case in enumerate(self.cases.cases) if modality in case.modalities]
            self._looks[modality] = [self._look(place, modality) for place in places[:: -(-len(places) // _MOST) or 1]]
        return self._looks[modality]

    def _look(self, place: int, modality: Modality) -> Tensor:
        case = self.cases[place]
        mask = case[BatchKey.LABEL][0, :: self.slice_step]
        return appearance_features(case[BatchKey.IMAGE][modality][:: self.slice_step], mask)


Pair = tuple[Modality, Modality]


class TranslationValidator(Evaluator):
    """Translate validation cases between all modalities and score the result.

    After a run `state.metrics` holds the key metric and its parts, and `source_errors` says for each target how far
    translations from each source are from its real images (less is better): the appearance distance, or 1 - SSIM when
    paired images may be looked at. The cycle error is no part of it: it says how well a source can be restored, not how
    true the target is, and sources chosen with it were worse (docs/results.md).

    Without pairs, translations are compared with the real images of the validation cases; those to a modality that no
    validation case has, with the training images of that modality; those to a modality that nobody has are not scored.
    After a run `scored_on` says in words what was scored, and `below_copy` names the pairs (`t1->t1ce`) of which a mere
    copy of the source has the smaller absolute error in the brain, where validation cases show both; nothing is chosen
    by it.

    Args:
        device: where to compute.
        val_data_loader: yields cases of `utad_monai.data.EvaluationCases`, one at a time.
        translator: the generator to validate.
        key_metric: what chooses the best checkpoint.
        slice_step: every how many slices of a volume are used.
        val_handlers: handlers with an `attach` method.
        reference: training cases with a segmentation, for modalities that no validation case has; None for none.
        modalities: those that the translator knows.
    """

    def __init__(
        self,
        device: torch.device | str,
        val_data_loader: DataLoader[Any],
        *,
        translator: SliceTranslator,
        key_metric: ValidationMetric | str = ValidationMetric.UNPAIRED,
        slice_step: int = 4,
        val_handlers: Sequence[Any] | None = None,
        reference: EvaluationCases | None = None,
        modalities: ModalitySet = FOUR_MODALITIES,
    ) -> None:
        if len(val_data_loader) == 0:
            raise empty_split("validation case with a segmentation")
        self.translator = translator
        self.modalities = modalities
        self.key_metric = ValidationMetric(key_metric)
        self.slice_step = slice_step
        self.source_errors: dict[Modality, dict[Modality, float]] = {}
        self.scored_on = ""
        self.below_copy: tuple[str, ...] = ()
        self._reference = None if reference is None else ReferenceImages(reference, slice_step)
        super().__init__(
            device=device,
            val_data_loader=val_data_loader,
            val_handlers=None,
            decollate=False,
        )
        self.state.key_metric_name = str(self.key_metric)
        self.add_event_handler(Events.EPOCH_STARTED, self._forget)
        self.add_event_handler(Events.EPOCH_COMPLETED, self._score)
        if val_handlers is not None:
            self._register_handlers(val_handlers)

    def _forget(self, _: Engine) -> None:
        self.state.metrics.clear()  # what a handler measured in an earlier validation is not of this one
        self._real: dict[Modality, list[Tensor]] = defaultdict(list)
        self._fake: dict[Pair, list[Tensor]] = defaultdict(list)
        self._cycle: dict[Pair, list[float]] = defaultdict(list)
        self._copy: dict[Pair, list[float]] = defaultdict(list)
        self._ssim: dict[Pair, list[float]] = defaultdict(list)
        self._gain: dict[Pair, list[float]] = defaultdict(list)
        self._seen: list[str] = []

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> dict[str, Any]:
        """Translate one case from each of its modalities to every other."""
        images = {m: image[:: self.slice_step] for m, image in batchdata[BatchKey.IMAGE].items()}
        mask = batchdata[BatchKey.LABEL][0, :: self.slice_step]
        self._seen.append(batchdata[BatchKey.CASE_ID])
        for source, image in images.items():
            self._real[source].append(appearance_features(image, mask))
            for target in self.modalities:
                if target != source:
                    self._translate_pair((source, target), image, images.get(target), mask)
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return {}

    def _translate_pair(self, pair: Pair, image: Tensor, real: Tensor | None, mask: Tensor) -> None:
        source, target = pair
        translated = self.translator({source: image}, target, mask)
        self._fake[pair].append(appearance_features(translated, mask))
        returned = self.translator({target: translated}, source, mask)
        if real is not None:
            self._copy[pair].append(identity_copy_score(image, translated, real))
            shown = real > BACKGROUND
            self._gain[pair].append(float(((image - real).abs() - (translated - real).abs())[shown].sum()))
        brain = image > -1
        self._cycle[pair].append(float((returned - image).abs()[brain].mean()) if bool(brain.any()) else 0.0)
        if self.key_metric is ValidationMetric.SSIM and real is not None:
            self._ssim[pair].append(image_quality(real, translated, mask)["ssim"])

    def _score(self, _: Engine) -> None:
        real = self._real_looks()
        pairs = [pair for pair in self._fake if pair[1] in real]
        if not pairs:
            raise empty_split("second modality to compare translations with: the cases show only one modality")
        cycle = {pair: float(np.mean(self._cycle[pair])) for pair in pairs}
        appearance = {pair: appearance_distance(self._fake[pair], real[pair[1]]) for pair in pairs}
        scores = {pair: -(cycle[pair] + appearance[pair]) for pair in pairs}
        errors = appearance
        if self.key_metric is ValidationMetric.SSIM:
            scores = {pair: float(np.mean(values)) for pair, values in self._ssim.items()}
            if not scores:
                raise empty_split(
                    "validation case with two modalities, which paired_ssim needs (unpaired_score does not)"
                )
            errors = {pair: 1 - score for pair, score in scores.items()}
        self.source_errors = _by_target(errors, self.modalities)
        self.state.metrics[str(self.key_metric)] = float(np.mean(list(scores.values())))
        self.state.metrics["validation_cycle"] = float(np.mean(list(cycle.values())))
        self.state.metrics["validation_appearance"] = float(np.mean(list(appearance.values())))
        self.state.metrics |= self._health(real)
        self.scored_on = self._what_was_scored(len(scores))
        self.below_copy = tuple(f"{source}->{target}" for (source, target), gain in self._gain.items() if sum(gain) < 0)

    def _real_looks(self) -> dict[Modality, Sequence[Tensor]]:
        """Return the looks of the real images of each modality: of validation cases, or else of training cases."""
        lent = self._reference
        looks = {m: self._real[m] or (lent.looks(m) if lent else []) for m in self.modalities}
        return {modality: look for modality, look in looks.items() if look}

    def _what_was_scored(self, pairs: int) -> str:
        """Return how many cases of which split were looked at, which modalities they have, and what was lent."""
        reference = self._reference
        kind = "training" if reference and not set(self._seen) - reference.case_ids else "validation"
        every = self.modalities
        having = ", ".join(f"{modality} {len(self._real[modality])}" for modality in every if self._real[modality])
        said = f"{pairs} pairs of {len(self._seen)} {kind} case{'s' * (len(self._seen) != 1)} ({having})"
        lent = [m for m in every if reference and not self._real[m] and reference.looks(m)]
        if lent and self.key_metric is ValidationMetric.UNPAIRED:
            said += f" with training images of {', '.join(lent)}"
        return said

    def _health(self, real: Mapping[Modality, Sequence[Tensor]]) -> dict[str, float]:
        """Return what nothing is chosen by: copies of the input, where the target is known, and variety."""
        copies = [score for scores in self._copy.values() for score in scores if not np.isnan(score)]
        measured = {
            "validation_identity_copy": float(np.mean(copies)) if copies else np.nan,
            "validation_variety_of_targets": variety_of_targets(self._fake, real),
            "validation_variety_of_inputs": variety_of_inputs(self._fake, self._real),
        }
        return {name: value for name, value in measured.items() if not np.isnan(value)}


def _by_target(errors: dict[Pair, float], modalities: ModalitySet) -> dict[Modality, dict[Modality, float]]:
    """Return for each target the error of each of its sources, the best first."""
    best_first = sorted(errors, key=lambda pair: errors[pair])
    targets = [target for target in modalities if any(pair[1] == target for pair in errors)]
    return {target: {source: errors[source, to] for source, to in best_first if to == target} for target in targets}


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
