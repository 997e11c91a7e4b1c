"""What is measured while training: validation, and the downstream segmentation of synthetic images."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import Evaluator

from utad_monai.data.complete import EvaluationCases
from utad_monai.engines.validators import TranslationValidator
from utad_monai.inferers import SliceTranslator
from utad_monai.keys import BatchKey
from utad_monai.metrics.downstream import DownstreamSegmentation, replace
from utad_monai.models import load_segmenter
from utad_monai.models.source_choice import best_source, usable_sources
from utad_monai.models.stages import Stage, model_path

_logger = logging.getLogger(__name__)
_BEST = ("best_metric", "best_metric_epoch")


class RegularValidation:
    """Run the validator every `interval` epochs and after the last one.

    MONAI's `ValidationHandler` skips the last epoch when it is no multiple of the interval; what was trained since the
    last validation, or everything in a short run, would then never be saved.

    Args:
        validator: runs with the trainer's epoch.
        interval: epochs between validations.

    Raises:
        ValueError: when the interval is less than 1.
    """

    def __init__(self, validator: Evaluator, interval: int = 1) -> None:
        if interval < 1:
            raise ValueError(f"the interval must be at least 1 epoch, got {interval}")
        self.validator = validator
        self.interval = interval

    def attach(self, engine: Engine) -> None:
        """Register on the trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def state_dict(self) -> dict[str, Any]:
        """Return the validator's best metric and its epoch."""
        return {name: getattr(self.validator.state, name) for name in _BEST}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on with the best metric of an earlier run."""
        for name in _BEST:
            setattr(self.validator.state, name, state_dict[name])

    def __call__(self, engine: Engine) -> None:
        """Validate when it is time."""
        epoch = engine.state.epoch
        last = epoch == engine.state.max_epochs or engine.should_terminate
        if epoch % self.interval == 0 or last:
            self.validator.run(epoch)


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
