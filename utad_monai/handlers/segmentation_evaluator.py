"""During training: what the current generator's output is worth to the segmentation network."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from ignite.engine import Engine, Events

from utad_monai.data.complete import EvaluationCases
from utad_monai.engines.translation_validator import TranslationValidator
from utad_monai.inferers import SliceTranslator
from utad_monai.keys import BatchKey
from utad_monai.metrics.downstream import DownstreamSegmentation, replace
from utad_monai.models import load_segmenter
from utad_monai.models.source_choice import best_source, usable_sources
from utad_monai.models.stages import Stage, model_path

_logger = logging.getLogger(__name__)


class SegmentationEvaluator:
    """After a validation, fill each modality of the complete validation cases in turn, segment, and report the Dice.

    The Dice means appear in the validator's metrics as `downstream_dice_<region>`. Nothing is learned or chosen from
    them. Without a segmentation model the handler says so once and does nothing.

    Args:
        output_dir: folder of the run; the model is its `segmentation/model.safetensors`.
        cases: complete validation cases.
        translator: the generator to judge.
        interval: every how many validations it runs.
    """

    def __init__(
        self, output_dir: str | Path, cases: EvaluationCases, *, translator: SliceTranslator, interval: int = 5
    ) -> None:
        self.cases = cases
        self.translator = translator
        self.interval = interval
        self._runs = 0
        self._segmentation: DownstreamSegmentation | None = None
        path = model_path(output_dir, Stage.SEGMENTATION)
        if path.is_file() and len(cases):
            found = load_segmenter(path)
            self._segmentation = DownstreamSegmentation(found.network, translator.device, modalities=found.modalities)
        else:
            _logger.info("no %s or no complete validation case: downstream Dice is not followed", path)

    def attach(self, engine: TranslationValidator) -> None:
        """Register on the validator."""
        engine.add_event_handler(Events.COMPLETED, self)

    def state_dict(self) -> dict[str, int]:
        """Return how many validations there were."""
        return {"runs": self._runs}

    def load_state_dict(self, state_dict: Mapping[str, int]) -> None:
        """Go on counting validations."""
        self._runs = state_dict["runs"]

    def __call__(self, engine: Engine) -> None:
        """Measure every `interval` validations, starting with the first."""
        self._runs += 1
        if self._segmentation is None or not isinstance(engine, TranslationValidator):
            return
        if (self._runs - 1) % self.interval == 0:
            dice = self._dice(engine, self._segmentation)
            engine.state.metrics |= {f"downstream_dice_{region}": value for region, value in dice.items()}

    def _dice(self, engine: TranslationValidator, segmentation: DownstreamSegmentation) -> dict[str, float]:
        values = defaultdict(list)
        for case in (self.cases[place] for place in range(len(self.cases))):
            images, truth = case[BatchKey.IMAGE], case[BatchKey.LABEL]
            for target in images:
                sources = usable_sources(target, tuple(images))
                if not self.translator.several:
                    sources = (best_source(engine.source_errors, target, sources),)
                given = {source: images[source] for source in sources}
                filled = replace(images, target, self.translator(given, target, truth[0]))
                for region, value in segmentation.dice(filled, truth).items():
                    values[str(region)].append(value)
        return {region: fmean(dice) for region, dice in values.items()}
